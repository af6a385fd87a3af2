"""Raised: what a handler's exception says, read once, as text that can be stored.

Names, messages and traces of an exception may come from anybody's code: a property that raises, a name with a lone
surrogate, a message of 50 MB. None of that may fail the fabric, so nothing else looks into such an exception.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from traceback import format_exception
from typing import Final

from eventfabric import limits
from eventfabric.errors import UnknownStepError, said_by, storable

_TRACE_CHARACTERS_MAX: Final = limits.FAILURE_CHARACTERS_MAX["trace"]
_UNREADABLE: Final = "<it cannot be told: the exception itself fails when it is asked>"


@dataclass(frozen=True, slots=True)
class Raised:
    """The texts of an exception that an attempt raised."""

    error_type: str
    """Module and name of its class."""
    message: str = field(repr=False)
    trace: str = field(repr=False)
    """The end of the trace, which is the handler's part."""
    step: str = ""
    """The step whose outcome nobody knows, if that is what the exception says."""


def raised_by(error: BaseException) -> Raised:
    """Read what an exception says."""
    kind = type(error)
    return Raised(
        error_type=_asked(lambda: _name(kind), limits.FAILURE_CHARACTERS_MAX["error_type"]),
        message=said_by(error, characters_max=limits.FAILURE_CHARACTERS_MAX["message"]),
        trace=_asked(lambda: "".join(format_exception(error)), -_TRACE_CHARACTERS_MAX),
        step=_asked(lambda: getattr(error, "step", ""), limits.STEP_NAME_CHARACTERS_MAX)
        if is_of(error, UnknownStepError)
        else "",
    )


def kinds_of(error: BaseException) -> frozenset[str]:
    """Return modules and names of an exception's class and of all its base classes; none if the class does not tell."""
    try:
        return frozenset(map(_name, type(error).__mro__))
    except BaseException:  # a metaclass of its own, which may raise anything
        return frozenset()


def is_of(error: BaseException, kinds: type[BaseException] | tuple[type[BaseException], ...]) -> bool:
    """Tell if an exception is of a kind, by its class: `isinstance` would ask the exception itself."""
    return issubclass(type(error), kinds)


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _asked(ask: Callable[[], str], characters_max: int) -> str:
    """Return the beginning of an answer, or its end if the bound is negative. An error of the answer's is caught."""
    try:
        answer = ask()
        part = slice(characters_max, None) if characters_max < 0 else slice(characters_max)
        return storable(str.__getitem__(answer, part))
    except BaseException:  # what answers is the exception's own code, which may raise SystemExit as well
        return _UNREADABLE
