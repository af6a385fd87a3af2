"""A project's handler on a simulated machine: each call that it makes outside is a turn, and may fail.

    before a call ── crash, throttle, request lost      after it ── crash, reply lost
    after the handler returned ── crash, time-out, an exception of the code around it

A crash raises an exception that only the simulation catches. Unlike in a real crash, `finally` and `with` blocks run.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar

from eventfabric.errors import said_by
from eventfabric.sdk.delivery import Delivery
from eventfabric.sdk.subscriber import Subscriber
from eventfabric.services.delivery.retry import is_declared_permanent
from eventfabric.testing.contexts import setting
from eventfabric.testing.idempotency.effects import Call, Left
from eventfabric.testing.idempotency.published import SERVICE, PublishedFor
from eventfabric.testing.local.guard import Guard, Rights
from eventfabric.testing.local.guard import acting as acting_as
from eventfabric.testing.local.zip_guard import in_function
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.acting import acting
from eventfabric.testing.simulation.plan import FINE, Conduct
from eventfabric.testing.simulation.process import Process, ProcessCalls
from eventfabric.testing.simulation.subscribers import DownstreamDown, FailedForNow

if TYPE_CHECKING:
    from eventfabric.testing.simulation.world import World

T = TypeVar("T")
_HANG_SECONDS: Final = 200.0
_AFTER: Final = "after"


class Tokens:
    """Tokens of calls that the called service recognises as repetitions, and for how long."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._since_ms: dict[tuple[str, str], int] = {}

    def knows(self, name: str, token: str | None, forgets_ms: int) -> bool:
        """Tell if the call is a repetition; else remember it from now on. `forgets_ms`: 0 for never."""
        if token is None:
            return False
        now_ms, since_ms = self._world.time.now_ms(), self._since_ms.get((name, token))
        if since_ms is not None and (not forgets_ms or now_ms < since_ms + forgets_ms):
            return True
        self._since_ms[name, token] = now_ms
        return False


@dataclass(frozen=True)
class RaisedMessage:
    """Message of an error that a handler raised. `is_declared`: its subscription declares it permanent."""

    text: str
    is_declared: bool


class Handling:
    """State that all handlers of one run share: what they left outside, and which attempts are to go wrong."""

    def __init__(self, world: "World", left: Left) -> None:
        self.world = world
        self.left = left
        self.tokens = Tokens(world)
        self.tries: Counter[tuple[str, str]] = Counter()
        self.errors: dict[tuple[str, str], RaisedMessage] = {}
        """Last error, by subscription and event."""
        self.published: dict[tuple[str, str], PublishedFor] = {}
        """Sources of what handlers published, by its stream and id."""
        self._planned = world.plan.events
        self._guard = Guard(world.topology)

    def handler_for(self, process: Process, name: str, target: Callable[..., Any]) -> Subscriber[..., Any]:
        """Return the handler for one machine. Batches hold one event, so that each effect belongs to a known event."""
        wanted = copy.copy(target) if isinstance(target, Subscriber) else Subscriber(target)
        wanted.when_late = copy.copy(wanted.when_late)
        for subscriber in (wanted, wanted.when_late):
            if subscriber is not None:
                subscriber.function = self._watched(subscriber.function, process, name)
                subscriber.batch = 1
        return wanted

    def conduct_of(self, event: str) -> Conduct:
        """Return how handlers are to behave with an event: without faults once the world is mended."""
        planned = self._planned.get(event)
        return FINE if planned is None or self.world.is_mended else planned.conduct

    def _watched(self, function: Callable[..., Any], process: Process, name: str) -> Callable[..., Any]:
        topology = self.world.topology
        deployed = topology.deliver_function(name, process.region)
        rights, has_layers = Rights.of(topology, deployed), bool(deployed.layers)
        variables = {**deployed.environment, "AWS_DEFAULT_REGION": process.region}

        @wraps(function)
        def handle(given: Any, delivery: Delivery) -> Any:
            attempt = HandlerAttempt(self, process, name, str(delivery.event.id))
            try:
                with (
                    attempt.running(),
                    acting_as(rights.statements, lists=rights.lists),
                    in_function(has_layers=has_layers),
                    process.own_code(variables),
                ):
                    returned = function(given, delivery)
                self._check_transaction(process, name, delivery, rights)
            except Exception as error:  # the fabric judges every kind of failure
                definition = self.world.topology.subscription(name).definition
                self.errors[name, attempt.event] = RaisedMessage(
                    said_by(error), is_declared_permanent(definition, error)
                )
                raise
            self._note_writers(name, delivery)
            self._note_published(name, delivery)
            attempt.end()
            return returned

        return handle

    def _check_transaction(self, process: Process, name: str, delivery: Delivery, rights: Rights) -> None:
        """Refuse a transaction with tables that the function's role does not allow. ClientError."""
        if self.world.topology.subscription(name).definition.guarantee.transactional:
            items = [{write.action: write.request} for write in delivery.transaction.writes]
            self._guard.check(
                process.region, "dynamodb", "TransactWriteItems", {"TransactItems": items}, rights
            )

    def _note_writers(self, name: str, delivery: Delivery) -> None:
        if self.world.topology.subscription(name).definition.guarantee.transactional:
            for write in delivery.transaction.writes:
                if write.action != "ConditionCheck":
                    self.left.writers["dynamodb", str(write.request["TableName"])].add(name)

    def _note_published(self, name: str, delivery: Delivery) -> None:
        for number, (stream, id_) in enumerate(delivery.published, 1):
            self.published[stream, id_] = PublishedFor(name, str(delivery.event.id), number)
            self.left.writers[SERVICE, stream].add(name)


