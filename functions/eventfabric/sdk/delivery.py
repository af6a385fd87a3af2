"""The delivery as its handler sees it: facts, the transaction that it may write into, its steps, what it publishes."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from eventfabric.errors import HandlerError, UnlistedStreamError
from eventfabric.model import Event, EventFields, Write
from eventfabric.ports import Attempt, Clock
from eventfabric.sdk.step import Step, StepMaker

if TYPE_CHECKING:  # only subscriptions that publish need it
    from eventfabric.sdk.publications import DeliveryPublications


class Transaction:
    """DynamoDB writes that commit together with the subscription's cursor: all of them once, or none.

    Values are plain Python (str, int, float, Decimal, bool, None, bytes, list, dict, set). If a write's condition
    fails, the event fails. Between events of one key a handler always reads what it wrote before; rows that several
    keys share need a condition or an ADD, as they do between lanes anyway.
    """

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self.ended = False

    def put(self, table: str, item: Mapping[str, object], **expressions: Any) -> None:
        """Write a whole item. See `update` for the expressions."""
        self._add("Put", {"TableName": table, "Item": _attributes(item)}, expressions)

    def update(self, table: str, key: Mapping[str, object], expression: str, **expressions: Any) -> None:
        """Change an item by an update expression.

        Args:
            table: name of the table, in the Region of the delivery.
            key: the item's key.
            expression: such as "ADD balance :amount".
            **expressions: condition="...", names={"#n": "name"}, values={":amount": 10}.
        """
        self._add(
            "Update",
            {"TableName": table, "Key": _attributes(key), "UpdateExpression": expression},
            expressions,
        )

    def delete(self, table: str, key: Mapping[str, object], **expressions: Any) -> None:
        """Delete an item. See `update` for the expressions."""
        self._add("Delete", {"TableName": table, "Key": _attributes(key)}, expressions)

    def check(self, table: str, key: Mapping[str, object], *, condition: str, **expressions: Any) -> None:
        """Commit only if the condition holds for an item."""
        self._add(
            "ConditionCheck",
            {"TableName": table, "Key": _attributes(key)},
            {"condition": condition, **expressions},
        )

    def _add(self, action: str, request: dict[str, Any], expressions: Mapping[str, Any]) -> None:
        if self.ended:
            raise HandlerError("transaction: its delivery has ended; a handler writes before it returns")
        unknown = expressions.keys() - {"condition", "names", "values"}
        if unknown:
            raise HandlerError(
                f"transaction: found {', '.join(sorted(unknown))}, allowed: condition, names, values"
            )
        if expressions.get("condition"):
            request["ConditionExpression"] = expressions["condition"]
        if expressions.get("names"):
            request["ExpressionAttributeNames"] = dict(expressions["names"])
        if expressions.get("values"):
            request["ExpressionAttributeValues"] = _attributes(expressions["values"])
        self.writes.append(Write(action, request))


class DeliveryTransaction(Transaction):
    """Writes and events that commit together with the subscription's cursor: all of them once, or none."""

    def __init__(self) -> None:
        super().__init__()
        self._delivery: Delivery | None = None

    def belongs_to(self, delivery: "Delivery") -> None:
        """Publish by this delivery."""
        self._delivery = delivery

    def publish(
        self,
        stream: str,
        *,
        event: Event | None = None,
        name: str | None = None,
        **fields: Unpack[EventFields],
    ) -> str:
        """Publish an event with the commit. See `Delivery.publish`."""
        assert self._delivery is not None, "a transaction is handed out by its delivery"
        return self._delivery.publish(stream, event=event, name=name, **fields)


