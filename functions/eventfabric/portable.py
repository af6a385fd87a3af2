"""Errors that cross the border of a process unchanged: pickled or copied, with all fields and causes."""

import pickle
from collections.abc import Callable
from typing import Any


class PortableError(Exception):
    """Exception that is rebuilt from its message and fields, and not by its constructor, whose arguments are gone.

    A field or a cause that cannot be pickled goes as its text: better than an error that hangs a pool of processes.
    """

    def __reduce__(self) -> tuple[Callable[..., "PortableError"], tuple[Any, ...], dict[str, Any]]:
        fields = {name: _portable(value) for name, value in self.__dict__.items()}
        causes: dict[str, Any] = {
            "__cause__": _portable(self.__cause__),
            "__suppress_context__": self.__suppress_context__,
        }
        if self.__context__ is not self.__cause__:
            causes["__context__"] = _portable(self.__context__)
        return _rebuilt, (type(self), *map(_portable, self.args)), fields | causes

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        for name, value in (state or {}).items():
            setattr(self, name, value)


class LostError(Exception):
    """Placeholder for an exception that cannot be pickled. Its message says which one that was."""


def _rebuilt(kind: type[PortableError], *arguments: object) -> PortableError:
    return kind.__new__(kind, *arguments)


def _portable(value: object) -> object:
    """Return the value if it can be pickled and rebuilt, else its text."""
    if isinstance(value, tuple):
        return tuple(map(_portable, value))
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:  # a class may raise anything while it is pickled or rebuilt
        if isinstance(value, BaseException):
            return LostError(f"{type(value).__name__}: {value}")
        return repr(value)
    return value
