"""The record, which is the log's item, and the chain that binds it to the record before."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b
from struct import pack
from typing import Any

from eventfabric import limits
from eventfabric.errors import UndecodableRecordError
from eventfabric.model.identity import BatchId, Chain, HybridTime, Lane, SequenceNumber, next_time, to_ms

CHAIN_BYTES = 16
PIN_BYTES = 2 * CHAIN_BYTES
_NOTED = b"noted"
_SKIPPED = b"skipped"


@dataclass(frozen=True, slots=True)
class Tail:
    """Place at which a lane goes on: the next sequence, with chain and time of the record before it."""

    sequence: SequenceNumber
    chain: Chain
    time: HybridTime
    expires_at: int | None = field(default=None, compare=False)
    """Time at which that record may expire, in seconds since 1970; None: it is kept, or this is not known."""
    is_sealed: bool = field(default=False, compare=False)
    """True if that record is a seal: the lane has ended, and its children go on from here."""

    def is_of_same_log(self, other: "Tail") -> bool:
        """Tell if two logs have the same records up to these tails: equal chains prove that by one comparison."""
        return (self.sequence, self.chain) == (other.sequence, other.chain)


UNKNOWN_CHAIN = Chain(b"")
"""Chain of a record that has expired: the next record is taken as it is, and all further ones are bound to it."""
EMPTY_TAIL = Tail(SequenceNumber(0), Chain(bytes(CHAIN_BYTES)), HybridTime(0))
SEAL_ID = BatchId(bytes(CHAIN_BYTES))
"""Batch id of every seal. It is not stored."""


@dataclass(frozen=True, slots=True)
class Note:
    """The other place at which a batch may stand: only that lane and sequence, at which its put had no reply."""

    lane: Lane
    sequence: SequenceNumber


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one lane that are appended together. The id lets their producer recognise its own write."""

    id: BatchId
    count: int
    types: frozenset[str]
    payload: bytes = field(repr=False)
    note: Note | None = None
    """Set for a batch whose outcome in another Region is unknown."""


@dataclass(frozen=True, slots=True)
class SkippedBy:
    """Decision to let a lane go on past what it has lost: by whom, why and when."""

    by: str
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Record:
    """One item of the log: `count` events with the sequences from `sequence` on. Written once, never changed.

    A skip is the record that replaces lost ones, by an operator's decision: it has no types and holds no event. Its
    chain is that of the last lost record, if it is known. Otherwise it pins the next record: by that record's chain,
    and by a digest of all that it holds. The batch id of a skip is a digest of the chain before it.

    A seal is the record that ends a lane. It takes one sequence and holds no event: it has no types either, and its
    payload names the lane's children. It never expires, and its chain is computed like that of any appended record.
    """

    lane: Lane
    sequence: SequenceNumber
    count: int
    chain: Chain
    batch_id: BatchId
    time: HybridTime
    types: frozenset[str]
    payload: bytes = field(repr=False)
    expires_at: int | None = None
    """Time at which the record may expire, in seconds since 1970; None: it is kept."""
    note: Note | None = None
    """Other place at which its batch may stand; only one of the two is delivered."""
    skipped: SkippedBy | None = None
    """Set for a skip, but None if only the header was read."""
    unknown: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """Attributes of a later version, as they are stored, so that a copy has them, too. No chain covers them."""

    @property
    def is_skip(self) -> bool:
        """Tell if this is a skip, which an operator made, and not an appended record."""
        return not (self.types or self.payload)

    @property
    def is_seal(self) -> bool:
        """Tell if this record ends its lane."""
        return not self.types and bool(self.payload)

    @property
    def is_without_events(self) -> bool:
        """Tell if this is a skip or a seal, which hold no event."""
        return not self.types

    @property
    def tail(self) -> Tail:
        """Tail of the lane if this is its newest record; behind a seal, see `tail_behind`."""
        sequence = SequenceNumber(self.sequence + self.count)
        return Tail(sequence, self.chain, self.time, self.expires_at, self.is_seal)

    def holds(self, put: "Record") -> bool:
        """Tell if this is the very record that was put. Only its expiry may have been put off since."""
        return replace(self, expires_at=put.expires_at) == put

    def is_copy_of(self, other: "Record") -> bool:
        """Tell if both hold the same batch, wherever they stand."""
        mine = self.batch_id, self.count, self.types, self.payload
        return mine == (other.batch_id, other.count, other.types, other.payload)

    def extends(self, chain: Chain) -> bool:
        """Tell if this is, bit for bit, the record whose chain was computed over `chain`; True if that is unknown.

        After a skip: tell if this is the record that the skip was made for. Of a skip: tell if it was made for what
        stands before it.
        """
        if chain == UNKNOWN_CHAIN:
            return True
        if self.is_skip:
            return self.batch_id == digest_of_chain(chain)
        if len(chain) == PIN_BYTES:
            return chain == pin_of(self)
        return self.chain == chain_of(chain, self)


@dataclass(frozen=True, slots=True)
class Recent:
    """Newest records of a lane, newest first, as one consistent read saw them.

    `unreadable`: first sequences of items between them that cannot be decoded, newest first. `place`: the place that is
    noted for the lane, if the read came to the lane's beginning. `more`: older records may follow.
    """

    records: tuple[Record, ...]
    unreadable: tuple[SequenceNumber, ...]
    place: Tail | None
    more: bool