class Delivery:
    """One attempt at handing events to a subscription.

    `event` is the event of a handler that takes one (also if it takes only the payload); `events` are those of a batch
    handler. `is_replay`: the subscription is replayed and committed them once before; a batch never mixes replays and
    others. `fabric`: the fabric's name with its stage, such as shop_dev, with which the names of the handler's own
    tables can begin.
    """

    __slots__ = (
        "_clock",
        "_collects",
        "_deadline_ms",
        "_ended",
        "_epoch",
        "_publications",
        "_steps",
        "_transaction",
        "attempt",
        "events",
        "fabric",
        "is_replay",
        "subscription",
    )

    def __init__(
        self,
        events: Sequence[Event],
        attempt: Attempt,
        clock: Clock,
        transaction: DeliveryTransaction | None = None,
        steps: StepMaker | None = None,
        *,
        publications: "DeliveryPublications | None" = None,
        collects: bool = False,
        fabric: str = "",
    ) -> None:
        self.fabric = fabric
        self.events = tuple(events)
        self.subscription = attempt.subscription
        self.attempt = attempt.number
        self.is_replay = attempt.replay
        self._deadline_ms = attempt.deadline_ms
        self._clock = clock
        self._transaction = transaction
        self._steps = steps
        self._publications = publications
        self._epoch = attempt.epoch
        self._collects = collects
        self._ended = False

    def end(self) -> None:
        """End the delivery when the handler has returned or raised: later writes would have no commit to go with."""
        self._ended = True
        if self._transaction is not None:
            self._transaction.ended = True
        if self._publications is not None:
            self._publications.end()

    @property
    def event(self) -> Event:
        """The event, or the first of a batch."""
        return self.events[0]

    @property
    def remaining_seconds(self) -> float:
        """Seconds left for this attempt before the lane is handed back."""
        return max(0.0, (self._deadline_ms - self._clock.now_ms()) / 1000)

    @property
    def transaction(self) -> DeliveryTransaction:
        """Writes and events that commit with the cursor. Only for subscriptions with guarantee = "exactly_once"."""
        if self._transaction is None:
            raise HandlerError(
                f'subscription {self.subscription} has no transaction: set guarantee = "exactly_once" in the definition'
            )
        self._transaction.belongs_to(self)
        return self._transaction

    @property
    def published(self) -> list[tuple[str, str]]:
        """Stream and id of each event that this attempt has published so far."""
        published = () if self._publications is None else self._publications.published
        return [(event.stream, event.row[0]) for event in published]

    def publish(
        self,
        stream: str,
        *,
        event: Event | None = None,
        name: str | None = None,
        once: bool = False,
        **fields: Unpack[EventFields],
    ) -> str:
        """Publish an event into a stream that the subscription lists in `publishes`. Return the event's id.

        Nothing is published if the handler raises. Under "exactly_once", the event and the cursor commit together, and
        the event stands in the log once. Under "at_least_once", it is appended before the commit: after a crash it
        comes again, with the same id. Under "at_most_once", it is appended after the commit and the handler: it may be
        lost, and never comes again. A replay publishes nothing again, unless somebody asked for that.

        Args:
            stream: name of the stream.
            event: the source event; needed in handlers of several events.
            name: name of what is published, each once for a source event, from which the id is made; default: its
                number. Give one if the order in which the handler publishes may change.
            once: under "at_least_once", leave it out if an event of this id was published before. If that one has
                another key, type or data, the source event is a dead letter. Costs a transaction for each event, which
                a stream whose durability is "quorum" does not have.
            **fields: as Event: key, type, data, id, headers (at most 63), time, source. An id of your own must be the
                same at each attempt, and goes with `once` under "at_least_once" only.

        Raises:
            UnlistedStreamError, TooManyHopsError, NoTransactionsError, HandlerError: wrong use; the source event is a
                dead letter. So it is if it publishes into more than 8 lanes under "exactly_once" (TooManyLanesError).
            InvalidEventError: the event cannot be published.
        """
        if self._publications is None:
            raise UnlistedStreamError(self.subscription, stream, ())
        if event is None and self._collects:
            raise HandlerError("publish: event: found none, allowed: one of delivery.events")
        if event is not None and all(event is not handed for handed in self.events):
            raise HandlerError("publish: event: found another, allowed: one of delivery.events")
        return self._publications.publish(stream, fields, event or self.event, name=name, once=once)

    def once(
        self, name: str, *, event: Event | None = None, verify: Callable[[Step], bool] | None = None
    ) -> Step:
        """Make a step: an effect outside DynamoDB that must not happen twice for an event, whatever crashes.

            with delivery.once("charge", verify=was_charged) as step:
                if not step.done:
                    step.result = payments.charge(order, idempotency_key=step.key)

        A record notes the step before and after (2 writes); `step.result`, plain JSON, is there again at later
        attempts. If the process dies in the block, nobody knows if the effect happened. Then `verify(step)` decides: it
        returns True or False, or raises if it cannot tell, and is asked again at the next attempt. Without `verify` the
        event becomes a dead letter, and a person settles the step (`eventfabric steps settle`). If the block raises,
        the step begins again at the next attempt; with `verify`, after asking that.

        Args:
            name: name of the step within its subscription: 1 to 64 letters, digits, '.', '_' and '-'.
            event: the event whose step it is; needed in handlers of several events.
            verify: finds out from the other side, by `step.key`, if the effect happened; may set `step.result`.

        Raises:
            HandlerError: wrong use.
            UnknownStepError: on entry, see above.
        """
        if self._ended:
            raise HandlerError(f"step {name!r:.80}: its delivery has ended")
        if self._steps is None:
            raise HandlerError(f"step {name!r:.80}: this delivery was made without steps")
        if event is None and self._collects:
            raise HandlerError(f"step {name!r:.80}: event: found none, allowed: one of delivery.events")
        return self._steps.make(name, event or self.event, verify, epoch=self._epoch)


def _attributes(values: Mapping[str, object]) -> dict[str, Any]:
    from eventfabric.aws.attributes import (
        to_attributes,
    )  # imports boto3: only if needed

    return to_attributes(values)
