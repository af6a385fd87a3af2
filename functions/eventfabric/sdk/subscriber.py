"""Handlers: what a function asks for in its first parameter, and how it is called."""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from functools import update_wrapper
from importlib import import_module
from inspect import Parameter, signature
from typing import Any, Generic, ParamSpec, TypeVar, get_args, get_origin, get_type_hints, overload

import msgspec

from eventfabric import limits
from eventfabric.errors import HandlerError
from eventfabric.model.event import Event
from eventfabric.ports import Attempt, Clock, Write
from eventfabric.sdk.delivery import Delivery, Transaction

P = ParamSpec("P")
R = TypeVar("R")


class Subscriber(Generic[P, R]):
    """A handler function, still callable as it was written, with what it asks for.

    `payload_type`: the type its payloads are decoded to; None: it takes events as they are. `batch`: how many events
    it takes at once; 1: one, not in a list.
    """

    def __init__(self, function: Callable[P, R], *, batch: int | None = None) -> None:
        self.function = function
        takes_many, self.payload_type = _asks_for(function)
        self.batch = (batch or limits.RECORD_EVENTS_MAX) if takes_many else 1
        if batch is not None and not takes_many:
            raise HandlerError(
                f"{_name(function)}: batch = {batch}, allowed: only where the first parameter is a list"
            )
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
        self._one = wanted.batch == 1
        self._clock = clock
        self._transactional = transactional
        self.batch_events_max = wanted.batch

    def attempt(self, events: Seq[Event], attempt: Attempt) -> Seq[Write]:
        """See ports.Handler."""
        transaction = Transaction() if self._transactional else None
        delivery = Delivery(events, attempt, self._clock, transaction)
        decode = self._decode
        if self._one:
            event = events[0]
            self._function(event if decode is None else decode(event), delivery)
        else:
            self._function(list(events) if decode is None else [decode(event) for event in events], delivery)
        return transaction.writes if transaction else ()


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
    positional = [
        p for p in signature(function).parameters.values()
        if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_POSITIONAL)
    ]  # fmt: skip
    if not positional or (len(positional) < 2 and positional[0].kind is not Parameter.VAR_POSITIONAL):
        raise HandlerError(f"{_name(function)}: found {signature(function)}, allowed: (event, delivery)")
    hints = get_type_hints(getattr(function, "__func__", function) if callable(function) else function) if hasattr(
        function, "__annotations__") else {}  # fmt: skip
    hint = hints.get(positional[0].name, Event)
    takes_many = get_origin(hint) is not None and issubclass(get_origin(hint), Seq) and hint is not str
    inner = (get_args(hint) or (Event,))[0] if takes_many else hint
    return takes_many, None if inner in (Event, Any) else inner


def _payload_decoder(payload_type: Any) -> Callable[[Event], Any]:
    if hasattr(
        payload_type, "model_validate_json"
    ):  # pydantic, known by shape: only its users pay for its import
        return lambda event: payload_type.model_validate_json(event.payload.content)
    decoder = msgspec.json.Decoder(payload_type)
    return lambda event: decoder.decode(event.payload.content)


def _name(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', repr(function))}"
