"""Answer brief calls that came in one turn of the event loop by one run of their model's graph."""

import asyncio
from typing import Any, Final

from server.service import Method, encode
from server.steps import Run, Steps, finish

# As in the other front: of eight an image costs a quarter of a run alone.
_TOGETHER: Final = 8


class SharedRuns:
    """Gathers what one turn of the loop brings; nothing waits for company that is not there."""

    def __init__(self) -> None:
        self._gathered: list[_Sharer] = []

    async def answer(self, method: Method, request: Any, call: Any) -> bytes:
        """The encoded answer to a request, whose method goes in steps; raises what it raises."""
        loop = asyncio.get_running_loop()
        if not self._gathered:
            loop.call_soon(self._finish)
        assert method.steps  # noqa: S101 - asked for where it has some
        sharer = _Sharer(method.steps(request, call), loop.create_future())
        self._gathered.append(sharer)
        if len(self._gathered) == _TOGETHER:
            self._finish()
        return await sharer.answered

    def _finish(self) -> None:
        gathered, self._gathered = self._gathered, []
        finish([sharer for sharer in gathered if sharer.go_on()])


class _Sharer:
    """A call on its way through its steps; none of a brief one takes long."""

    __slots__ = ("_steps", "answered", "run")

    def __init__(self, steps: Steps[Any], answered: "asyncio.Future[bytes]") -> None:
        self._steps = steps
        self.answered = answered
        self.run: Run | None = None

    def go_on(self) -> bool:
        try:
            self.run = next(self._steps)
        except StopIteration as end:
            self.answered.set_result(encode(end.value))
        except Exception as error:  # noqa: BLE001 - raised where the answer is awaited
            self.answered.set_exception(error)
        else:
            return True
        return False
