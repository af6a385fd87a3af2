"""A stream whose subscription publishes into another, `invoices`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from eventfabric import Delivery, Event
from eventfabric.model import Lane, Record, StreamName
from eventfabric.ports import Outbox
from eventfabric.sdk.publications import Publications
from eventfabric.sdk.subscriber import SubscriberHandler
from eventfabric.services.delivery.deliver import Deliverer
from eventfabric.services.publishing.append import Appender
from eventfabric.services.publishing.gates import CreditsOf, ungated
from eventfabric.services.publishing.targets import Targets
from eventfabric.testing.memory.faults import Faults
from tests.support.memory_fabric import STREAM, batch_of, event, lane
from tests.support.recording_handler import EFFECTS
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

INVOICES = "invoices"
Handle = Callable[[Event, Delivery], None]


def bill(event: Event, delivery: Delivery) -> None:
    """Publish one invoice for the event, of its key."""
    delivery.publish(INVOICES, key=event.key, type="Billed", data={"of": event.id})


def bill_and_count(event: Event, delivery: Delivery) -> None:
    """Publish one invoice, and count it in a row of its own, in the delivery's transaction."""
    delivery.transaction.publish(INVOICES, key=event.key, type="Billed", data={"of": event.id})
    delivery.transaction.update(EFFECTS, {"id": f"event:{event.id}"}, "ADD n :one", values={":one": 1})


class PublishingStream(SubscribedStream):
    """A stream, its subscription, and the stream into which its handler publishes. `calls`: ids, as it was called."""

    def __init__(
        self,
        handle: Callable[..., Any] = bill,
        *,
        invoices: str = "lanes = 4",
        guarantee: str = "at_least_once",
        **settings: Any,
    ) -> None:
        super().__init__(
            others=f"[streams.{INVOICES}]\n{invoices}",
            guarantee=guarantee,
            publishes=[INVOICES],
            **settings,
        )
        self.calls: list[str] = []
        self.handle = handle
        self.credits: CreditsOf = ungated
        """Credits of the target stream."""

    def deliverer(
        self, *, faults: Faults | None = None, outbox: Outbox | None = None, **settings: Any
    ) -> Deliverer:
        """A function instance of its own; faults hit calls of the target stream, too."""
        ports = (faults or self.faults).ports(self.ports())
        ports = replace(ports, outbox=outbox) if outbox is not None else ports
        definition, target = self.subscription.definition, self.topology.stream(INVOICES)
        publications = Publications(
            SUBSCRIPTION,
            StreamName(STREAM),
            [target],
            region=self.region,
            clock=self.clock,
            may_repeat=definition.guarantee.may_repeat,
        )
        handler = SubscriberHandler(
            self.handle,
            clock=self.clock,
            transactional=definition.guarantee.transactional,
            publications=publications,
        )
        return Deliverer(
            self.subscription,
            self.stream,
            ports=ports,
            handler=_Noting(handler, self.calls),
            telemetry=self.telemetry,
            targets=Targets([target], ports, credits_of=lambda current: self.credits),
            **settings,
        )

    def invoices(self) -> list[Event]:
        """All events of the target stream, lane by lane."""
        return self.events(INVOICES)

    def invoiced(self) -> list[str]:
        """The ids of the events that invoices are of, lane by lane."""
        return [invoice.data["of"] for invoice in self.invoices() if invoice.type == "Billed"]

    def target_records(self) -> list[Record]:
        """All records of the target stream, lane by lane."""
        count = self.topology.stream(INVOICES).definition.lanes
        return [record for index in range(count) for record in self.records(lane(index), INVOICES)]

    def overtake(self, of: Lane, name: str = "other") -> None:
        """Have another publisher append to a lane of the target stream."""
        log = self.cloud.log(INVOICES, self.region)
        appender = Appender(log, stream=INVOICES, clock=self.clock, entropy=self.entropy)
        appender.append(of, batch_of([event(name)], self.entropy.bytes(16)))


class _Noting:
    """A handler that notes the events with which it is called."""

    def __init__(self, handler: SubscriberHandler, calls: list[str]) -> None:
        self._handler = handler
        self._calls = calls
        self.batch_events_max = handler.batch_events_max

    def attempt(self, events: Any, attempt: Any) -> Any:
        self._calls += [str(event.id) for event in events]
        return self._handler.attempt(events, attempt)
