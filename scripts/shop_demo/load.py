"""The load of the demo: events from a file, each published in the Region of its key, while deliveries run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from eventfabric import limits
from eventfabric.errors import MalformedCloudEventError
from eventfabric.model import Event
from eventfabric.sdk.bundle import Receipt
from eventfabric.sdk.cloudevents_file import read_cloudevents
from eventfabric.sdk.pending import PendingReceipt
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.local.chaos import Rates
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.wire.cloudevent import KeyRule

CHUNK_EVENTS = 50
"""Number of events that are published before deliveries get their turn."""
STEPS = 3
"""Number of turns that deliveries get between two chunks: enough to keep up, but not to catch up."""


@dataclass
class Input:
    """The events of a file, and the errors of its malformed lines."""

    events: list[Event] = field(default_factory=list)
    malformed: list[MalformedCloudEventError] = field(default_factory=list)


def read_events(path: Path, *, key_rule: KeyRule | None = None) -> Input:
    """Read the CloudEvents of a file, one a line, and the errors of bad lines. `key_rule` says where keys are."""
    events = Input()
    with path.open("rb") as file:
        for _, event in read_cloudevents(file, name=str(path), key_rule=key_rule):
            if isinstance(event, Event):
                events.events.append(event)
            else:
                events.malformed.append(event)
    return events


def region_of(key: str, regions: Sequence[str]) -> str:
    """Choose the Region for a key's events: always the same one, so that their order has a single origin."""
    return regions[blake2b(key.encode(), digest_size=8).digest()[-1] % len(regions)]


def publish_all(
    fabric: LocalFabric,
    stream: StreamTopology,
    events: Sequence[Event],
    *,
    faults: Rates | None,
    on_chunk: Callable[[int], None],
) -> list[tuple[Event, Receipt]]:
    """Publish in chunks, with a step of everything else after each. Returns the acknowledged events.

    With `faults`, these happen all the time, the first two Regions are cut apart for the middle third, and the clock
    advances with every chunk, so that messages which a crash left invisible come back during the load.
    """
    regions = [region for region in fabric.regions if region in stream.definition.regions]
    fabric.chaos.rates = faults or Rates()
    pending: list[tuple[Event, PendingReceipt]] = []
    publishers = {region: fabric.region(region).publisher(stream.name) for region in regions}
    for start in range(0, len(events), CHUNK_EVENTS):
        if faults:
            _cut_or_heal(fabric, regions, third=3 * start // len(events))
        for event in events[start : start + CHUNK_EVENTS]:
            pending.append((event, publishers[region_of(event.key, regions)].publish_event(event)))
        for publisher in publishers.values():
            publisher.flush()
        _let_deliver(fabric, hurries=faults is not None)
        on_chunk(min(start + CHUNK_EVENTS, len(events)))
    for publisher in publishers.values():
        publisher.close()
    return [(event, receipt.result()) for event, receipt in pending]


def _cut_or_heal(fabric: LocalFabric, regions: Sequence[str], *, third: int) -> None:
    """Cut the first two Regions apart for the middle third of the load."""
    if len(regions) > 1 and third == 1:
        fabric.faults.cut(regions[0], regions[1])
    elif len(regions) > 1:
        fabric.faults.heal()


def _let_deliver(fabric: LocalFabric, *, hurries: bool) -> None:
    for _ in range(STEPS):
        fabric.step()
    if hurries:
        fabric.clock.advance(seconds=limits.VISIBILITY_TIMEOUT_SECONDS / 4)
