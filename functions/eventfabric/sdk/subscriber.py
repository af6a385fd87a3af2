"""Handlers: what a function asks for in its first parameter, and how it is called."""

from collections.abc import Callable, Mapping, Sequence
from functools import update_wrapper
from importlib import import_module
from inspect import isasyncgen, isgenerator
from logging import getLogger
from threading import active_count
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from eventfabric import limits
from eventfabric.errors import HandlerError, HandlerExitedError, said_by
from eventfabric.model import Event
from eventfabric.ports import Attempt, Clock
from eventfabric.sdk.delivery import Delivery, DeliveryTransaction
from eventfabric.sdk.step import StepMaker
from eventfabric.sdk.wants import name_of, payload_decoder, wanted_by
from eventfabric.services.delivery.raised import raised_by

if TYPE_CHECKING:  # only subscriptions that publish need these
    from eventfabric.sdk.publications import Publications
    from eventfabric.wire.published import Effect

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")
_log = getLogger("eventfabric")


class Subscriber(Generic[P, R]):
    """A handler function, still callable as it was written, with what it asks for.

    `payload_type`: the type to which its payloads are decoded; None: it takes events as they are. `collect`: makes the
    collection in which it takes several; None: it takes one. `batch`: how many it takes at once.
    """

    def __init__(self, function: Callable[P, R], *, batch: int | None = None) -> None:
        self.function = function
        self.collect, self.payload_type = wanted_by(function)
        if batch is not None and self.collect is None:
            raise HandlerError(
                f"{name_of(function)}: batch = {batch}, allowed: only where the first parameter is a list"
            )
        if batch is not None and (type(batch) is not int or not 1 <= batch <= limits.RECORD_EVENTS_MAX):
            raise HandlerError(
                f"{name_of(function)}: batch = {batch!r}, allowed: 1 to {limits.RECORD_EVENTS_MAX}"
            )
        self.batch = (batch or limits.RECORD_EVENTS_MAX) if self.collect else 1
        self.when_late: Subscriber[..., Any] | None = None
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def late(self, function: Callable[Q, S]) -> Callable[Q, S]:
        """Declare the function for an event that comes late, for `on_late = "reconcile"`; a decorator, `@charge.late`.

        It is called like any handler, with one event at a time; `event.later` is the one that was handled before.
        """
        self.when_late = Subscriber(function)
        return function


@overload
def subscriber(function: Callable[P, R], /) -> Subscriber[P, R]: ...
@overload
def subscriber(*, batch: int | None = None) -> Callable[[Callable[P, R]], Subscriber[P, R]]: ...
def subscriber(function: Callable[..., Any] | None = None, /, *, batch: int | None = None) -> Any:
    """Declare a handler. The annotation of its first parameter says what it is called with.

        (event: Event, delivery)            one event
        (order: Order, delivery)            its payload as a dataclass, pydantic model, TypedDict or msgspec Struct
        (events: list[Event], delivery)     up to `batch` events of a lane, in order
        (orders: list[Order], delivery)     up to `batch` payloads

    A handler that returns has handled its events; one that raises has not.
    """
    return Subscriber(function) if function is not None else lambda f: Subscriber(f, batch=batch)


