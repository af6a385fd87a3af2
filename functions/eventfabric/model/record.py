"""Owns the record, the log's item, and the chain that binds it to the one before."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b
from struct import pack

from eventfabric import limits
from eventfabric.errors import UndecodableRecordError
from eventfabric.model.hybrid_clock import next_time, to_ms
from eventfabric.model.identity import BatchId, Chain, HybridTime, Lane, Sequence

CHAIN_BYTES = 16
PIN_BYTES = 2 * CHAIN_BYTES
_NOTED = b"noted"
_SKIPPED = b"skipped"


@dataclass(frozen=True, slots=True)
class Tail:
    """Where a lane goes on: the next sequence, with chain and time of the record before it."""

    sequence: Sequence
    chain: Chain
    time: HybridTime
    expires_at: int | None = field(default=None, compare=False)
    """When that record may go, in seconds since 1970; None: it is kept, or it is not known."""


UNKNOWN_CHAIN = Chain(b"")
"""Of a record that has expired: the one after it is taken as it is, and all further ones are bound to it."""
EMPTY_TAIL = Tail(Sequence(0), Chain(bytes(CHAIN_BYTES)), HybridTime(0))


@dataclass(frozen=True, slots=True)
class Note:
    """Where else a batch may stand: in that lane at this sequence, and at no other, for there its put had no reply."""

    lane: Lane
    sequence: Sequence


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one lane that are appended together; the id lets their producer recognise its own write."""

    id: BatchId
    count: int
    types: frozenset[str]
    payload: bytes = field(repr=False)
    note: Note | None = None
    """Of a batch whose outcome in another Region is unknown."""


@dataclass(frozen=True, slots=True)
class SkippedBy:
    """Who had a lane go on past what is lost of it, why and when."""

    by: str
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Record:
    """One item of the log: `count` events with the sequences from `sequence` on. Written once, never changed.

    A skip is the record that stands for lost ones, by an operator's decision: it has no types and holds no event. Its
    chain is that of the last one lost, if that is known, or else pins the record behind it: that one's chain, and a
    digest of all that it holds. Its batch id is a digest of the chain before it.
    """

    lane: Lane
    sequence: Sequence
    count: int
    chain: Chain
    batch_id: BatchId
    time: HybridTime
    types: frozenset[str]
    payload: bytes = field(repr=False)
    expires_at: int | None = None
    """Seconds since 1970 after which the record may go; None: kept."""
    note: Note | None = None
    """Where its batch may also stand; delivered is one of the two."""
    skipped: SkippedBy | None = None
    """Of a skip; None also where only its header was read."""

    @property
    def is_skip(self) -> bool:
        """Tell what an operator had the lane go on past from what was appended."""
        return not self.types

    @property
    def tail(self) -> Tail:
        """The lane's tail if this is its newest record."""
        return Tail(Sequence(self.sequence + self.count), self.chain, self.time, self.expires_at)

    def holds(self, put: "Record") -> bool:
        """Whether this is the very record that was put. Its expiry may have been put off since, and nothing else."""
        return replace(self, expires_at=put.expires_at) == put

    def is_copy_of(self, other: "Record") -> bool:
        """Whether both hold one batch, wherever each of them stands."""
        mine = self.batch_id, self.count, self.types, self.payload
        return mine == (other.batch_id, other.count, other.types, other.payload)

    def extends(self, chain: Chain) -> bool:
        """Tell if this record is, bit for bit, the one whose chain was computed over `chain`, if that is known.

        Behind a skip: the one that the skip was made for. Of a skip: that it was made for what stands before it.
        """
        if chain == UNKNOWN_CHAIN:
            return True
        if not self.types:
            return self.batch_id == digest_of_chain(chain)
        if len(chain) == PIN_BYTES:
            return chain == pin_of(self)
        return self.chain == chain_of(chain, self)


@dataclass(frozen=True, slots=True)
class Recent:
    """The newest records of a lane, newest first, as one consistent read saw them.

    `unreadable`: first sequences of items between them that cannot be decoded, newest first. `place`: what is noted of
    the lane's place, where the read came to its beginning. `more`: older records may follow.
    """

    records: tuple[Record, ...]
    unreadable: tuple[Sequence, ...]
    place: Tail | None
    more: bool


class InterventionKind(StrEnum):
    """Owns what an operator may do to a lane of the log."""

    SET_ASIDE = "set aside"
    """An item that does not belong to the lane was moved out of it, and is kept."""
    RESTORED = "restored"
    """A record that was lost or changed was put back from a copy, proven by the chain."""
    SKIPPED = "skipped"
    """The lane goes on past records that are lost for good."""


@dataclass(frozen=True, slots=True)
class Intervention:
    """What an operator did to a lane at a sequence: by whom, why and when."""

    lane: Lane
    sequence: Sequence
    by: str
    reason: str
    at_ms: int
    kind: InterventionKind = InterventionKind.SET_ASIDE


def record_at(tail: Tail, lane: Lane, batch: Batch, *, now_ms: int, retention_seconds: int | None) -> Record:
    """The record that puts `batch` at `tail` of the lane. UndecodableRecordError where no reader would take it."""
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


def _expires_at(tail: Tail, time: HybridTime, retention_seconds: int | None) -> int | None:
    """Say when a record may go: after the retention, by the lane's time, and never before the one before it.

    Neither a clock nor a shorter retention makes a record expire before an earlier one: the newest record that is left
    of a lane could not tell then whether others stood behind it.
    """
    if retention_seconds is None:
        return None
    return max(to_ms(time) // 1000 + retention_seconds, tail.expires_at or 0)


def skip_at(
    tail: Tail, lane: Lane, *, until: Tail, chain: Chain, expires_at: int | None, skipped: SkippedBy
) -> Record:
    """Make the record that has a lane go on from `tail` to the sequence of `until`, at the time of that.

    `chain`: with which the lane goes on there.
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
    """Tell a record from all others without the chain before it: its own chain, and a digest of all that it holds."""
    return Chain(record.chain + chain_of(EMPTY_TAIL.chain, record))


def is_pin(chain: Chain | None) -> bool:
    """Tell the chain behind a skip that only says which record stands there."""
    return chain is not None and len(chain) == PIN_BYTES


def digest_of_chain(chain: Chain) -> BatchId:
    """The batch id of a skip behind that chain."""
    return BatchId(blake2b(chain, digest_size=CHAIN_BYTES, person=_SKIPPED).digest())


def chain_of(previous: Chain, record: Record) -> Chain:
    """BLAKE2b-128 over the previous chain and all of the record that a reader acts on (all but chain and expiry).

    Every part has a fixed length or its length before it, so that no two records share their bytes. Records with a note
    have a hash function of their own, so that none of them shares its chain with a record without.
    """
    return _chain(previous, record.lane, record.sequence, record.time, record.batch_id, record)


def _chain(
    previous: Chain, lane: Lane, sequence: Sequence, time: HybridTime, batch_id: BatchId, of: Batch | Record
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
