"""Handlers with writes of their own, which are committed with the cursor."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from eventfabric.model import Event, Write
from eventfabric.ports import Attempt
from tests.support.memory_fabric import event
from tests.support.recording_handler import EFFECTS, add_one
from tests.support.subscribed_stream import SubscribedStream

Writes = Mapping[str, Sequence[Write]]


class Writing:
    """A handler with given writes for the events of these ids, and one write of its own for others."""

    batch_events_max = 1

    def __init__(
        self, writes: Writes | None = None, *, watch: Callable[[Event], None] = lambda event: None
    ) -> None:
        self.writes = writes or {}
        self.watch = watch
        self.attempted: list[str] = []

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Write]:
        (event,) = events
        self.attempted.append(str(event.id))
        self.watch(event)
        return self.writes.get(str(event.id), (add_one(str(event.id)),))


def fabric_of(handler: Writing, *events: Event) -> SubscribedStream:
    fabric = SubscribedStream(guarantee="exactly_once", handler=handler)
    for next_event in events:
        fabric.put(next_event)
    return fabric


def each_of_its_key(names: Iterable[str]) -> list[Event]:
    return [event(name, key=name) for name in names]


def refused_write() -> Write:
    condition = {"ConditionExpression": "attribute_exists(id)"}
    return Write("ConditionCheck", {"TableName": EFFECTS, "Key": {"id": {"S": "absent"}}, **condition})


def put_of(row: str, **attributes: Any) -> Write:
    return Write("Put", {"TableName": EFFECTS, "Item": {"id": {"S": row}, **attributes}})


def refused(fabric: SubscribedStream, key: str) -> str:
    """Return the code by which the first event of a parked key was refused."""
    failure = fabric.parked()[key].failure
    assert failure.error_type == "eventfabric.services.delivery.retry:RefusedWriteError"
    return failure.message.partition(":")[0]
