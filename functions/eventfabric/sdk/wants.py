"""Signatures of handlers: events or payloads, one or many, and how a payload becomes of the type asked for."""

from collections.abc import Callable, Collection, Iterable, Iterator, MutableSequence, Sequence
from functools import partial
from inspect import (
    Parameter,
    isasyncgenfunction,
    isbuiltin,
    isclass,
    iscoroutinefunction,
    isfunction,
    isgeneratorfunction,
    signature,
)
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from eventfabric.errors import HandlerError, UndecodablePayloadError
from eventfabric.model import Event, Kind

_LISTS = (list, Sequence, MutableSequence, Collection, Iterable)


class HandlerInput(NamedTuple):
    """Kind of arguments that a handler is called with."""

    collect: Callable[[Iterable[Any]], Any] | None
    """Makes the collection of several; None: it takes one."""
    payload_type: Any
    """Type of the payloads; None: events as they are. NoneType if it asks for None."""


def wanted_by(function: Callable[..., Any]) -> HandlerInput:
    """Return what the function asks for in its first parameter. HandlerError if it cannot be a handler."""
    if not callable(function):
        raise HandlerError(f"handler {function!r:.80}: found {type(function).__name__}, allowed: a function")
    check_plain(function)
    first = _first_parameter(function)
    hint = _hints(function, _innermost(function)).get(first.name, Event)
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    collect = _collector(bare)
    wanted = hint if collect is None else (get_args(bare) or (Event,))[0]
    is_event = wanted is Any or wanted is Event or wanted is object
    return HandlerInput(collect, None if is_event else wanted)


def check_plain(function: Callable[..., Any]) -> None:
    """Raise HandlerError for an async or generator function, whose call alone does nothing."""
    inner = _innermost(function)
    if any(is_kind(inner) for is_kind in (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction)):
        raise HandlerError(f"{name_of(function)}: found an async or generator function, allowed: a plain one")


def _hints(function: Callable[..., Any], inner: Any) -> dict[str, Any]:
    try:
        return get_type_hints(inner, include_extras=True)
    except Exception as error:  # a name that only a type checker sees, or that does not exist
        raise HandlerError(f"{name_of(function)}: its annotations cannot be read: {error}") from error


def payload_decoder(payload_type: Any) -> Callable[[Event], Any]:
    """Return a decoder of events' payloads to that type. UndecodablePayloadError, which no further attempt can help."""
    decode = _json_decoder(payload_type)
    takes_bytes = bytes in (payload_type, *get_args(payload_type))

    def decode_payload(event: Event) -> Any:
        payload = event.payload
        if payload.kind == Kind.BINARY:
            if takes_bytes:
                return payload.content
            raise UndecodablePayloadError(f"event {event.id}: found bytes, allowed: {payload_type}")
        try:
            return decode(payload.content if payload.kind == Kind.JSON else b"null")
        except (ValueError, RecursionError) as error:  # the errors of msgspec and pydantic are ValueErrors
            raise UndecodablePayloadError(f"event {event.id}: {error}") from error

    return decode_payload


def name_of(function: Callable[..., Any]) -> str:
    """Return module and name, for errors."""
    return f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', repr(function))}"


def _first_parameter(function: Callable[..., Any]) -> Parameter:
    """Return the parameter that takes events. HandlerError if it cannot be called with events and a delivery."""
    if isclass(function):
        raise HandlerError(f"{name_of(function)}: found a class, allowed: a function")
    try:
        parameters = list(signature(function).parameters.values())
    except ValueError as error:
        raise HandlerError(f"{name_of(function)}: {error}") from error
    star = _of_kinds(parameters, Parameter.VAR_POSITIONAL)
    positional = _of_kinds(parameters, Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    takes_two = len(positional) >= 2 or bool(star)
    others = positional[2:] + _of_kinds(parameters, Parameter.KEYWORD_ONLY)
    if not takes_two or any(parameter.default is Parameter.empty for parameter in others):
        raise HandlerError(f"{name_of(function)}: found {signature(function)}, allowed: (event, delivery)")
    return (positional or star)[0]


def _of_kinds(parameters: Iterable[Parameter], *kinds: Any) -> list[Parameter]:
    return [parameter for parameter in parameters if parameter.kind in kinds]


def _innermost(function: Any) -> Any:
    """Return the function that runs in the end: for a partial its function, for an object its __call__."""
    while isinstance(function, partial):
        function = function.func
    function = getattr(function, "__func__", function)
    return function if isfunction(function) or isbuiltin(function) else type(function).__call__


def _collector(hint: Any) -> Callable[[Iterable[Any]], Any] | None:
    outer, inner = get_origin(hint) or hint, get_args(hint)
    if outer in _LISTS:
        return list
    if outer is tuple and (not inner or (len(inner) == 2 and inner[1] is Ellipsis)):
        return tuple
    return None  # a tuple of fixed length, a set or a NamedTuple may be a single payload


def is_msgspecs(payload_type: Any) -> bool:
    """Tell if msgspec decodes the type. Otherwise only pydantic can, if anybody. HandlerError: nobody can read it."""
    try:
        msgspec.json.Decoder(payload_type)
        return not any(map(_is_pydantics, types_in(payload_type)))
    except TypeError:
        return False  # a union that only pydantic can tell apart, or no type at all
    except Exception as error:  # annotations are code, such as a name that only a type checker sees
        allowed = "annotations that can be read when the program runs"
        raise HandlerError(
            f"payload type {payload_type}: {type(error).__name__}: {error}, allowed: {allowed}"
        ) from error


def _json_decoder(payload_type: Any) -> Callable[[bytes], Any]:
    if is_msgspecs(payload_type):
        return msgspec.json.Decoder(payload_type).decode
    try:  # only users of pydantic pay for its import, and they have it
        from pydantic import TypeAdapter
    except ImportError as error:
        allowed = "pydantic in a requirements.txt beside the handlers, or a type that msgspec decodes"
        reason = f"only pydantic decodes it: {error}"
        raise HandlerError(f"payload type {payload_type}: {reason}, allowed: {allowed}") from error
    try:
        return TypeAdapter(payload_type).validate_json
    except Exception as error:  # annotations and a class's own hooks may do anything
        allowed = "Event, list[Event], or what is decoded from JSON"
        reason = str(error).partition("\n")[0]
        raise HandlerError(f"payload type {payload_type}: {reason}, allowed: {allowed}") from error


def types_in(payload_type: Any) -> Iterator[Any]:
    """Yield msgspec's description of the type, and of each type that it holds."""
    from msgspec.inspect import Field, Type, type_info

    visited: set[int] = set()
    waiting: list[Any] = [type_info(payload_type)]
    while waiting:
        info = waiting.pop()
        if id(info) in visited:
            continue
        visited.add(id(info))
        if isinstance(info, Type):
            yield info
        if isinstance(info, Type | Field):
            waiting += (getattr(info, name) for name in info.__struct_fields__)
        elif isinstance(info, tuple):
            waiting += info


def _is_pydantics(info: Any) -> bool:
    """Tell if msgspec cannot make the type, or makes it without the checks that pydantic would make."""
    from msgspec.inspect import CustomType

    return isinstance(info, CustomType) or hasattr(getattr(info, "cls", None), "__pydantic_validator__")
