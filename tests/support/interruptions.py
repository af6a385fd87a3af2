"""Interruptions by a signal's handler, at each line of some modules in turn."""

import sys
from collections.abc import Callable, Collection
from linecache import getline
from types import FrameType, ModuleType
from typing import Any


class Interrupted(BaseException):
    """The error that a signal's handler raises."""


class _AtLine:
    """Raises once, when this thread comes to the line of that number within the modules."""

    def __init__(self, number: int, modules: Collection[ModuleType]) -> None:
        self.left = number
        self._files = {module.__file__ for module in modules}

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        return self._line if frame.f_code.co_filename in self._files else None

    def _line(self, frame: FrameType, event: str, argument: object) -> Any:
        text = getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
        # A tracer stops also where no signal is looked at, and no block guarded: at `try`, and where a `with` ends.
        if event == "line" and not text.startswith(("with ", "try:")):
            self.left -= 1
            if self.left == 0:
                raise Interrupted
        return self._line


def interrupted(number: int, call: Callable[[], object], modules: Collection[ModuleType]) -> bool:
    """Tell if the call got as far as line `number` of the modules, where it was interrupted."""
    tracer, before = _AtLine(number, modules), sys.gettrace()
    sys.settrace(tracer)
    try:
        call()
    except Interrupted:
        pass
    finally:
        sys.settrace(before)
    return tracer.left <= 0
