"""Misfits: why a payload is not of a type, as a pointer and a rule, without any value of the payload."""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from eventfabric.errors import Problem

_HIDDEN: Final = "*"
_PLACE: Final = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`\Z")
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
# All that is in them is of the type: names of types, its own members, its bounds.
_OF_THE_TYPE: Final = re.compile(r"(Expected `|Object missing required field `|Expected )[^'\"]*\Z")
_ABOUT_A_VALUE: Final = re.compile(r"Invalid [A-Za-z0-9 -]+|Object contains unknown field")


def misfit_of(error: BaseException | None, *, known: frozenset[str]) -> Problem:
    """Return a problem for an error of msgspec or pydantic. `known`: names of members that are no data."""
    errors: Callable[..., Iterable[dict[str, Any]]] | None = getattr(error, "errors", None)
    if callable(errors):  # pydantic's
        first = next(iter(errors(include_url=False, include_context=False, include_input=False)))
        return Problem(_pointer(first["loc"], known), str(first["type"]), "what the handler's type allows")
    text = str(error)
    place = _PLACE.search(text)
    steps = [name or index for name, index in _STEP.findall(place["path"])] if place else []
    said = text[: place.start()] if place else text
    about = _ABOUT_A_VALUE.match(said)
    state = about[0].strip() if about else "what does not fit"
    if _OF_THE_TYPE.match(said):
        state = said
    return Problem(_pointer(steps, known), state, "what the handler's type allows")


def _pointer(steps: Iterable[str | int], known: frozenset[str]) -> str:
    """Return a JSON pointer, in which names that are data are hidden."""
    shown = (str(step) if str(step).isdigit() or step in known else _HIDDEN for step in steps)
    return "".join(["data", *(f"/{step}" for step in shown)])
