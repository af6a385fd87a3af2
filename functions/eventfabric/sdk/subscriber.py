"""Handlers: what a function asks for in its first parameter, and how it is called."""

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from functools import partial, update_wrapper
from importlib import import_module
from inspect import (
    Parameter,
    isasyncgen,
    isasyncgenfunction,
    isbuiltin,
    isclass,
    iscoroutinefunction,
    isfunction,
    isgenerator,
    isgeneratorfunction,
    signature,
)
from logging import getLogger
from threading import active_count
from typing import Any, Generic, ParamSpec, TypeVar, get_args, get_origin, get_type_hints, overload

import msgspec

from eventfabric import limits
from eventfabric.errors import HandlerError, UndecodablePayloadError
from eventfabric.model.event import Event
from eventfabric.model.payload import Kind
from eventfabric.ports import Attempt, Clock, Write
from eventfabric.sdk.delivery import Delivery, Transaction

P = ParamSpec("P")
R = TypeVar("R")
_log = getLogger("eventfabric")


class Subscriber(Generic[P, R]):
    """A handler function, still callable as it was written, with what it asks for.

    `payload_type`: the type its payloads are decoded to; None: it takes events as they are. `batch`: how many events
    it takes at once; 1: one, not in a list.
    """

    def __init__(self, function: Callable[P, R], *, batch: int | None = None) -> None:
        self.function = function
        self.takes_many, self.payload_type = _asks_for(function)
        if batch is not None and not self.takes_many:
            raise HandlerError(
                f"{_name(function)}: batch = {batch}, allowed: only where the first parameter is a list"
            )
        if batch is not None and (type(batch) is not int or not 1 <= batch <= limits.RECORD_EVENTS_MAX):
            raise HandlerError(
                f"{_name(function)}: batch = {batch!r}, allowed: 1 to {limits.RECORD_EVENTS_MAX}"
            )
        self.batch = (batch or limits.RECORD_EVENTS_MAX) if self.takes_many else 1
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)


@overload
def subscriber(function: Callable[P, R], /) -> Subscriber[P, R]: ...
@overload
def subscriber(*, batch: int | None = None) -> Callable[[Callable[P, R]], Subscriber[P, R]]: ...
def subscriber(function: Callable[..., Any] | None = None, /, *, batch: int | None = None) -> Any:
    """Declare a handler; its first parameter's annotation says what it is called with.

        (event: Event, delivery)            one event
        (order: Order, delivery)            its payload as a dataclass, pydantic model, TypedDict or msgspec Struct
        (events: list[Event], delivery)     up to `batch` events of a lane, in order
        (orders: list[Order], delivery)     up to `batch` payloads

    A handler that returns has handled its events; one that raises has not.
    """
    return Subscriber(function) if function is not None else lambda f: Subscriber(f, batch=batch)


class SubscriberHandler:
    """ports.Handler over a user's handler."""

    def __init__(self, target: Callable[..., Any], *, clock: Clock, transactional: bool) -> None:
        wanted: Subscriber[..., Any] = target if isinstance(target, Subscriber) else Subscriber(target)
        self._function: Callable[..., Any] = wanted.function
        self._decode = None if wanted.payload_type is None else _payload_decoder(wanted.payload_type)
        self._one = not wanted.takes_many
        self._clock = clock
        self._transactional = transactional
        self._told = False
        self.batch_events_max = wanted.batch

    def attempt(self, events: Seq[Event], attempt: Attempt) -> Seq[Write]:
        """See ports.Handler."""
        transaction = Transaction() if self._transactional else None
        delivery = Delivery(events, attempt, self._clock, transaction)
        given = self._given(events)
        threads = active_count()
        try:
            returned = self._function(given, delivery)
        except (Exception, KeyboardInterrupt):  # the event's failure, or somebody at the keyboard
            raise
        except BaseException as error:  # SystemExit and its like would end all lanes of the invocation
            raise HandlerError(f"{_name(self._function)} raised {type(error).__name__}: {error}") from error
        finally:
            delivery.end()
        if returned is not None:
            self._look_at(returned)
        if active_count() > threads:
            _log.warning("%s left %d threads running", _name(self._function), active_count() - threads)
        return tuple(transaction.writes) if transaction else ()

    def _given(self, events: Seq[Event]) -> Any:
        decode = self._decode
        if self._one:
            return events[0] if decode is None else decode(events[0])
        return list(events) if decode is None else [decode(event) for event in events]

    def _look_at(self, returned: object) -> None:
        """A handler returns nothing; what would mean that its events are not handled is an error."""
        if hasattr(returned, "__await__") or isgenerator(returned) or isasyncgen(returned):
            raise HandlerError(f"{_name(self._function)} returned {type(returned).__name__}: it did not run")
        if isinstance(returned, Mapping) and "batchItemFailures" in returned:
            raise HandlerError(
                f"{_name(self._function)} returned batchItemFailures, allowed: to raise for what failed"
            )
        if not self._told:
            self._told = True
            _log.warning(
                "%s returned %s, which nobody looks at", _name(self._function), type(returned).__name__
            )


