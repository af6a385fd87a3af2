"""Looks at a subscription for `scaling.py`: where its lanes stand, twice, and what is in those that matter.

look     each lane's end and cursor         two reads a lane
wait     some seconds
look     the same lanes again
    read     the first record that waits, of lanes that lag most; and some records of the lane that matters
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from eventfabric import limits
from eventfabric.errors import LogError
from eventfabric.model import Lane, LaneKey, ParkedState, StreamName, SubscriptionName, Tail, to_ms
from eventfabric.model.function_figures import FunctionFigures
from eventfabric.ports import Log, Ports, insist
from eventfabric.services.delivery.side_by_side import SideBySide, one_after_another, results_of
from eventfabric.services.lanes.hot_lane import SAMPLE_RECORDS, LaneLoad, LaneSample
from eventfabric.services.lanes.splits import Unreadable
from eventfabric.services.lanes.standing import Standings, lanes_of, ledger_of
from eventfabric.services.lanes.tails import tails_of
from eventfabric.services.operations.scaling import Figures
from eventfabric.services.operations.survey import LaneStanding, survey
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology

OLDEST_LANES: Final = 64
"""Lanes of which the first record that waits is read: those that lag most."""
_PARKED_LANES: Final = 64


@dataclass(frozen=True, slots=True)
class _Lanes:
    """One look: lanes that are delivered here, as they stood at `now_ms`."""

    now_ms: int
    standings: Mapping[Lane, LaneStanding]

    @property
    def lagging(self) -> list[LaneStanding]:
        """Lanes that lag, those that lag most first."""
        return sorted(
            (own for own in self.standings.values() if own.lag), key=lambda own: own.lag, reverse=True
        )


class ScaleLooks:
    """Looks at one subscription in one Region. They change nothing."""

    def __init__(
        self,
        subscription: SubscriptionTopology,
        stream: StreamTopology,
        *,
        ports: Ports,
        account: int,
        side_by_side: SideBySide = one_after_another,
        unreadable: Unreadable = insist,
    ) -> None:
        """`account`: invocations of the whole account. `unreadable`: told of lanes that are left out."""
        self._subscription = subscription
        self._stream = stream
        self._ports = ports
        self._log: Log = ports.log_of(stream)
        self._account = account
        self._side_by_side = side_by_side
        self._unreadable = unreadable
        self._standing = Standings.of(subscription, ports).read()

    def figures(
        self, *, wait_seconds: float, watched: FunctionFigures, wait: Callable[[float], None] | None = None
    ) -> Figures:
        """Look twice, and return the figures. `wait`: waits between the looks; default: by the clock."""
        before = self._look()
        (wait or self._ports.clock.sleep)(wait_seconds)
        after = self._look()
        seconds = max(0.001, (after.now_ms - before.now_ms) / 1000)
        lagging, definition = after.lagging, self._subscription.definition
        arrived = {lane: _arrived(before, own) / seconds for lane, own in after.standings.items()}
        handled = sum(_moved(before, own) for own in after.standings.values()) / seconds
        waiting = sum(own.lag for own in lagging)
        lane = lagging[0] if lagging else None
        slo = definition.slo
        return Figures(
            stream=self._stream.name,
            subscription=self._subscription.name,
            seconds=seconds,
            circuit=self._standing.circuit.state,
            waiting=waiting,
            oldest_seconds=self._oldest_seconds(lagging[:OLDEST_LANES], after.now_ms),
            objective_seconds=None if slo is None else slo.latency_ms / 1000,
            arrived=sum(arrived.values()),
            handled=handled,
            lanes=len(after.standings),
            lagging=len(lagging),
            moving=sum(_moved(before, own) > 0 for own in lagging),
            retried=self._retried(after),
            lane="" if lane is None else str(lane.lane),
            lane_share=lane.lag / waiting if lane is not None and waiting else 0.0,
            load=self._load(lane, arrived),
            concurrency=definition.concurrency,
            attempts_max=definition.attempts_max,
            invocations_max=self._invocations_max(),
            uses_pollers=definition.function.provisioned_pollers is not None,
            account=self._account,
            watched=watched,
        )

    def _invocations_max(self) -> int:
        """Return how many invocations the queue may have at the same time."""
        function = self._subscription.definition.function
        bound, pollers = function.invocations_max, function.provisioned_pollers
        if bound is None:
            bound = limits.POLLER_INVOCATIONS_MAX * (pollers.maximum if pollers else 1)
        return min(bound, self._account)

    def _look(self) -> _Lanes:
        now_ms = self._ports.clock.now_ms()

        def surveyed(tails: Mapping[Lane, Tail]) -> list[LaneStanding]:
            return list(
                survey(
                    self._subscription,
                    tails,
                    log=self._log,
                    ledger=self._ports.ledger,
                    standing=self._standing,
                    unreadable=self._unreadable,
                )
            )

        def looked(lane: Lane) -> list[LaneStanding]:
            return surveyed(tails_of(self._log, [lane], now_ms=now_ms, unreadable=self._unreadable))

        every = results_of([partial(looked, lane) for lane in lanes_of(self._stream)], self._side_by_side)
        return _Lanes(now_ms, {own.lane: own for lanes in every for own in lanes})

    def _load(self, lane: LaneStanding | None, arrived: Mapping[Lane, float]) -> LaneLoad:
        """Return the load of the lane, by the records that wait in it; if nothing waits, of the one that gets most."""
        busiest = max(arrived, key=lambda of: arrived[of], default=None)
        of = busiest if lane is None else lane.lane
        if of is None:
            return LaneSample().load(0.0)
        try:
            if lane is None:
                records = self._log.recent(of, records_max=SAMPLE_RECORDS, consistent=False).records
            else:
                records = self._log.read(of, lane.ahead.base, records_max=SAMPLE_RECORDS).records
        except LogError as error:
            self._unreadable(error)
            records = ()
        return LaneSample.of(records).load(arrived.get(of, 0.0))

    def _oldest_seconds(self, lagging: Sequence[LaneStanding], now_ms: int) -> float:
        """Return the age of the oldest event that waits, by its record's time."""

        def since_ms(own: LaneStanding) -> int:
            try:
                first = self._log.read(own.lane, own.ahead.base, records_max=1).first
            except LogError as error:
                self._unreadable(error)
                return now_ms
            return now_ms if first is None else to_ms(first.time)

        times = results_of([partial(since_ms, own) for own in lagging], self._side_by_side)
        return max(0.0, (now_ms - min(times, default=now_ms)) / 1000)

    def _retried(self, after: _Lanes) -> int:
        """Count parked keys that are retried, in lanes that have parked any."""
        parking = [own for own in after.standings.values() if own.cursor.roster.count][:_PARKED_LANES]

        def retried(own: LaneStanding) -> int:
            ledger = ledger_of(self._ports.ledger, self._subscription, own.lane.origin)
            name = SubscriptionName(self._subscription.state_name)
            state = ledger.state(LaneKey(StreamName(self._stream.name), name, own.lane))
            keys = state.parked.get(ledger.region, {}).values()
            return sum(key.state is ParkedState.RETRYING for key in keys)

        return sum(results_of([partial(retried, own) for own in parking], self._side_by_side))


def _arrived(before: _Lanes, own: LaneStanding) -> int:
    known = before.standings.get(own.lane)
    if known is None:  # it was empty; a lane that was split off does not begin at 0
        return own.tail.sequence if own.lane.is_root else 0
    return own.tail.sequence - known.tail.sequence


def _moved(before: _Lanes, own: LaneStanding) -> int:
    known = before.standings.get(own.lane)
    return max(0, own.cursor.sequence - known.cursor.sequence) if known else 0