class SubscriberHandler:
    """Adapter that makes a user's handler a ports.Handler."""

    def __init__(
        self,
        target: Callable[..., Any],
        *,
        clock: Clock,
        transactional: bool,
        steps: StepMaker | None = None,
        publications: "Publications | None" = None,
        upcasting: Callable[[Event], Event] | None = None,
        validate: Callable[[Event], None] | None = None,
        reconciles_late: bool = False,
        alone: bool = True,
        has_keyboard: bool = True,
        fabric: str = "",
    ) -> None:
        """`upcasting`: brings an event to the version that the handler knows. `validate`: raises what no attempt can
        help, for an event that the handler must not see. `fabric`: the fabric's name with its stage. `alone`: whatever
        happens in the process during a call is the call's doing. `has_keyboard`: somebody may interrupt it by hand;
        otherwise a KeyboardInterrupt is its failure, like any other error.

        HandlerError: the target cannot be called as its signature asks, or lacks the function for late events.
        """
        wanted: Subscriber[..., Any] = target if isinstance(target, Subscriber) else Subscriber(target)
        self._function: Callable[..., Any] = wanted.function
        self._decode = None if wanted.payload_type is None else payload_decoder(wanted.payload_type)
        self._collect = wanted.collect
        self._clock = clock
        self._fabric = fabric
        self._transactional = transactional
        self._steps = steps
        self._publications = publications
        self._upcasting = upcasting
        self._validate = validate
        self._has_warned = False
        self._alone = alone
        self._passed_on = (Exception, KeyboardInterrupt) if has_keyboard else (Exception,)
        self.batch_events_max = wanted.batch
        self._when_late: SubscriberHandler | None = None
        if reconciles_late:
            if wanted.when_late is None:
                allowed = f"with a function declared by @{name_of(target).rpartition(':')[2]}.late"
                raise HandlerError(f'{name_of(target)}: on_late is "reconcile", allowed: {allowed}')
            self._when_late = SubscriberHandler(
                wanted.when_late,
                clock=clock,
                transactional=transactional,
                steps=steps,
                publications=publications,
                upcasting=upcasting,
                validate=validate,
                alone=alone,
                has_keyboard=has_keyboard,
                fabric=fabric,
            )

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> "Sequence[Effect]":
        """See ports.Handler."""
        if self._when_late is not None and events[0].late:
            return self._when_late.attempt(events, attempt)
        events = self._as_known(events)
        transaction = DeliveryTransaction() if self._transactional else None
        publications = self._publications.of(attempt) if self._publications is not None else None
        delivery = Delivery(
            events,
            attempt,
            self._clock,
            transaction,
            self._steps,
            publications=publications,
            collects=self._collect is not None,
            fabric=self._fabric,
        )
        threads = active_count()
        try:  # all that runs the handler's code: its payloads' types, too, and what it returns
            returned = self._function(self._given(events), delivery)
            if returned is not None:
                self._look_at(returned)
        except BaseException as error:  # whatever user code raises
            if issubclass(type(error), self._passed_on):  # the event's failure, or somebody at the keyboard
                raise
            # SystemExit and its like would end all lanes of the invocation.
            raise HandlerExitedError(
                f"{name_of(self._function)} raised {raised_by(error).error_type}: {said_by(error)}"
            ) from error
        finally:
            delivery.end()
        if self._alone and active_count() > threads:  # otherwise nobody can tell whose they are
            _log.warning("%s left %d threads running", name_of(self._function), active_count() - threads)
        writes = tuple(transaction.writes) if transaction else ()
        return (*writes, *publications.published) if publications is not None else writes

    def _as_known(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the events in the versions that the handler knows."""
        return events if self._upcasting is None else list(map(self._upcasting, events))

    def _given(self, events: Sequence[Event]) -> Any:
        if self._validate is not None:
            for event in events:
                self._validate(event)
        decode = self._decode
        given = events if decode is None else (decode(event) for event in events)
        return self._collect(given) if self._collect else next(iter(given))

    def _look_at(self, returned: object) -> None:
        """Refuse a return value that means that the events are not handled. A handler should return nothing."""
        if hasattr(returned, "__await__") or isgenerator(returned) or isasyncgen(returned):
            raise HandlerError(
                f"{name_of(self._function)} returned {type(returned).__name__}: it did not run"
            )
        if isinstance(returned, Mapping) and "batchItemFailures" in returned:
            raise HandlerError(
                f"{name_of(self._function)} returned batchItemFailures, allowed: to raise for what failed"
            )
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "%s returned %s, which nobody looks at", name_of(self._function), type(returned).__name__
            )


def load_handler(path: str, *, what: str = "handler") -> Callable[..., Any]:
    """Import the function that `package.module:function` names. HandlerError, which names `what`, if there is none."""
    target = load_named(path, what=what, allowed="package.module:function")
    if not callable(target):
        raise HandlerError(f"{what} {path!r}: found {type(target).__name__}, allowed: a function")
    function: Callable[..., Any] = target
    return function


def load_named(path: str, *, what: str, allowed: str) -> Any:
    """Import whatever `package.module:name` names. HandlerError, which names `what`, if there is nothing."""
    module_name, _, name = path.partition(":")
    try:
        return getattr(import_module(module_name), name)
    except (Exception, SystemExit) as error:  # whatever a module does when it is imported
        reason = (
            error if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        )
        raise HandlerError(f"{what} {path!r}: {reason}, allowed: {allowed} that can be imported") from error
