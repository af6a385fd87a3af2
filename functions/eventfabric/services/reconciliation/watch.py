"""Watch: check how a subscription stands in a lane that its Region delivers, at one pass of reconciliation."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from eventfabric import limits
from eventfabric.errors import LogError
from eventfabric.model import (
    ANY_TAIL,
    UNKNOWN_CHAIN,
    Committed,
    Cursor,
    Doorbell,
    Lane,
    LaneKey,
    Parked,
    ParkedState,
    Record,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
    is_pin,
    stands_behind_another,
    to_ms,
)
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Ports
from eventfabric.services.lanes.lane_end import tail_from
from eventfabric.services.lanes.locate import has_expired, kept_in
from eventfabric.services.lanes.standing import ledger_of
from eventfabric.services.reconciliation.forget import are_forgotten, forget
from eventfabric.services.reconciliation.look import Look, believed_ms
from eventfabric.services.reconciliation.quiet import move_quiet
from eventfabric.services.reconciliation.replica import Replica
from eventfabric.services.reconciliation.vitals import Vitals
from eventfabric.stream_topology import StreamTopology

_MINUTE_MS = 60_000


@dataclass
class Bells:
    """The lanes to be rung at the end of a pass, by subscription."""

    lanes: dict[str, dict[Lane, Finding | None]] = field(default_factory=dict)
    """The finding that each ring repairs, if it repairs one."""

    def add(self, look: Look, finding: Finding | None = None) -> None:
        """Have the lane rung. What that repairs is reported once it is known if the queue took the ring."""
        lanes = self.lanes.setdefault(look.subscription.name, {})
        lanes[look.lane] = finding or lanes.get(look.lane)

    def add_lane(self, subscription: str, lane: Lane, finding: Finding | None = None) -> None:
        """Have a lane rung that was not looked at for that, or in which nothing is wrong."""
        lanes = self.lanes.setdefault(subscription, {})
        lanes[lane] = finding or lanes.get(lane)

    def add_all(self, bells: "Bells") -> None:
        """Have all lanes rung that others noted, each in bells of its own."""
        for subscription, lanes in bells.lanes.items():
            self.lanes.setdefault(subscription, {}).update(lanes)


class Watch:
    """Watcher of one stream's subscriptions, as one Region delivers them, at one moment."""

    def __init__(
        self, stream: StreamTopology, *, region: Region, ports: Ports, vitals: Vitals, now_ms: int
    ) -> None:
        self._name = StreamName(stream.name)
        self._region = region
        self._ports = ports
        self._log = ports.log_of(stream)
        self._retention = stream.retention_seconds
        self._vitals = vitals
        self._now_ms = now_ms

    def look_at(self, look: Look, replica: Replica, bells: Bells, *, repair: bool) -> Iterator[Finding]:
        """Yield what is wrong with a subscription's lane, and note what is to be rung. LogError."""
        yield from self._stale_owners(look)
        parked = list(look.parked.values())
        self._vitals.parked(look.subscription.name, parked, now_ms=self._now_ms)
        oldest = self._oldest_waiting(look)
        since_ms = self._note_age(look, oldest)
        wrong = self._epoch_ahead(look) or self._cursor(look)
        if wrong is not None:
            yield wrong
            return
        if look.region == self._home(look):
            # A write makes a lane's state new, and whoever delivers it next would have no doubt about the owner.
            may_write = repair and look.is_sure
            yield from self._parked_differs(look, bells, repair=may_write)
            if may_write:
                self._forget_texts(look, parked)
                self._move_quiet(look)
        yield from self._dead(look, parked)
        if oldest is not None and self._lacks_records(look, before=oldest):
            yield from self._expired(look, oldest, replica, bells, repair=repair)
            return
        yield from self._expiring(look, oldest, parked)
        finding = self._standing_still(look, parked, oldest, since_ms)
        if finding is not None:
            if repair:
                bells.add(look, finding)
            else:
                yield finding

    def _lacks_records(self, look: Look, *, before: Record) -> bool:
        """Tell if records between the cursor and the first one that waits may have expired."""
        # Where a lane begins that has not yet, is not known here, unless that is its first event.
        begins_here = look.cursor.version > 0 or look.subscription.definition.start == "earliest"
        return self._retention is not None and before.sequence > look.ahead.base and begins_here

    def _dead(self, look: Look, parked: list[Parked]) -> Iterator[Finding]:
        """Report dead letters, and how many events wait behind them."""
        dead = [key for key in parked if key.state is ParkedState.DEAD]
        if dead:
            waiting = sum(key.behind for key in dead)
            more = " or more" if any(key.rest for key in dead) else ""
            detail = f"{len(dead)} dead letters, {waiting}{more} events wait behind them"
            yield self._finding(FindingKind.DEAD, look, dead[0].first.sequence, detail)

    def _standing_still(
        self, look: Look, parked: list[Parked], oldest: Record | None, since_ms: int
    ) -> Finding | None:
        """Report a lane for which nothing is under way, although there is something to deliver."""
        if not look.runs:
            return None
        return self._overdue(look, parked) or (self._unrung(look, since_ms) if oldest else None)

    def _forget_texts(self, look: Look, parked: list[Parked]) -> None:
        """Drop the texts of dead letters whose events have expired."""
        if self._retention is None:
            return
        old = are_forgotten(parked, retention_seconds=self._retention, now_ms=self._now_ms)
        if old:
            key = LaneKey(self._name, SubscriptionName(look.subscription.state_name), look.lane)
            forget(key, look, old, ledger=ledger_of(self._ports.ledger, look.subscription, look.lane.origin))

    def _move_quiet(self, look: Look) -> None:
        """Move the cursor over what nobody wants."""
        ledger = ledger_of(self._ports.ledger, look.subscription, look.lane.origin)
        move_quiet(look, log=self._log, ledger=ledger, now_ms=self._now_ms)

    def _epoch_ahead(self, look: Look) -> Finding | None:
        """Report a lane that its owner must leave alone, because a later owner wrote it of which nobody knows."""
        region = look.state.latest
        known = look.owner.epoch if look.owner is not None else 0
        if region is None or look.state.epoch <= known:
            return None
        cursor = look.state.cursors[region]
        if believed_ms(cursor.written_ms, self._now_ms) > self._now_ms - 1000 * limits.UNRUNG_SECONDS:
            return None  # its handover may still be under way here
        detail = (
            f"{region} wrote epoch {cursor.epoch}, and the latest handover that is known has epoch {known}"
        )
        return self._finding(FindingKind.EPOCH_AHEAD, look, cursor.sequence, detail)

    def _parked_differs(self, look: Look, bells: Bells, *, repair: bool) -> Iterator[Finding]:
        """Compare the keys that the cursor names with those that are there. Repair the cursor if none is missing.

        To name too much costs a read, and to name too little loses an order, so a key that is gone is never forgotten.
        """
        home = self._home(look)
        parked, stored = look.state.parked.get(home, {}), look.state.cursors.get(home)
        if stored is None or look.cursor.past_seal is not None:
            return  # what a lane past its seal handed over may be swept
        if look.subscription.shares_state:
            return  # without transactions, a key may be there before the cursor names it
        right = look.cursor.beside(parked)
        says_digest, says_roster = stored == right, stored.roster == right.roster
        if says_digest and says_roster:
            return
        key = LaneKey(self._name, SubscriptionName(look.subscription.state_name), look.lane)
        ledger = ledger_of(self._ports.ledger, look.subscription, look.lane.origin)
        if ledger.state(key) != look.state:
            return  # it was written while it was being read
        missing = stored.roster.missing(parked.values())
        may_repair = says_digest or _names_all(stored, missing)
        outcome = ledger.commit(key, look.cursor, right) if repair and may_repair else None
        is_repaired = isinstance(outcome, Committed)
        if is_repaired:
            bells.add(look)
        detail = (
            f"{stored.roster.count} keys are named, {missing} of them are not there; {len(parked)} are parked"
        )
        finding = self._finding(FindingKind.PARKED_DIFFERS, look, _first_that_waits(stored, right), detail)
        yield replace(finding, is_repaired=is_repaired)

    def _overdue(self, look: Look, parked: list[Parked]) -> Finding | None:
        """Report parked keys that should have been tried some time ago."""
        overdue = [
            parked_key
            for parked_key in parked
            if parked_key.is_due(self._now_ms - 1000 * limits.UNRUNG_SECONDS)
        ]
        if look.subscription.definition.order == "key":
            overdue = [parked_key for parked_key in overdue if not stands_behind_another(parked_key, parked)]
        if not overdue:
            return None
        late_seconds = (self._now_ms - min(parked_key.due_ms for parked_key in overdue)) // 1000
        detail = f"{len(overdue)} keys, {late_seconds} s late"
        return self._finding(FindingKind.PARKED_OVERDUE, look, overdue[0].first.sequence, detail)

    def _oldest_waiting(self, look: Look) -> Record | None:
        """Return the first record that waits and may be wanted, as far as the log was verified."""
        cursor = look.ahead
        if cursor.sequence >= min(look.tail.sequence, look.mark.sequence):
            return None  # everything that can be delivered is
        return self._first(look.lane, cursor.base)

    def _first(self, lane: Lane, start: SequenceNumber) -> Record | None:
        """Return the first record from a sequence on, if it can be read."""
        try:
            return self._log.read(lane, start, records_max=1).first
        except LogError:
            return None  # the pass reports it when it verifies the lane

    def _note_age(self, look: Look, oldest: Record | None) -> int:
        """Note and return since when the oldest event waits that was never handed out, even if it cannot be delivered.

        The passes that saw the lane's tail bound that time: the record's own time, if it can be read, is what its
        producer says.
        """
        cursor = look.ahead
        if not look.lags:
            return self._now_ms if oldest is None else to_ms(oldest.time)
        if oldest is None or cursor.is_replaying:
            oldest = self._first(look.lane, look.news_from if cursor.is_replaying else cursor.base)
        since_ms = look.arrived_ms(oldest, self._now_ms)
        # Otherwise only its first doorbell tells where it begins.
        if cursor.version or look.subscription.definition.start == "earliest":
            self._vitals.waits(look.subscription.name, since_ms)
        return since_ms

    def _unrung(self, look: Look, since_ms: int) -> Finding | None:
        """Report a lane in which events have waited so long that no doorbell can be on its way."""
        waits_since_ms = max(believed_ms(look.cursor.written_ms, self._now_ms), since_ms)
        if waits_since_ms > self._now_ms - 1000 * limits.UNRUNG_SECONDS:
            return None
        behind = look.tail.sequence - look.ahead.sequence
        detail = f"{behind} events wait, the oldest {(self._now_ms - waits_since_ms) // 1000} s"
        return self._finding(FindingKind.UNRUNG, look, look.cursor.sequence, detail)

    def _expiring(self, look: Look, oldest: Record | None, parked: list[Parked]) -> Iterator[Finding]:
        """Warn in time of old events that are not handled, dead letters too."""
        if self._retention is None or not (oldest or parked):
            return
        # A parked event was appended some time before it first failed. That is near enough for a warning.
        since_ms = [parked_key.failure.first_ms for parked_key in parked] + (
            [to_ms(oldest.time)] if oldest else []
        )
        age_ms = self._now_ms - min(since_ms)
        if age_ms > 1000 * self._retention * limits.EXPIRES_SOON_SHARE:
            hours = (1000 * self._retention - age_ms) / 3_600_000
            expiry = f"expires in {hours:.1f} hours" if hours > 0 else f"was to expire {-hours:.1f} hours ago"
            behind = look.tail.sequence - look.ahead.sequence
            detail = f"{behind} events wait, {len(parked)} keys are parked, the oldest {expiry}"
            yield self._finding(FindingKind.EXPIRES_SOON, look, look.cursor.sequence, detail)

    def _expired(
        self, look: Look, following: Record, replica: Replica, bells: Bells, *, repair: bool
    ) -> Iterator[Finding]:
        """Report records that were verified here, and are not here any more."""
        kept_part = kept_in(
            look.lane, look.lane.origin, retention_seconds=self._retention, now_ms=self._now_ms
        )
        assert kept_part is not None, "nothing expires without a retention"
        on_expired = look.subscription.definition.on_expired
        if replica.kept_at_origin(look.lane, look.ahead.base, following.sequence) is not None:
            detail = (
                f"nothing is there before {following.sequence}, and {look.lane.origin} still has some of it"
            )
            finding = self._finding(FindingKind.HOLE, look, look.cursor.sequence, detail)
        elif has_expired(self._log, look.lane, look.ahead.base, following, kept_part, begins=look.start):
            why = f"on_expired is {on_expired}" if look.cursor.version else "the lane begins behind them"
            detail = f"{following.sequence - look.ahead.sequence} events expired: {why}"
            finding = self._finding(FindingKind.EXPIRED_UNREAD, look, look.cursor.sequence, detail)
        else:
            detail = f"nothing is there before {following.sequence}, and it cannot have expired yet"
            finding = self._finding(FindingKind.HOLE, look, look.cursor.sequence, detail)
        may_skip = on_expired == "skip" or not look.cursor.version
        skips = repair and finding.kind is FindingKind.EXPIRED_UNREAD and may_skip
        if skips:
            bells.add(look)  # its next delivery goes on after them
        yield replace(finding, is_repaired=skips)

    def _cursor(self, look: Look) -> Finding | None:
        """Say what is wrong with the place of the cursor."""
        cursor, marked = look.cursor, look.mark.cursors.get(look.subscription.state_name)
        if cursor.version == 0:
            return None
        if marked is not None and _has_gone_back(look, marked):
            detail = f"stood at {marked[1]} at the last pass"
            return self._finding(FindingKind.CURSOR_BACK, look, cursor.sequence, detail)
        if cursor.sequence > look.tail.sequence:
            tail = tail_from(self._log, look.lane, look.start)  # it may have grown since the look
            # A former owner's cursor may be replicated before the records that it stands behind.
            is_own = look.region == self._home(look) and cursor.epoch == 0
            if cursor.sequence > tail.sequence and is_own:
                detail = f"the lane ends at {tail.sequence}: replay it from 0 if it was made anew"
                return self._finding(FindingKind.CURSOR_AHEAD, look, cursor.sequence, detail)
            return None
        if cursor.chain == UNKNOWN_CHAIN:
            return None  # a replay went back to the oldest record kept, so no chain is known
        if marked == (cursor.epoch, cursor.sequence) or cursor.base > look.mark.sequence:
            return None
        return self._off_chain(look)

    def _off_chain(self, look: Look) -> Finding | None:
        """Report a cursor whose chain is not the log's at its place."""
        cursor, mark = look.cursor, look.mark
        if cursor.sequence == cursor.base == mark.sequence:
            right = cursor.chain == mark.chain
        else:
            before = tail_from(self._log, look.lane, look.start, before=cursor.base)
            right = (before.sequence, before.chain) == (cursor.base, cursor.chain)
            # If the record before it expired, nothing is left to compare. If it was skipped, the next one
            # decides.
            right = right or (before.sequence < cursor.base and self._retention is not None)
            right = right or (before.sequence >= cursor.base and is_pin(before.chain))
            if right and cursor.sequence != cursor.base:
                holder = self._log.tail(look.lane, before=SequenceNumber(cursor.base + 1))
                right = cursor.base <= cursor.sequence < holder.sequence
        if right:
            return None
        detail = f"its record begins at {cursor.base}, by a chain that is not the log's there"
        return self._finding(FindingKind.CURSOR_BROKEN, look, cursor.sequence, detail)

    def _stale_owners(self, look: Look) -> Iterator[Finding]:
        """Report former owners' cursors that moved when these owners should have known of the handover."""
        owner = look.owner
        if owner is None or owner.epoch == 0 or look.subscription.shares_state:
            return
        # A former owner goes on until the handover is replicated, its cached standing is old, and its run
        # ends.
        run_seconds = look.subscription.definition.function.timeout_seconds
        grace_ms = 1000 * (limits.CIRCUIT_CACHE_SECONDS + run_seconds + limits.SETTLE_SECONDS)
        for region, cursor in look.state.cursors.items():
            if region != owner.region and cursor.epoch < owner.epoch:
                late_ms = cursor.written_ms - owner.since_ms
                if late_ms > grace_ms:
                    yield self._finding(
                        FindingKind.STALE_OWNER,
                        look,
                        cursor.sequence,
                        f"{region} wrote its cursor {late_ms // 1000} s after {owner.region} took over",
                    )

    def ring(self, bells: Bells) -> Iterator[Finding]:
        """Ring for what was noted, at most once a minute, and report what that repairs."""
        # The minute tells this ring from the last one. Otherwise the queue would drop it as a repetition.
        again = self._now_ms // _MINUTE_MS
        for name, lanes in bells.lanes.items():
            rung = [Doorbell(self._name, lane, ANY_TAIL, again=again) for lane in sorted(lanes, key=str)]
            refused = {bell.lane for bell in self._ports.doorbells.ring(name, rung)}
            for lane, finding in lanes.items():
                if finding is not None:
                    yield replace(finding, is_repaired=lane not in refused)

    def _home(self, look: Look) -> Region:
        """Return the Region whose state of the lane this Region writes."""
        return Region(look.subscription.home(look.lane.origin) or self._region)

    def _finding(self, kind: FindingKind, look: Look, sequence: int, detail: str) -> Finding:
        name = SubscriptionName(look.subscription.name)
        return Finding(kind, self._name, look.lane, self._region, SequenceNumber(sequence), detail, name)


def _has_gone_back(look: Look, marked: tuple[int, int]) -> bool:
    """Tell if the cursor was seen further on, and nothing that is allowed has moved it back."""
    epoch, sequence = marked
    if look.cursor.epoch != epoch or look.cursor.replay_until:
        return False
    # A cursor beyond the end of a lane that was made anew has to go back.
    return look.cursor.sequence < sequence <= look.tail.sequence


def _names_all(stored: Cursor, missing: int) -> bool:
    """Tell if every key that waits beside a cursor is named by it and is there: then it may be written anew."""
    is_unnamed = stored.low is not None and not stored.roster.count
    return not (missing or is_unnamed)


def _first_that_waits(stored: Cursor, right: Cursor) -> SequenceNumber:
    """Return the first event that waits in a parked key, by the cursor as it is or as it should be."""
    low = stored.low or right.low
    return low.sequence if low is not None else stored.sequence
