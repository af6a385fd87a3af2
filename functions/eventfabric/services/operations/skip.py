"""Skip: by an operator's decision, on record, a lane goes on past records that are lost for good.

    log    [ 30 ]──[ 40 ]      ?         [ 52 ]──[ 60 ]     47 to 51 are lost: no Region has them, nor has a backup
           [ 30 ]──[ 40 ]──[ skip ]──────[ 52 ]──[ 60 ]     the skip stands in their place, and replicates as they would

The skip is a record without events. It continues the record before it, and names the one after it. So every reader in
every Region passes it without reading anything else, and nothing else leads past a hole. It is never taken back: a
record that was restored later would stand before cursors that never handed it out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from eventfabric import limits
from eventfabric.errors import LogError, PortError, SkipRefusedError
from eventfabric.model import (
    Chain,
    DeclarationLane,
    Intervention,
    InterventionKind,
    Lane,
    Record,
    Region,
    SequenceNumber,
    SkippedBy,
    Tail,
    next_time,
    operator_text,
    pin_of,
    skip_at,
    to_ms,
)
from eventfabric.ports import Clock, Log
from eventfabric.services.lanes.lane_end import tail_from
from eventfabric.services.lanes.locate import has_expired, kept_in
from eventfabric.services.lanes.splits import start_of
from eventfabric.services.operations.restore import KnownSeams


@dataclass(frozen=True, slots=True)
class Gap:
    """The lost part of a lane: every sequence from `start.sequence` on and before `until.sequence`.

    `chain`: the chain with which the lane goes on after it. `behind`: the record that does; None: the lost ones were
    its last.
    """

    start: Tail
    until: Tail
    chain: Chain
    behind: Record | None

    @property
    def events(self) -> int:
        """Number of lost events."""
        return self.until.sequence - self.start.sequence


class Skip:
    """Skips in the lanes of one log, in the Region that writes them. `elsewhere`: the logs of the other Regions."""

    def __init__(
        self,
        log: Log,
        *,
        region: Region,
        elsewhere: Mapping[Region, Callable[[], Log]],
        known_seams: KnownSeams,
        retention_seconds: int | None,
        clock: Clock,
    ) -> None:
        self._log = log
        self._region = region
        self._elsewhere = elsewhere
        self._known_seams = known_seams
        self._retention_seconds = retention_seconds
        self._clock = clock

    def look(self, lane: Lane, sequence: SequenceNumber) -> Gap:
        """Find what is lost from a sequence on, and make sure that no Region has it. Changes nothing.

        SkipRefusedError: nothing is missing there, or it has expired, or a Region has it or does not answer.
        """
        if lane.origin != self._region:
            raise SkipRefusedError(lane, sequence, f"lane {lane} is written in {lane.origin}: say --region")
        if isinstance(lane, DeclarationLane):
            raise SkipRefusedError(
                lane, sequence, "nobody waits for declarations: put it back (lanes restore)"
            )
        try:
            gap = self._gap(lane, sequence)
        except LogError as error:
            raise SkipRefusedError(
                lane, sequence, f"{error.lane}@{error.sequence} cannot be read: {error.reason}"
            ) from error
        for region in self._elsewhere:
            self._refuse_what_is_kept(lane, gap, region)
        return gap

    def skip(self, lane: Lane, sequence: SequenceNumber, *, by: str, reason: str) -> Gap:
        """Have the lane go on past what is lost. After an interruption it may be called again. Errors as for `look`."""
        if not reason.strip():
            raise SkipRefusedError(lane, sequence, "say --reason: it stays on record")
        by, reason = operator_text("by", by), operator_text("reason", reason)
        gap = self.look(lane, sequence)
        now_ms = self._clock.now_ms()
        why = f"{gap.events:,} events before {gap.until.sequence} are lost; {reason}"
        # On record before the deed, so that no skip can stand without it.
        self._log.note(Intervention(lane, sequence, by, why, now_ms, InterventionKind.SKIPPED))
        record = skip_at(
            gap.start,
            lane,
            until=gap.until,
            chain=gap.chain,
            expires_at=self._expires_at(gap),
            skipped=SkippedBy(by, reason, now_ms),
        )
        if self._log.append(record) is not None:
            raise SkipRefusedError(lane, sequence, "a record was written there meanwhile")
        return gap

    def _gap(self, lane: Lane, sequence: SequenceNumber) -> Gap:
        """Find the lost part of a lane that begins at a sequence."""
        begins = start_of(self._log, lane)
        if begins is None:
            raise SkipRefusedError(lane, sequence, f"lane {lane.parent} was not split: there is no such lane")
        start = tail_from(self._log, lane, begins, before=sequence)
        if start.is_sealed:
            raise SkipRefusedError(lane, sequence, "the lane ends there: it was split")
        behind = self._log.read(lane, sequence, records_max=1).first
        if start.sequence != sequence or (behind is not None and behind.sequence == sequence):
            raise SkipRefusedError(
                lane,
                sequence,
                f"nothing is missing from there on; what is before it ends at {start.sequence}",
            )
        if behind is None:
            return self._end(lane, start)
        if behind.sequence - sequence > limits.FAR_EVENTS:
            raise SkipRefusedError(
                lane,
                sequence,
                f"what stands at {behind.sequence} is too far away: set it aside (lanes quarantine)",
            )
        if self._has_expired(lane, sequence, behind, begins):
            raise SkipRefusedError(
                lane, sequence, "it has expired: each subscription's on_expired says what it does"
            )
        until = Tail(behind.sequence, behind.chain, behind.time)
        return Gap(start, until, self._chain_before(behind), behind)

    def _has_expired(self, lane: Lane, sequence: SequenceNumber, behind: Record, begins: Tail) -> bool:
        """Tell if what is missing has expired. That is no loss, and needs no operator."""
        kept_part = kept_in(
            lane, self._region, retention_seconds=self._retention_seconds, now_ms=self._clock.now_ms()
        )
        return has_expired(self._log, lane, sequence, behind, kept_part, begins=begins)

    def _chain_before(self, behind: Record) -> Chain:
        """Return the chain with which a lane goes on: the lost one if it is known, else a pin of the next record."""
        # If a cursor or a mark carries the lost chain, it stays whole.
        known_seams = self._known_seams(behind.lane)
        chains = {seam.chain for seam in known_seams if seam.sequence == behind.sequence and seam.chain}
        return next((chain for chain in sorted(chains) if behind.extends(chain)), pin_of(behind))

    def _end(self, lane: Lane, start: Tail) -> Gap:
        """Find what is lost at the end of a lane, by what cursors and reconciliation know of it."""
        known_seams = {
            seam
            for seam in self._known_seams(lane)
            if start.sequence < seam.sequence <= start.sequence + limits.FAR_EVENTS
        }
        # As far as somebody saw the lane, and no further: beyond that nothing is known to be lost.
        last = max((seam.sequence for seam in known_seams), default=start.sequence)
        chains = {seam.chain for seam in known_seams if seam.sequence == last and seam.chain is not None}
        if len(chains) != 1:
            cause = "several chains are known there" if chains else "nobody was seen further on"
            raise SkipRefusedError(lane, start.sequence, f"the lane ends there: {cause}")
        until = Tail(last, chains.pop(), next_time(start.time, self._clock.now_ms()))
        return Gap(start, until, until.chain, None)

    def _expires_at(self, gap: Gap) -> int | None:
        """Return when the skip may expire: with the record after it, else by the retention."""
        if gap.behind is not None:
            return gap.behind.expires_at
        if self._retention_seconds is None:
            return None
        return max(to_ms(gap.until.time) // 1000 + self._retention_seconds, gap.start.expires_at or 0)

    def _refuse_what_is_kept(self, lane: Lane, gap: Gap, region: Region) -> None:
        """Refuse to go past a record that another Region has: an event is not lost while any Region has it."""
        start, end = gap.start.sequence, gap.until.sequence
        try:
            page = self._elsewhere[region]().read(lane, start, records_max=1, before=end)
        except LogError as error:
            # What cannot be read there is not nothing: it may be the very event.
            raise SkipRefusedError(lane, start, f"{region} has something there: {error.reason}") from error
        except PortError as error:
            raise SkipRefusedError(
                lane, start, f"{region} does not answer, and may have it: {error}"
            ) from error
        if page.first is not None:
            sequence = page.first.sequence
            raise SkipRefusedError(
                lane, start, f"{region} has {sequence}: copy it from there (eventfabric reconcile --repair)"
            )
