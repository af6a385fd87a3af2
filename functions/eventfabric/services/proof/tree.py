"""Tree: the lanes that a subscription has begun from a root on, and the exceptions of each from what it handled.

A key that was parked where its lane was split waits in a child, with events in the logs of lanes above. What is decided
about it is noted beside the child, too. Sequences rise along a key's lanes, so that each tells in which log it stands.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain

from eventfabric.model import Lane, Parked, Region, Settled, child_of
from eventfabric.model.proof import Exempt, ExemptRange
from eventfabric.ports import Ledger
from eventfabric.services.lanes.begun import BegunLane
from eventfabric.services.proof.claim import exceptions_of
from eventfabric.stream_topology import StreamTopology


class ClaimedTree:
    """Lanes of one tree, parents first. `is_alone`: every Region delivers them for itself."""

    def __init__(
        self, ledger: Ledger, lanes: Sequence[BegunLane], stream: StreamTopology, *, is_alone: bool
    ) -> None:
        self.lanes = lanes
        self._ledger = ledger
        self._roots = stream.definition.lanes
        self._is_alone = is_alone

    def alone(self, own: BegunLane) -> Region | None:
        """Return the Region whose decisions count; None: all do.

        A lane that every Region delivers for itself has decisions of its own in each.
        """
        return own.region if self._is_alone else None

    def exceptions(self, own: BegunLane) -> Iterator[Exempt | ExemptRange]:
        """Yield the exceptions of a lane: by its own parked keys and decisions, and by those of lanes beneath it.

        Also ones of events before the lane begins, which are not its own.
        """
        beneath = [lane for lane in self.lanes if _is_beneath(lane.lane, own.lane)]
        parked = chain.from_iterable(map(self._waiting, beneath))
        settled = chain.from_iterable(self._settled[lane.lane] for lane in beneath)
        yield from exceptions_of(parked, settled, end=own.cursor.sequence)

    @cached_property
    def _settled(self) -> dict[Lane, list[Settled]]:
        """Decisions about dead letters, by the lane beside which they are noted. One read for each lane."""
        return {own.lane: [*self._ledger.settled(own.key, by=self.alone(own))] for own in self.lanes}

    def _waiting(self, own: BegunLane) -> Iterator[Parked]:
        """Yield the parked keys that wait in a lane: where it is past its seal, those of children yet to be begun."""
        if not own.is_past_seal:
            yield from own.parked.values()
            return
        begun = {lane.lane for lane in self.lanes}
        for parked in own.state.parked.get(own.region, {}).values():
            if child_of(own.lane, parked.key, self._roots) not in begun:
                yield parked


def _is_beneath(lane: Lane, other: Lane) -> bool:
    """Tell if a lane is another one, or was split off from it."""
    return lane.generation >= other.generation and lane.above(other.generation) == other