class HandlerAttempt:
    """acting.Act: one attempt of a handler."""

    def __init__(self, handling: Handling, process: Process, subscription: str, event: str) -> None:
        self._handling = handling
        self._process = process
        self._subscription = subscription
        self.event = event
        self._calls = ProcessCalls(process, process.region)
        self._crashes_at = ""
        tried = handling.tries[subscription, event]
        handling.tries[subscription, event] += 1
        conduct = handling.conduct_of(event)
        if tried < conduct.crashes:
            # At its second call, if it makes two, or after its end.
            self._crashes_at = process.random.choice(("1", _AFTER, _AFTER))
        self._hangs = conduct.crashes <= tried < conduct.crashes + conduct.hangs
        begins = conduct.crashes + conduct.hangs
        self._fails = begins <= tried < begins + conduct.fails
        self._made = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the calls made in this context as calls of this attempt."""
        if self._subscription in self._handling.world.down:
            raise DownstreamDown
        with setting(acting, self):
            yield

    def end(self) -> None:
        """Do what goes wrong once the handler has returned."""
        if self._crashes_at:
            self._process.die(f"crashed when its handler had handled {self.event}")
        if self._hangs:
            self._process.breathe(_HANG_SECONDS)
        if self._fails:
            raise FailedForNow(self.event)

    def call(self, name: str, effect: Callable[[], T], *, key: str | None = None) -> T:
        """acting.Act."""
        return self.send(name, effect, [key])

    def send(
        self,
        name: str,
        effect: Callable[[], T],
        keys: Iterable[str | None],
        *,
        region: str = "",
        forgets_ms: int = 0,
    ) -> T:
        """Make a call that takes effect each time, once for each of its keys that the called service does not know yet.

        `region`: the Region in which the service knows the keys, if it has Regions; the client's, not the caller's.

        Raises:
            PortError: no reply, or throttled.
        """

        def counted() -> T:
            result = effect()
            for key in keys:
                self._count(name, key, region, forgets_ms)
            return result

        return self.reach(name, counted)

    def reach(self, name: str, effect: Callable[[], T]) -> T:
        """Make a call that is not counted: if it writes, the state in the end is compared instead. PortError."""
        if self._crashes_at == str(self._made):
            self._process.die(f"crashed in its handler of {self.event}, before {name}")
        self._made += 1
        return self._calls.call(name, effect)

    def wrote(self, service: str, place: str, region: str, name: str) -> None:
        """Note that the subscription writes to a place."""
        self._handling.left.regions.add(region)
        self._handling.left.writers[service, place].add(self._subscription)
        self._tell(name)

    def _count(self, name: str, key: str | None, region: str, forgets_ms: int) -> None:
        """Count an effect, unless the called service knows its key."""
        if not self._handling.tokens.knows(f"{region} {name}", key, forgets_ms):
            self._handling.left.calls[Call(self._subscription, self.event, name)] += 1
            self._tell(name)

    def _tell(self, name: str) -> None:
        self._process.tell(
            history.EffectCalled,
            region=self._process.region,
            subscription=self._subscription,
            id=self.event,
            effect=name,
        )
