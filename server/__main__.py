"""The command `gurmukhi-serve`."""

import gc
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run `gurmukhi-serve`, the collector off until it serves."""
    # What is imported and loaded stays, and to go through it again and again takes some percent of
    # the start. The collector begins when the models are there (`server.memory.settle`).
    gc.disable()
    from server import command

    return command.main(argv)


if __name__ == "__main__":
    sys.exit(main())