class InterventionKind(StrEnum):
    """Interventions of operators in a lane of the log."""

    SET_ASIDE = "set aside"
    """An item that does not belong to the lane was moved out of it, and is kept."""
    RESTORED = "restored"
    """A record that was lost or changed was put back from a copy, proven by the chain."""
    SKIPPED = "skipped"
    """The lane goes on past records that are lost for good."""
    SPLIT = "split"
    """The lane was ended by a seal, and goes on in its children. Nothing in it was mended."""


@dataclass(frozen=True, slots=True)
class Intervention:
    """One intervention of an operator in a lane at a sequence: by whom, why and when."""

    lane: Lane
    sequence: SequenceNumber
    by: str
    reason: str
    at_ms: int
    kind: InterventionKind = InterventionKind.SET_ASIDE


def record_at(tail: Tail, lane: Lane, batch: Batch, *, now_ms: int, retention_seconds: int | None) -> Record:
    """Make the record that puts `batch` at `tail` of the lane. UndecodableRecordError if no reader would accept it."""
    time = next_time(tail.time, now_ms)
    if tail.sequence + batch.count > limits.SEQUENCE_MAX:
        raise UndecodableRecordError(
            lane,
            tail.sequence,
            f"found sequence {tail.sequence}, time {time}: at the end of what a reader takes",
        )
    return Record(
        lane=lane,
        sequence=tail.sequence,
        count=batch.count,
        chain=_chain(tail.chain, lane, tail.sequence, time, batch.id, batch),
        batch_id=batch.id,
        time=time,
        types=batch.types,
        payload=batch.payload,
        expires_at=_expires_at(tail, time, retention_seconds),
        note=batch.note,
    )


def children_text(lane: Lane) -> str:
    """Return the text by which a lane's seal names its children."""
    return " ".join(child.local for child in lane.children)


def seal_at(tail: Tail, lane: Lane, *, now_ms: int) -> Record:
    """Make the seal that ends a lane at `tail`. UndecodableRecordError if no reader would accept it."""
    seal = Batch(SEAL_ID, 1, frozenset(), children_text(lane).encode())
    # Kept for ever: to whoever comes later, a lane without its seal would begin at its first sequence.
    return record_at(tail, lane, seal, now_ms=now_ms, retention_seconds=None)


def tail_behind(seal: Tail) -> Tail:
    """Return the tail of an empty child, given that of its parent behind the seal."""
    assert seal.is_sealed, "only a seal has children behind it"
    return replace(seal, is_sealed=False)


def _expires_at(tail: Tail, time: HybridTime, retention_seconds: int | None) -> int | None:
    """Return when a record may expire: after the retention, by the lane's time, and never before the one before it.

    Neither a clock nor a shorter retention may make a record expire before an earlier one. Otherwise the newest record
    that is left of a lane could not tell if there had been others after it.
    """
    if retention_seconds is None:
        return None
    return max(to_ms(time) // 1000 + retention_seconds, tail.expires_at or 0)


def skip_at(
    tail: Tail, lane: Lane, *, until: Tail, chain: Chain, expires_at: int | None, skipped: SkippedBy
) -> Record:
    """Make the record that lets a lane go on from `tail` to the sequence of `until`, at the time of `until`.

    `chain`: the chain with which the lane goes on there.
    """
    return Record(
        lane=lane,
        sequence=tail.sequence,
        count=until.sequence - tail.sequence,
        chain=chain,
        batch_id=digest_of_chain(tail.chain),
        time=until.time,
        types=frozenset(),
        payload=b"",
        expires_at=expires_at,
        skipped=skipped,
    )


def pin_of(record: Record) -> Chain:
    """Return a pin, by which a record is known without the chain before it: its chain, and a digest of all it holds."""
    return Chain(record.chain + chain_of(EMPTY_TAIL.chain, record))


def is_pin(chain: Chain | None) -> bool:
    """Tell if the chain after a skip is a pin, which only says which record stands there."""
    return chain is not None and len(chain) == PIN_BYTES


def digest_of_chain(chain: Chain) -> BatchId:
    """Return the batch id of a skip after that chain."""
    return BatchId(blake2b(chain, digest_size=CHAIN_BYTES, person=_SKIPPED).digest())


def chain_of(previous: Chain, record: Record) -> Chain:
    """Return BLAKE2b-128 over the previous chain and all that a reader acts on (the record without chain and expiry).

    Every part has a fixed length or its length before it, so that no two records have the same bytes. Records with a
    note have a hash function of their own, so that none of them shares its chain with a record without one.
    """
    return _chain(previous, record.lane, record.sequence, record.time, record.batch_id, record)


def _chain(
    previous: Chain,
    lane: Lane,
    sequence: SequenceNumber,
    time: HybridTime,
    batch_id: BatchId,
    of: Batch | Record,
) -> Chain:
    digest = blake2b(previous, digest_size=CHAIN_BYTES, person=b"" if of.note is None else _NOTED)
    if of.note is not None:
        noted = str(of.note.lane).encode()
        digest.update(pack(">QI", of.note.sequence, len(noted)) + noted)
    digest.update(pack(">QQQ", sequence, of.count, time))
    for part in (str(lane).encode(), batch_id, *(name.encode() for name in sorted(of.types))):
        digest.update(pack(">I", len(part)))
        digest.update(part)
    digest.update(blake2b(of.payload, digest_size=CHAIN_BYTES).digest())
    return Chain(digest.digest())