def load_handler(path: str) -> Callable[..., Any]:
    """The function that `package.module:function` names; HandlerError where there is none."""
    module_name, _, name = path.partition(":")
    try:
        target = getattr(import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise HandlerError(
            f"handler {path!r}: {error}, allowed: package.module:function that can be imported"
        ) from error
    if not callable(target):
        raise HandlerError(f"handler {path!r}: found {type(target).__name__}, allowed: a function")
    found: Callable[..., Any] = target
    return found


def _asks_for(function: Callable[..., Any]) -> tuple[bool, Any]:
    """Whether the function takes a list, and the payload type it wants (None: Event)."""
    inner = _innermost(function)
    if iscoroutinefunction(inner) or isgeneratorfunction(inner) or isasyncgenfunction(inner):
        raise HandlerError(f"{_name(function)}: found an async or generator function, allowed: a plain one")
    positional = [
        p for p in signature(function).parameters.values()
        if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_POSITIONAL)
    ]  # fmt: skip
    takes_two = len(positional) >= 2 or (positional and positional[0].kind is Parameter.VAR_POSITIONAL)
    needs_more = any(
        p.default is Parameter.empty and p.kind is not Parameter.VAR_POSITIONAL for p in positional[2:]
    )
    if not takes_two or needs_more:
        raise HandlerError(f"{_name(function)}: found {signature(function)}, allowed: (event, delivery)")
    try:
        hints = get_type_hints(inner)
    except Exception as error:  # a name that only a type checker sees, or that is not there
        raise HandlerError(f"{_name(function)}: its annotations cannot be read: {error}") from error
    hint = hints.get(positional[0].name, Event)
    outer = get_origin(hint) or hint
    takes_many = isclass(outer) and issubclass(outer, Seq) and not issubclass(outer, str | bytes)
    wanted = (get_args(hint) or (Event,))[0] if takes_many else hint
    return takes_many, None if wanted is Any or (isclass(wanted) and issubclass(Event, wanted)) else wanted


def _innermost(function: Any) -> Any:
    """What runs when it is called: of a partial its function, of an object its __call__."""
    while isinstance(function, partial):
        function = function.func
    function = getattr(function, "__func__", function)
    return function if isfunction(function) or isbuiltin(function) else type(function).__call__


def _payload_decoder(payload_type: Any) -> Callable[[Event], Any]:
    """From an event to its payload as that type; UndecodablePayloadError, which no further attempt can mend."""
    decode = _json_decoder(payload_type)

    def decode_payload(event: Event) -> Any:
        payload = event.payload
        if payload.kind == Kind.BINARY:
            if payload_type is bytes:
                return payload.content
            raise UndecodablePayloadError(f"event {event.id}: found bytes, allowed: {payload_type}")
        try:
            return decode(payload.content if payload.kind == Kind.JSON else b"null")
        except ValueError as error:  # msgspec's and pydantic's errors are ValueErrors
            raise UndecodablePayloadError(f"event {event.id}: {error}") from error

    return decode_payload


def _json_decoder(payload_type: Any) -> Callable[[bytes], Any]:
    parts = (payload_type, *get_args(payload_type))
    # Pydantic is known by its marks: only its users pay for its import.
    if any(hasattr(part, "model_validate_json") or hasattr(part, "__pydantic_validator__") for part in parts):
        from pydantic import TypeAdapter

        return TypeAdapter(payload_type).validate_json
    try:
        return msgspec.json.Decoder(payload_type).decode
    except TypeError as error:
        raise HandlerError(f"payload type {payload_type}: {error}") from error


def _name(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', repr(function))}"
