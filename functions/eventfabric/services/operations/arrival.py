"""Arrival: tells if everything that a drained source had has been replicated to the target of a failover.

Compared by content, and not by time: nothing tells how long replication takes, and items come in no order. What has
arrived is not compared again, because the source is paused and moves it no more. So waiting for the last item does not
take a look at all the others, each time.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

from eventfabric.errors import LogError, UndecodableItemError
from eventfabric.model import Lane, LaneKey, Owner, Settled, StreamName, SubscriptionName
from eventfabric.ports import Ports
from eventfabric.services.delivery.side_by_side import SideBySide, results_of
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.stream_topology import SubscriptionTopology, name_of_state
from eventfabric.topology import Topology

_AT_ONCE = 256
"""Lanes that are compared before a look at what that said: the first that lags ends the comparison."""

Advance = Callable[[int, int], None]
"""Called with a number of things that are done, and of how many."""


def ignore(done: int, total: int) -> None:
    """Take no notice of progress."""


class Arrival:
    """Comparison of a target with its drained source."""

    def __init__(
        self, topology: Topology, *, ports: Ports, source_ports: Ports, side_by_side: SideBySide
    ) -> None:
        self._topology = topology
        self._ports = ports
        self._source_ports = source_ports
        self._side_by_side = side_by_side
        self._arrived: set[LaneKey] = set()
        self._ended: set[tuple[str, Lane]] = set()
        self._passed: set[LaneKey] = set()
        """Lanes that are past their seal in the source."""
        self._beneath: list[LaneKey] = []
        """Lanes that the source began at the seals of others."""

    def lagging(self, handed: Iterable[tuple[SubscriptionTopology, Owner]], advance: Advance) -> str:
        """Name the first part of the source's state or log that the target has not. Empty if it has everything."""
        keys = [*self._keys(handed), *self._beneath]
        left = [key for key in keys if key not in self._arrived]
        while left:
            lanes, left = left[:_AT_ONCE], left[_AT_ONCE:]
            lagging = results_of([partial(self._lagging, key) for key in lanes], self._side_by_side)
            arrived = {key for key, what in zip(lanes, lagging, strict=True) if not what}
            self._arrived |= arrived
            beneath = [key for passed in self._passed & arrived for key in _children(passed)]
            self._beneath += beneath
            keys, left = [*keys, *beneath], [*left, *beneath]
            advance(len(self._arrived), len(keys))
            first = next(filter(None, lagging), "")
            if first:
                return first
        return ""

    def _keys(self, handed: Iterable[tuple[SubscriptionTopology, Owner]]) -> Iterator[LaneKey]:
        for subscription, owner in handed:
            stream = self._topology.stream(subscription.definition.stream)
            for lane in lanes_of(stream):
                if lane.origin == owner.origin:
                    yield LaneKey(StreamName(stream.name), SubscriptionName(subscription.state_name), lane)

    def _lagging(self, key: LaneKey) -> str:
        """Name what of a subscription's lane the target has not."""
        with suppress(LogError, UndecodableItemError):  # such a lane stops in either Region
            state = self._source_ports.ledger.state(key)
            if any(cursor.past_seal is not None for cursor in state.cursors.values()):
                self._passed.add(key)
            if self._ports.ledger.state(key) != state:
                return f"the state of {name_of_state(key.subscription)} in lane {key.lane}"
            if not self._has_ended(key):
                return f"the end of lane {key.lane} of {key.stream}"
            if self._decided(self._ports, key) != self._decided(self._source_ports, key):
                return (
                    f"a decision about a dead letter of {name_of_state(key.subscription)} in lane {key.lane}"
                )
        return ""

    def _has_ended(self, key: LaneKey) -> bool:
        """Tell if the target's log has come to where the source's ended when they were compared."""
        # Many subscriptions read one lane: its end is compared once.
        if (key.stream, key.lane) in self._ended:
            return True
        stream = self._topology.stream(key.stream)
        target_log, source_log = self._ports.log_of(stream), self._source_ports.log_of(stream)
        if target_log.tail(key.lane) != source_log.tail(key.lane):
            return False
        self._ended.add((key.stream, key.lane))
        return True

    @staticmethod
    def _decided(ports: Ports, key: LaneKey) -> list[Settled]:
        """Return what people decided about a lane's dead letters. Without that, a proof here would not except them."""
        # In an order of its own: two Regions may list the same decisions in different ones.
        return sorted(ports.ledger.settled(key), key=lambda settled: (settled.sequence, settled.at_ms))


def _children(key: LaneKey) -> list[LaneKey]:
    return [replace(key, lane=child) for child in key.lane.children]
