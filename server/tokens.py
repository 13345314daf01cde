"""Bearer tokens from a file, one a line; the file may change while the server runs."""

import hashlib
import hmac
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gurmukhi.errors import DataError

_CHECK_SECONDS: Final = 1.0  # between two looks at the file
_SCHEME: Final = "bearer "

_log = logging.getLogger(__name__)


class Tokens:
    """Knows the valid tokens by their digests; raises DataError where the file has none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests = _read(path)
        self._modified = path.stat().st_mtime_ns
        self._looked = time.monotonic()

    def admit(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Whether a call's metadata carry a valid token; compared in constant time."""
        self._reload()
        given = next((str(v) for k, v in metadata if k == "authorization"), "")
        if given[: len(_SCHEME)].lower() != _SCHEME:
            return False
        digest = _digest(given[len(_SCHEME) :].strip())
        # All are compared, whichever matches.
        return any([hmac.compare_digest(digest, known) for known in self._digests])  # noqa: C419

    def _reload(self) -> None:
        if time.monotonic() - self._looked < _CHECK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            modified = self._path.stat().st_mtime_ns
            if modified != self._modified:
                self._digests = _read(self._path)
                self._modified = modified
                _log.info("tokens read again from %s", self._path)
        except (OSError, DataError) as error:
            _log.error("the tokens stay as they were: %s", error)


def _read(path: Path) -> list[bytes]:
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the tokens cannot be read ({error})") from error
    if not lines:
        raise DataError(f"{path}: holds no token; expected one a line")
    return [_digest(line) for line in lines]


def _digest(token: str) -> bytes:
    # Of one length, so that a comparison tells nothing of a token's own.
    return hashlib.sha256(token.encode()).digest()
