"""Begin: find the event with which a lane starts for a subscription that has no cursor in it yet.

    earliest    the first event: nothing is read or written, unless that has expired
    a time      the first record that was appended then or later
    latest      also by a time, which is pinned once for the subscription and Region: that of its declaration, less
                what clocks may differ by; if nobody declared it, that of the record whose doorbell came first.
                Events published after it are missed in no lane

None of this concerns a lane that has begun.
"""

from dataclasses import replace
from enum import Enum
from typing import Final

from eventfabric import limits
from eventfabric.definition.marks import parse_time_ms
from eventfabric.model import (
    EMPTY_TAIL,
    START,
    AtTime,
    Cursor,
    Doorbell,
    HybridTime,
    LaneKey,
    Record,
    Region,
    Standing,
    StreamName,
    SubscriptionName,
    Tail,
    next_time,
    tail_behind,
    to_ms,
)
from eventfabric.ports import Clock, Ledger, Log
from eventfabric.services.lanes.lane_end import tail_before_seal, tail_to_begin_at
from eventfabric.services.lanes.locate import kept_in, locate
from eventfabric.services.lanes.standing import Standings, is_pinned, owner_of
from eventfabric.stream_topology import SubscriptionTopology

DECLARED_SKEW_SECONDS: Final = 5
"""Time before its declaration with which a subscription begins that wants the latest: clocks differ by less."""
assert limits.CLOCK_TOLERANCE_MILLISECONDS < 1000 * DECLARED_SKEW_SECONDS < 1000 * limits.CLOCK_AHEAD_SECONDS


class Beginning(Enum):
    """The way in which a lane begins that has no cursor yet."""

    FIRST = "with its first event: there is nothing to write"
    PUT = "where its cursor was put just now: it is to be looked at anew"
    LATER = "with one that is still to come"


