"""Round: verify again what was verified once, lane by lane, a bounded part of it at each pass.

    mark: all up to 9,000 was verified          again: this round has come to 4,000
    [ 0 ] . . . [ 3,998 ]│[ 4,000 ] . . . [ 8,990 ]  9,000
                         └── a record that was removed or changed since breaks the chain to the mark

A record that is removed after every cursor has passed it harms nobody at once, but is missing when a replay or a proof
needs it. So it is looked for while another Region, or a backup, still has it.
"""

from dataclasses import dataclass, replace

from eventfabric import limits
from eventfabric.errors import LogError
from eventfabric.model.finding import FindingKind
from eventfabric.model.identity import Chain, Lane, SequenceNumber
from eventfabric.model.marks import Mark
from eventfabric.model.record import EMPTY_TAIL, UNKNOWN_CHAIN, Record
from eventfabric.ports import Log

_UNIT_BYTES = 4096
_BESIDE_PAYLOAD_BYTES = 1024
"""Bytes that a record takes beside its payload: the lowest estimate that is safe."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A place at which the log is not what was verified."""

    kind: FindingKind
    sequence: SequenceNumber
    detail: str


class Round:
    """One pass's part of the rounds through some lanes of one log. `left`: what it may still read, in read units."""

    def __init__(self, log: Log, *, expires: bool, now_ms: int) -> None:
        self.left = limits.ROUND_READ_UNITS
        self._log = log
        self._expires = expires
        self._now_ms = now_ms

    def is_due(self, mark: Mark) -> bool:
        """Tell if a lane is in a round, or its last round was long ago."""
        if mark.sequence == EMPTY_TAIL.sequence or not mark.whole_ms:
            return False
        return bool(mark.again) or self._now_ms - mark.whole_ms > 1000 * limits.ROUND_SECONDS

    def go_on(self, lane: Lane, mark: Mark) -> tuple[Mark, Broken | None]:
        """Go on with the lane's round as far as the pass may read. Return its new mark, and what broke the round."""
        at, chain = mark.again, mark.again_chain if mark.again else EMPTY_TAIL.chain
        # Records of a lane that has a place have expired, even if its stream has no retention any more.
        expires = self._expires or mark.held > EMPTY_TAIL.sequence
        expires_at = mark.again_expires_at if mark.again else None  # that of the last verified record
        try:
            while at < mark.sequence:
                if self.left <= 0:
                    return replace(mark, again=at, again_chain=chain, again_expires_at=expires_at), None
                page = self._log.read(lane, at, records_max=limits.PAGE_RECORDS_MAX, before=mark.sequence)
                self.left -= 1 + sum(map(_read_units, page.records))
                for record in page.records:
                    broken = self._broken(
                        record, at, mark, may_be_gone=self._may_be_gone(expires_at, expires=expires)
                    )
                    if broken is not None:
                        return _from(mark, at, chain), broken
                    expected = (
                        chain if record.sequence == at else UNKNOWN_CHAIN
                    )  # the records between have expired
                    if not record.extends(expected):
                        detail = "does not extend the record before it any more"
                        return _from(mark, at, chain), Broken(FindingKind.DIVERGENCE, at, detail)
                    at, chain, expires_at = record.tail.sequence, record.chain, record.expires_at
                if not page.records or not page.more:
                    break
        except LogError as error:
            return _from(mark, at, chain), Broken(
                FindingKind.DIVERGENCE, SequenceNumber(error.sequence), error.reason
            )
        if at < mark.sequence and not self._may_be_gone(expires_at, expires=expires):
            return _from(mark, at, chain), Broken(FindingKind.HOLE, at, f"was verified up to {mark.sequence}")
        if at == mark.sequence and chain != mark.chain:
            detail = "leads to another chain than was verified"
            return _from(mark, EMPTY_TAIL.sequence, EMPTY_TAIL.chain), Broken(
                FindingKind.DIVERGENCE, at, detail
            )
        return replace(
            _in_no_round(mark), whole_ms=self._now_ms, rounds=min(mark.rounds + 1, limits.SEQUENCE_MAX)
        ), None

    @staticmethod
    def _broken(record: Record, at: SequenceNumber, mark: Mark, *, may_be_gone: bool) -> Broken | None:
        """Say what is wrong with a record's place, if anything is."""
        if record.sequence < at or record.tail.sequence > mark.sequence:
            return Broken(FindingKind.DIVERGENCE, record.sequence, "lies over what was verified")
        if record.sequence > at and not may_be_gone:
            detail = f"was verified, and the next record stands at {record.sequence}"
            return Broken(FindingKind.HOLE, at, detail)
        return None

    def _may_be_gone(self, expires_at: int | None, *, expires: bool) -> bool:
        """Tell if records after the last one may have expired: only if the last one may have, too."""
        if expires_at is None:
            return expires
        return expires_at - limits.EXPIRY_MARGIN_SECONDS <= self._now_ms // 1000


def _from(mark: Mark, at: SequenceNumber, chain: Chain) -> Mark:
    """Return the mark up to where the log is not what was verified. The next pass verifies and mends from there."""
    return _in_no_round(replace(mark, sequence=at, chain=chain if at else EMPTY_TAIL.chain))


def _in_no_round(mark: Mark) -> Mark:
    """Return the mark of a lane that is in no round."""
    return replace(mark, again=EMPTY_TAIL.sequence, again_chain=EMPTY_TAIL.chain, again_expires_at=None)


def _read_units(record: Record) -> int:
    """Estimate the read units that a record costs."""
    return 1 + (len(record.payload) + _BESIDE_PAYLOAD_BYTES) // _UNIT_BYTES
