"""Posted tails: where records of one transaction go, by what this process last saw of their lanes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from eventfabric import limits
from eventfabric.errors import SealedLaneError
from eventfabric.model import Batch, Lane, Record, Tail, record_at
from eventfabric.ports import Clock, Log
from eventfabric.services.lanes.tree import Seals
from eventfabric.services.publishing.gates import CreditsOf, ungated
from eventfabric.services.publishing.lane_ends import Known, LaneEnds

_Place = tuple[str, Lane]
SideBySide = Callable[[Sequence[Callable[[], None]]], None]
"""Caller of many calls at the same time, as in services.delivery.side_by_side."""


@dataclass(frozen=True, slots=True)
class Posting:
    """A batch on its way to one lane of one table."""

    table: str
    log: Log
    lane: Lane
    batch: Batch
    retention_seconds: int | None
    known: Known | None = None
    """Look-up of the mark in which reconciliation remembers the lane, used if its log leaves doubt; None: unknown."""
    credits: CreditsOf = ungated
    """Look-up of what is known of the stream's credits."""
    seals: Seals = field(default_factory=Seals)
    """Seals met so far of the stream's lanes there."""


class PostedTails:
    """Tails of lanes. A wrong memory costs one refused transaction, and never writes a wrong record.

    In a lane in which others were faster lately, the tail is read each time until its last writer was this process: a
    read is cheaper than a refused transaction. Threads may share it: each call touches only its own places, one by one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tails: dict[_Place, tuple[Tail, int]] = {}
        """Each tail, and when it was seen: what others put there since must not have expired again."""
        self._landed: dict[_Place, Tail] = {}
        self._contended: set[_Place] = set()

    def records(self, postings: Sequence[Posting], side_by_side: SideBySide | None = None) -> list[Record]:
        """Make the records of postings; a later one to a lane goes on from the one before. Reads tails not known.

        `side_by_side`: makes several reads at the same time. The longer they take, the likelier somebody else writes.

        Raises PortError if a tail cannot be read; what was read before is remembered. UncertainTailError. Raises
        BackpressureError if one of the lanes has no credit, SealedLaneError if one was split.
        """
        now_ms = self._clock.now_ms()
        unknown = {(posting.table, posting.lane): posting for posting in postings}
        if side_by_side is not None and len(unknown) > 1:
            # Of a tail that is known, the read is none.
            side_by_side([partial(self._remember, posting) for posting in unknown.values()])
        ends: dict[_Place, Tail] = {}
        records: list[Record] = []
        for posting in postings:
            place = posting.table, posting.lane
            tail = ends.get(place)
            if tail is None:
                tail = self._tail(posting)
                credits = posting.credits()
                # A transaction begins below the grant, and ends where it ends.
                if credits is not None:
                    credits.fitting(
                        posting.lane, posting.batch.count, tail.sequence, is_atomic=True, is_alone=True
                    )
            record = record_at(
                tail,
                posting.lane,
                posting.batch,
                now_ms=now_ms,
                retention_seconds=posting.retention_seconds,
            )
            ends[place] = record.tail
            records.append(record)
        return records

    def known(self, table: str, lane: Lane) -> Tail | None:
        """Return where a lane ended when it was last seen; None: it is not remembered."""
        known = self._tails.get((table, lane))
        return None if known is None else known[0]

    def _remember(self, posting: Posting) -> None:
        self._tail(posting)

    def _tail(self, posting: Posting) -> Tail:
        """Return the remembered tail of a posting's lane, else read it."""
        place = posting.table, posting.lane
        now_ms = self._clock.now_ms()
        tail, seen_ms = self._tails.get(place, (None, 0))
        # By the wall clock, because the steady one stands still while a process is suspended.
        if tail is not None and 0 <= now_ms - seen_ms < 1000 * limits.EXPIRY_MARGIN_SECONDS:
            return tail
        if posting.seals.is_split(posting.lane):
            raise _sealed(posting)
        expires = posting.retention_seconds is not None
        ends = LaneEnds(
            posting.log, clock=self._clock, expires=expires, known=posting.known, seals=posting.seals
        )
        tail = ends.tail(posting.lane)
        if tail.is_sealed:
            raise _sealed(posting)
        self._tails[place] = tail, now_ms
        if self._landed.get(place) == tail:
            self._contended.discard(place)
        return tail

    def meet(self, posting: Posting, occupant: Record) -> None:
        """Go on after a record that stands where ours was to go, if it continues the lane; else forget the tail."""
        place = posting.table, posting.lane
        self._contended.add(place)
        # What does not continue the lane may be a far item, and only a read of the lane's end can tell.
        tail, _ = self._tails.pop(place, (None, 0))
        if tail is not None and occupant.sequence == tail.sequence and occupant.extends(tail.chain):
            if occupant.is_seal:
                posting.seals.learn(posting.lane, occupant.tail)
                return
            self._tails[place] = occupant.tail, self._clock.now_ms()

    def landed(self, postings: Sequence[Posting], records: Sequence[Record]) -> None:
        """Remember the tails after records that were written."""
        for posting, record in zip(postings, records, strict=True):
            place = posting.table, posting.lane
            self._landed[place] = record.tail
            if place in self._contended:
                self._tails.pop(place, None)
            else:
                self._tails[place] = record.tail, self._clock.now_ms()

    def forget(self) -> None:
        """Forget the tails, because they may be old."""
        self._tails.clear()


def _sealed(posting: Posting) -> SealedLaneError:
    return SealedLaneError(posting.table, posting.lane, posting.lane.children, posting.batch)