class Beginnings:
    """The places where the lanes of one subscription begin in one Region."""

    def __init__(
        self,
        subscription: SubscriptionTopology,
        *,
        log: Log,
        ledger: Ledger,
        standings: Standings,
        clock: Clock,
    ) -> None:
        self._subscription = subscription
        self._log = log
        self._ledger = ledger
        self._standings = standings
        self._clock = clock
        self._own_pin: HybridTime | None = None
        self._start = subscription.definition.start
        self.is_earliest = self._start == "earliest"

    def begin(self, key: LaneKey, doorbell: Doorbell, *, epoch: int, ledger: Ledger) -> Beginning:
        """Put the lane's cursor where the lane begins, unless that is its first event."""
        start = self._start_time(doorbell)
        return Beginning.LATER if start is None else self._put(key, start, epoch=epoch, ledger=ledger)

    def skip_expired(self, key: LaneKey, *, epoch: int, ledger: Ledger) -> bool:
        """Begin a lane whose first event is not here with the oldest one kept. Tell if its cursor was put there."""
        if self._subscription.retention_seconds is None:
            return False
        return self._put(key, AtTime(0), epoch=epoch, ledger=ledger) is Beginning.PUT

    def pin(self, doorbell: Doorbell) -> None:
        """Make sure that events published from now on are missed in no lane, although nothing is delivered yet."""
        if self._start == "latest":
            self._pinned(doorbell)

    def delivers(self, origin: Region) -> bool:
        """Tell if this Region delivers an origin's lanes, as far as it has learnt by now."""
        owner = owner_of(self._subscription, origin, self._standings.known)
        return owner is None or owner.region == self._standings.region

    def behind_seal(self, key: LaneKey, seal: Record) -> Cursor | None:
        """Return the place where a child begins if all events of its parent came before the start. None: not known."""
        start = self._start_time(Doorbell(key.stream, seal.lane, seal.tail.sequence))
        return None if start is None else self._located(key, start, tail_behind(seal.tail))

    def _put(self, key: LaneKey, start: AtTime, *, epoch: int, ledger: Ledger) -> Beginning:
        """Put the lane's cursor at `start`, unless that is its first event, or is not known yet."""
        cursor = self._located(key, start)
        if cursor is None or not cursor.sequence:
            return Beginning.LATER if cursor is None else Beginning.FIRST
        # The outcome is ignored: the caller reads the state again, and so sees a lost race too.
        ledger.commit(key, START, replace(cursor, epoch=epoch, began=cursor.sequence))
        return Beginning.PUT

    def _located(self, key: LaneKey, start: AtTime, first: Tail = EMPTY_TAIL) -> Cursor | None:
        """Find the place of a start in a lane. In one that was split, it is before the seal, which is to be passed.

        `first`: the tail with which the lane began.
        """
        lane, now_ms = key.lane, self._clock.now_ms()
        kept_part = kept_in(
            lane, self._ledger.region, retention_seconds=self._subscription.retention_seconds, now_ms=now_ms
        )
        end = tail_to_begin_at(self._log, lane, now_ms=now_ms, start=first)
        if end.is_sealed:
            end = tail_before_seal(self._log, lane, end)
        return locate(self._log, lane, start, end=end, kept_part=kept_part, begins=first)

    def _start_time(self, doorbell: Doorbell) -> AtTime | None:
        """Return the time with which the lane begins; None if that is still to come, or nothing rang yet."""
        if self._start == "latest":
            before = self._before_handover(doorbell.lane.origin)
            if before is not None:
                return before
            pinned = self._pinned(doorbell)
            return None if pinned is None else AtTime(to_ms(pinned))
        ms = parse_time_ms(self._start)
        assert ms is not None, "the definition was checked"
        # A cursor put at today's tail would let through events published before a time that is still to come.
        return AtTime(ms) if ms <= self._clock.now_ms() else None

    def _before_handover(self, origin: Region) -> AtTime | None:
        """Return where a lane begins that was taken over without a pin of its first Region that counts; else None.

        A former owner may have pinned a time, delivered, and been lost before any of that was replicated. So the lane
        begins as long before the handover as replication may take, or at the earliest pin that is known. That may
        deliver too much, but loses nothing that was published after the lost pin. It holds for the first Region too, if
        a lane comes back to it in which it never began: a pin of its own that is younger than a handover says nothing
        of what was delivered since that.
        """
        standing, first = self._standings.known, self._first(origin)
        owner = standing.owner(origin)
        if owner is None or (first == self._ledger.region and not owner.epoch):
            return None
        first_pin, since_ms = standing.starts.get(first), standing.handed_since_ms(origin)
        if first_pin is not None and (since_ms is None or to_ms(first_pin) <= since_ms):
            return None
        long_before_ms = owner.since_ms - 1000 * limits.STREAM_RETENTION_SECONDS
        return AtTime(max(0, min([long_before_ms, *map(to_ms, standing.starts.values())])))

    def _pinned(self, doorbell: Doorbell) -> HybridTime | None:
        """Return the pin of the Region that delivered the lane first, or else of this one; None if no record rang."""
        starts = self._standings.known.starts
        first = self._first(doorbell.lane.origin)
        known = starts.get(first, starts.get(self._ledger.region, self._own_pin))
        if known is not None:
            return known
        stream, name = StreamName(doorbell.stream), SubscriptionName(self._subscription.state_name)
        since_ms = self._subscription.incarnation.since_ms
        if since_ms:
            declared_ms = max(0, since_ms - 1000 * DECLARED_SKEW_SECONDS)
            self._own_pin = self._ledger.pin(stream, name, HybridTime(next_time(HybridTime(0), declared_ms)))
            return self._own_pin
        # The record that rang, and not the lane's newest: what came since is already after the beginning.
        tail = self._log.tail(doorbell.lane, before=doorbell.tail)
        if tail == EMPTY_TAIL:
            return None
        # This lane's time may be ahead of all others', where events published from now on would be missed.
        now = HybridTime(next_time(HybridTime(0), self._clock.now_ms()))
        self._own_pin = self._ledger.pin(stream, name, min(tail.time, now))
        return self._own_pin

    def _first(self, origin: Region) -> Region:
        """Return the Region that delivered the origin's lanes first; if every Region delivers them, this one."""
        default = self._subscription.owner(origin)
        region = self._standings.region
        return region if default is None else self._standings.known.first(origin, Region(default))


def has_begun(cursors: dict[Region, Cursor], region: Region, epoch: int) -> bool:
    """Tell if a Region has a cursor, or goes on from another Region's."""
    return region in cursors or (epoch > 0 and bool(cursors))


def begins_by_now(
    subscription: SubscriptionTopology, origin: Region, standing: Standing, *, region: Region, now_ms: int
) -> bool:
    """Tell if it is known that a lane begins with what is appended from now on, or before that."""
    start = subscription.definition.start
    if start == "latest":
        return is_pinned(subscription, origin, standing, region=region)
    ms = parse_time_ms(start)
    return ms is None or ms <= now_ms
