"""Publishing again: settle a batch whose outcome is unknown. Its lane may have been split since, or before."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from eventfabric.errors import IndeterminateAppendError, SealedLaneError
from eventfabric.model import Batch, Event, Lane, Record
from eventfabric.sdk.bundle import Receipt, receipt
from eventfabric.sdk.outgoing import Outgoing
from eventfabric.services.publishing.append import Appended
from eventfabric.wire.batch import batch_of_rows
from eventfabric.wire.payload_codec import stored, unpack


@dataclass(frozen=True, slots=True)
class _Part:
    """Part of the batch. `indices`: places of its events in the batch."""

    lane: Lane
    batch: Batch
    indices: Sequence[int]
    unsettled: Record | None = None
    doubt: IndeterminateAppendError | None = None


def append_again(outgoing: Outgoing, put: Record, batch: Batch, *, acks: int) -> list[Receipt]:
    """Append a batch unless it was written already, and return the receipts of its events.

    `put`: the record whose put had no reply. It may hold more events than the batch: those that have landed since, as
    other parts of the batch that it was then.
    """
    events = _events(put, batch)
    parts = deque([_Part(put.lane, batch, range(len(events)), put)])
    receipts: dict[int, Receipt] = {}
    while parts:
        part = parts.popleft()
        try:
            appended = outgoing.append(
                part.lane, part.batch, unsettled=part.unsettled, acks=acks, doubt=part.doubt
            )
        except SealedLaneError as sealed:
            parts.extendleft(reversed(list(_cut(outgoing, part, sealed, events))))
            continue
        for index, place in zip(part.indices, _places(part, appended, put, events), strict=True):
            receipts[index] = receipt(appended, place, events[index].id or "")
    return [receipts[index] for index in range(len(events))]


def _events(put: Record, batch: Batch) -> list[Event]:
    return unpack(replace(put, count=batch.count, types=batch.types, payload=batch.payload))


def _cut(
    outgoing: Outgoing, part: _Part, sealed: SealedLaneError, events: Sequence[Event]
) -> Iterator[_Part]:
    """Yield a part for each lane to which its events go. All keep the batch's id and its note."""
    assert isinstance(sealed.batch, Batch)
    lanes: dict[Lane, list[int]] = {}
    for index in part.indices:
        lanes.setdefault(outgoing.below(sealed, events[index].key), []).append(index)
    for lane, indices in lanes.items():
        batch = batch_of_rows(sealed.batch.id, [stored(events[index]) for index in indices])
        yield _Part(lane, replace(batch, note=sealed.batch.note), indices, doubt=sealed.doubt)


def _places(part: _Part, appended: Appended, put: Record, events: Sequence[Event]) -> Sequence[int]:
    """Return the places of a part's events in the record that holds them."""
    if appended.count == len(part.indices):
        return range(appended.count)
    # The record that was put before has landed, and holds further events between them.
    held, places, place = unpack(put), list[int](), 0
    for index in part.indices:
        while stored(held[place]) != stored(events[index]):
            place += 1
        places.append(place)
        place += 1
    return places
