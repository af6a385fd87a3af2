"""Begun: the lanes of a tree that a subscription has begun, from a root on, each with the cursor that counts.

    us-east-1/0.17    past its seal, by passing p      its parked keys were handed over, and count no more
    us-east-1/1.34    begun by p                       what waits here, waits
    us-east-1/1.35    begun by another passing         its cursor counts no more: to be given what its parent names

So whoever reads states goes on where a cursor is past a seal, and a lane that was never split costs no read more.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

from eventfabric.errors import UndecodableItemError
from eventfabric.model import (
    Cursor,
    Lane,
    LaneKey,
    LaneState,
    Owner,
    Parked,
    Passing,
    Region,
    StreamName,
    SubscriptionName,
)
from eventfabric.ports import insist

Unreadable = Callable[[UndecodableItemError], None]


@dataclass(frozen=True, slots=True)
class LaneReader:
    """Reader of the states of one subscription's lanes, in a Region that is to deliver them.

    `counts`: returns the Region whose state of a root counts. `owner`: who delivers the lanes; None: every Region.
    """

    stream: StreamName
    subscription: SubscriptionName
    region: Region
    owner: Owner | None
    state: Callable[[LaneKey], LaneState]
    counts: Callable[[LaneState], Region]

    def key(self, lane: Lane) -> LaneKey:
        """Return the key of a lane's state."""
        return LaneKey(self.stream, self.subscription, lane)


@dataclass(frozen=True, slots=True)
class BegunLane:
    """A lane that was begun, its state, and the Region whose cursor counts in it."""

    key: LaneKey
    state: LaneState
    region: Region

    @property
    def lane(self) -> Lane:
        """The lane itself."""
        return self.key.lane

    @property
    def cursor(self) -> Cursor:
        """The cursor that counts."""
        return self.state.cursor(self.region)

    @property
    def is_past_seal(self) -> bool:
        """Tell if the lane was delivered to its seal, so that its children have begun."""
        return self.cursor.past_seal is not None

    @property
    def parked(self) -> Mapping[str, Parked]:
        """The parked keys that wait here; none where they were handed over to the children."""
        return {} if self.is_past_seal else self.state.parked.get(self.region, {})

    @classmethod
    def read(cls, reader: LaneReader, lane: Lane, passing: Passing | None) -> Self | None:
        """Read a lane beneath a parent that is past its seal by a passing; None: it has yet to be begun by that.

        `passing` None: nobody has to begin the lane. UndecodableItemError.
        """
        state = reader.state(reader.key(lane))
        if passing is None:
            return cls(reader.key(lane), state, reader.counts(state))
        region = begun_by(state, passing, region=reader.region, owner=reader.owner)
        return None if region is None else cls(reader.key(lane), state, region)


def begun_by(state: LaneState, passing: Passing, *, region: Region, owner: Owner | None) -> Region | None:
    """Return the Region whose cursor of a child counts beneath its parent's passing; None: the child did not begin.

    That is this Region once it has taken the child over, before that the latest that was begun by that passing.
    """
    begun = {by: cursor for by, cursor in state.cursors.items() if cursor.begun == passing}
    own = begun.get(region)
    if own is not None and own.epoch >= (0 if owner is None else owner.epoch):
        return region
    return replace(state, cursors=begun).latest


def begun_lanes(reader: LaneReader, root: Lane, *, unreadable: Unreadable = insist) -> Iterator[BegunLane]:
    """Yield a lane, and all lanes beneath it that have begun, parents first. One read for each.

    `unreadable`: told of each state that cannot be read, which is left out with all beneath it; default: raise that.
    """
    left: deque[tuple[Lane, Passing | None]] = deque([(root, None)])
    while left:
        lane, passing = left.popleft()
        try:
            begun = BegunLane.read(reader, lane, passing)
        except UndecodableItemError as error:
            unreadable(error)
            continue
        if begun is not None:
            yield begun
            past_seal = begun.cursor.past_seal
            left.extend((child, past_seal) for child in (lane.children if past_seal is not None else ()))
