"""Published: what a handler publishes, between its call and the records that will hold it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from struct import pack
from typing import Final, TypeAlias

from eventfabric import limits
from eventfabric.model import Lane, SequenceNumber, Write
from eventfabric.wire.batch import Part, has_room
from eventfabric.wire.commit_size import CommitSize, size_of_writes
from eventfabric.wire.payload_codec import RECORD_OVERHEAD_BYTES, Row

_ID_BYTES: Final = 16
_PERSON: Final = b"published"
_FRAME_BYTES_MAX: Final = 1024 + RECORD_OVERHEAD_BYTES
"""Most bytes of a record's item beside its events and their types: a lane, a batch, and six integers, with names."""


@dataclass(frozen=True, slots=True)
class Published:
    """An event that a handler publishes into a lane of another stream. `once`: unless its id was published once."""

    stream: str
    lane: Lane
    row: Row = field(repr=False)
    size_bytes: int
    once: bool = False

    @property
    def digest(self) -> bytes:
        """Digest of what makes two of them one event: all but when it was published, and how far its lane was split."""
        id_, type_, key, _, source, _, kind, content = self.row
        return _digest(self.stream, str(self.lane.root), id_, type_, key, source, str(kind), content).digest()


Effect: TypeAlias = Write | Published
"""Anything that an attempt leaves to be done with the commit of its events."""


def writes_of(effects: Sequence[Effect]) -> list[Write]:
    """Return the writes among the effects, in their order."""
    return [effect for effect in effects if isinstance(effect, Write)]


def published_of(effects: Sequence[Effect]) -> list[Published]:
    """Return the published events among the effects, in their order."""
    return [effect for effect in effects if isinstance(effect, Published)]


def size_of_effects(effects: Sequence[Effect]) -> CommitSize:
    """Return the size of writes, and the bytes of published events; the records of these are counted as `Rooms`."""
    return size_of_writes(writes_of(effects)) + CommitSize(0, bytes_of_events(published_of(effects)))


def bytes_of_events(published: Iterable[Published]) -> int:
    """Return the most bytes that events take in their records. A record's item names the types of its events again."""
    return sum(event.size_bytes + len(event.row[1].encode()) for event in published)


def size_of_records(count: int) -> CommitSize:
    """Return the size of so many records without their events."""
    return CommitSize(count, count * _FRAME_BYTES_MAX)


def published_id(
    subscription: str, stream: str, lane: Lane, sequence: SequenceNumber, *, edit: str, name: str | int
) -> str:
    """Return the id of an event that a handler publishes: equal at each attempt, in each Region, after a redrive.

    Args:
        subscription: name of the subscription's state, so that one that takes a retired name has ids of its own.
        stream: stream of the source event.
        lane: lane of the source event.
        sequence: sequence of the source event.
        edit: digest of what replaces the source event, if somebody edited it; else empty.
        name: name that the handler gives, or number of the event among those published for the source event.
    """
    kind = "number" if isinstance(name, int) else "name"
    return _digest(subscription, stream, str(lane), str(sequence), edit, kind, str(name)).hexdigest()


def _digest(*parts: str | bytes) -> "blake2b":
    digest = blake2b(digest_size=_ID_BYTES, person=_PERSON)
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(pack(">I", len(content)) + content)
    return digest


def digest_of_edit(replacement: bytes) -> str:
    """Return a digest of the stored form of an event that an operator put in place of another."""
    return blake2b(replacement, digest_size=_ID_BYTES, person=_PERSON).hexdigest()


Target: TypeAlias = tuple[str, Lane]
"""Stream and lane into which events are published."""


class Parts:
    """Events for each target lane, in order, in as few parts as there must be records."""

    def __init__(self, published: Iterable[Published] = ()) -> None:
        self.of: dict[Target, list[Part]] = {}
        for event in published:
            parts = self.of.setdefault((event.stream, event.lane), [])
            if not parts or not parts[-1].has_room(event.row[1], event.size_bytes):
                parts.append(Part())
            parts[-1].add(event.row, event.size_bytes)

    def __len__(self) -> int:
        return sum(map(len, self.of.values()))


@dataclass(frozen=True, slots=True)
class _Room:
    """Room that is taken in the records of one target lane. All but `records` are those of the last of them."""

    records: int = 0
    events: int = 0
    bytes: int = 0
    types: frozenset[str] = frozenset()

    def after(self, event: Published) -> "_Room":
        type_, size_bytes = event.row[1], event.size_bytes
        if self.records and has_room(self.events, self.bytes, self.types, type_, size_bytes):
            types = self.types if type_ in self.types else self.types | {type_}
            return _Room(self.records, self.events + 1, self.bytes + size_bytes, types)
        return _Room(self.records + 1, 1, size_bytes, frozenset({type_}))


@dataclass(frozen=True, slots=True)
class Rooms:
    """Records that the published events of one commit need, lane by lane."""

    of: Mapping[Target, _Room] = field(default_factory=dict)

    def after(self, effects: Sequence[Effect]) -> "Rooms":
        """Return the rooms with the published events of these effects, too."""
        published = published_of(effects)
        if not published:
            return self
        rooms = dict(self.of)
        for event in published:
            target = event.stream, event.lane
            rooms[target] = rooms.get(target, _Room()).after(event)
        return Rooms(rooms)

    @property
    def records(self) -> int:
        """Number of records."""
        return sum(room.records for room in self.of.values())

    @property
    def size(self) -> CommitSize:
        """Size of these records; the bytes of their events are counted with the effects."""
        return size_of_records(self.records)

    @property
    def may_grow(self) -> bool:
        """Tell if events of several attempts may be committed together: a put for each target lane, in few lanes.

        Each further tail that one transaction must meet halves what many committers get done.
        """
        return self.records == len(self.of) <= limits.PUBLISH_LANES_MAX


NO_ROOMS: Final = Rooms()
