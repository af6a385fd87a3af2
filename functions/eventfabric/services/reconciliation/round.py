"""Round: verify again what was verified once, lane by lane, a bounded part of it at each pass.

    mark: all up to 9,000 was verified          again: this round has come to 4,000
    [ 0 ] . . . [ 3,998 ]│[ 4,000 ] . . . [ 8,990 ]  9,000
                         └── a record that was removed or changed since breaks the chain to the mark

A record that is removed after every cursor has passed it harms nobody at once, but is missing when a replay or a proof
needs it. So it is looked for while another Region, or a backup, still has it.
"""

from dataclasses import dataclass, replace
from typing import Self

from eventfabric import limits
from eventfabric.errors import LogError
from eventfabric.model import EMPTY_TAIL, UNKNOWN_CHAIN, Chain, Lane, Mark, Record, SequenceNumber, Tail
from eventfabric.model.finding import FindingKind
from eventfabric.ports import Log

_UNIT_BYTES = 4096
_BESIDE_PAYLOAD_BYTES = 1024
"""Bytes that a record takes beside its payload: the lowest estimate that is safe."""


@dataclass(frozen=True, slots=True)
class LogBreak:
    """A place at which the log is not what was verified."""

    kind: FindingKind
    sequence: SequenceNumber
    detail: str


class Round:
    """One pass's part of the rounds through some lanes of one log. `units`: read units that it may use."""

    def __init__(self, log: Log, *, expires: bool, now_ms: int, units: int) -> None:
        self.units_left = units
        self._log = log
        self._expires = expires
        self._now_ms = now_ms

    def is_due(self, mark: Mark, start: Tail = EMPTY_TAIL) -> bool:
        """Tell if a lane with that start is in a round, or its last round was long ago."""
        if mark.sequence == start.sequence or not mark.whole_ms:
            return False
        return bool(mark.again) or self._now_ms - mark.whole_ms > 1000 * limits.ROUND_SECONDS

    def go_on(self, lane: Lane, mark: Mark, start: Tail = EMPTY_TAIL) -> tuple[Mark, LogBreak | None]:
        """Go on with the lane's round as far as the pass may read. Return its new mark, and what broke the round.

        `start`: the tail with which the lane begins.
        """
        reached = _Reached.of(mark, start)
        # Records of a lane that has a place have expired, even if its stream has no retention any more.
        expires = self._expires or mark.held > EMPTY_TAIL.sequence
        try:
            while reached.sequence < mark.sequence:
                if self.units_left <= 0:
                    return reached.noted_in(mark), None
                page = self._log.read(
                    lane, reached.sequence, records_max=limits.PAGE_RECORDS_MAX, before=mark.sequence
                )
                # A pass runs every few minutes, so each may spend only little on what was verified before.
                self.units_left -= 1 + sum(map(_read_units, page.records))
                for record in page.records:
                    broken = self._broken(record, reached, mark, expires=expires)
                    if broken is not None:
                        return reached.end_of(mark), broken
                    reached = _Reached(record.tail.sequence, record.chain, record.expires_at)
                if not page.records or not page.more:
                    break
        except LogError as error:
            broken = LogBreak(FindingKind.DIVERGENCE, SequenceNumber(error.sequence), error.reason)
            return reached.end_of(mark), broken
        return self._come_to_end(reached, mark, start, expires=expires)

    def _broken(self, record: Record, reached: "_Reached", mark: Mark, *, expires: bool) -> LogBreak | None:
        """Say what is wrong with a record or its place, if anything is."""
        if record.sequence < reached.sequence or record.tail.sequence > mark.sequence:
            return LogBreak(FindingKind.DIVERGENCE, record.sequence, "lies over what was verified")
        is_next = record.sequence == reached.sequence
        if not (is_next or self._may_be_gone(reached, expires=expires)):
            detail = f"was verified, and the next record stands at {record.sequence}"
            return LogBreak(FindingKind.HOLE, reached.sequence, detail)
        # If the records between have expired, nothing tells the chain.
        if not record.extends(reached.chain if is_next else UNKNOWN_CHAIN):
            detail = "does not extend the record before it any more"
            return LogBreak(FindingKind.DIVERGENCE, reached.sequence, detail)
        return None

    def _come_to_end(
        self, reached: "_Reached", mark: Mark, start: Tail, *, expires: bool
    ) -> tuple[Mark, LogBreak | None]:
        """Compare the end of what was read with the mark. Return the lane's new mark, and what broke the round."""
        if reached.sequence < mark.sequence and not self._may_be_gone(reached, expires=expires):
            detail = f"was verified up to {mark.sequence}"
            return reached.end_of(mark), LogBreak(FindingKind.HOLE, reached.sequence, detail)
        if reached.sequence == mark.sequence and reached.chain != mark.chain:
            # Each record extends the one before it, so nothing tells which of them was changed.
            detail = "leads to another chain than was verified"
            return _Reached.beginning(start).end_of(mark), LogBreak(
                FindingKind.DIVERGENCE, reached.sequence, detail
            )
        rounds = min(mark.rounds + 1, limits.SEQUENCE_MAX)
        return replace(_in_no_round(mark), whole_ms=self._now_ms, rounds=rounds), None

    def _may_be_gone(self, reached: "_Reached", *, expires: bool) -> bool:
        """Tell if records after the last one may have expired: only if the last one may have, too."""
        if reached.expires_at is None:
            return expires
        return reached.expires_at - limits.EXPIRY_MARGIN_SECONDS <= self._now_ms // 1000


def count_first_rounds(marks: dict[int, Mark], now_ms: int) -> None:
    """Count a lane's first verification as its first round."""
    for number, mark in marks.items():
        if mark.sequence and not mark.whole_ms:
            marks[number] = replace(mark, whole_ms=now_ms)


@dataclass(frozen=True, slots=True)
class _Reached:
    """The place to which a round has come: after a verified record, with its chain and its expiry."""

    sequence: SequenceNumber
    chain: Chain
    expires_at: int | None = None

    @classmethod
    def beginning(cls, start: Tail) -> Self:
        """Return the beginning of a lane."""
        return cls(start.sequence, start.chain)

    @classmethod
    def of(cls, mark: Mark, start: Tail) -> Self:
        """Return the place to which the lane's round came at the last pass; if it is in none, the lane's beginning."""
        if not mark.again:
            return cls.beginning(start)
        return cls(mark.again, mark.again_chain, mark.again_expires_at)

    def noted_in(self, mark: Mark) -> Mark:
        """Return the mark of a lane whose round goes on from here at the next pass."""
        return replace(mark, again=self.sequence, again_chain=self.chain, again_expires_at=self.expires_at)

    def end_of(self, mark: Mark) -> Mark:
        """Return the mark up to here, where the log is not what was verified. The next pass verifies and mends it."""
        chain = self.chain if self.sequence else EMPTY_TAIL.chain
        return _in_no_round(replace(mark, sequence=self.sequence, chain=chain, rests_ms=0))


def _in_no_round(mark: Mark) -> Mark:
    """Return the mark of a lane that is in no round."""
    return replace(mark, again=EMPTY_TAIL.sequence, again_chain=EMPTY_TAIL.chain, again_expires_at=None)


def _read_units(record: Record) -> int:
    """Estimate the read units that a record costs."""
    return 1 + (len(record.payload) + _BESIDE_PAYLOAD_BYTES) // _UNIT_BYTES
