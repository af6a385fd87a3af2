"""Published events of one run, as effects: what stands in other streams in the end, by the event it was published for.

A repeat with the same id is harmless if it says the same. Otherwise it counts as a call made once too often.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from eventfabric.model import Event, Lane
from eventfabric.testing.idempotency.effects import Call, Left, Store
from eventfabric.testing.simulation.world import World
from eventfabric.wire import record_item
from eventfabric.wire.keys import is_record
from eventfabric.wire.payload_codec import unpack

SERVICE = "eventfabric"
"""Service under which streams count as places, beside tables and buckets."""


@dataclass(frozen=True)
class PublishedFor:
    """Source of a published event: the subscription, the event in its hands, and the number among what it published."""

    subscription: str
    event: str
    number: int

    def __str__(self) -> str:
        return f"{self.subscription}'s {self.number} for {self.event}"


def add_published(left: Left, world: World, sources: Mapping[tuple[str, str], PublishedFor]) -> None:
    """Add what handlers published: how often for each event, if ids or contents differ, and what it says in the end.

    `sources`: by stream and id.
    """
    for stream in sorted({stream for stream, _ in sources}):
        for region in world.topology.stream(stream).definition.regions:
            items = left.state[Store(SERVICE, stream, region)] = {}
            seen: set[tuple[str, str]] = set()
            for event in _events(world, stream, region):
                source, said = sources.get((stream, str(event.id))), _said_by(event)
                if source is None:
                    continue
                items[str(source)] = said
                if (str(event.id), repr(said)) not in seen:
                    left.calls[Call(source.subscription, source.event, f"publish {stream}")] += 1
                seen.add((str(event.id), repr(said)))


def _events(world: World, stream: str, region: str) -> Iterator[Event]:
    """Yield the events that were appended in a Region, lane by lane, in their order."""
    items = [item for item in world.cloud.log_table(stream, region).items if is_record(item)]
    records = [record_item.from_item(item) for item in items]
    own = [record for record in records if record.lane.origin == region]
    for record in sorted(own, key=lambda record: (Lane.parse(str(record.lane)), record.sequence)):
        yield from unpack(record)


def _said_by(event: Event) -> dict[str, str]:
    """Return what an event says as attributes of text."""
    said = {"key": event.key, "type": event.type}
    data = event.data
    if isinstance(data, dict):
        return said | {f"data.{name}": _text(value) for name, value in data.items()}
    return said | {"data": _text(data)}


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
