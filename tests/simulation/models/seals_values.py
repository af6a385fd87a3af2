"""Values of the model of seals: lanes, records, cursors, parked keys, doorbells."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

Region = str
Key = int
"""A key stands for its own hash: bit g says to which child of a lane of generation g it goes."""

PAGE_RECORDS_MAX: Final = 3
PARKED_PLACES_MAX: Final = 2
TRANSACTION_ACTIONS_MAX: Final = 4
TREE_ACTIONS_MAX: Final = 10
ATTEMPTS_MAX: Final = 2
RACES_MAX: Final = 3


class Lane(NamedTuple):
    """A lane of an origin: (g, i). It may be split into (g + 1, 2i) and (g + 1, 2i + 1)."""

    origin: Region
    generation: int
    index: int  # type: ignore[assignment]  # named as in the product: nobody looks for values in a lane

    @property
    def is_root(self) -> bool:
        return self.generation == 0

    @property
    def children(self) -> tuple["Lane", "Lane"]:
        first = Lane(self.origin, self.generation + 1, 2 * self.index)
        return first, first._replace(index=first.index + 1)

    @property
    def parent(self) -> "Lane":
        return Lane(self.origin, self.generation - 1, self.index // 2)

    def child_of(self, key: Key) -> "Lane":
        return self.children[key >> self.generation & 1]

    def holds(self, key: Key) -> bool:
        """Tell if the key's events stand in this lane, in one above it, or in one below it."""
        lane = root_of(self.origin)
        while lane.generation < self.generation:
            lane = lane.child_of(key)
        return lane == self


def root_of(origin: Region) -> Lane:
    return Lane(origin, 0, 0)


class Event(NamedTuple):
    """An event. Numbers rise in the order in which a publisher publishes. Nobody wants some of them."""

    number: int
    key: Key
    is_wanted: bool


class Place(NamedTuple):
    """A place in the log. With its lane: a key's events may wait in the log of a lane above."""

    lane: Lane
    sequence: int


class Tail(NamedTuple):
    """The place and the chain with which a lane goes on."""

    sequence: int
    chain: int


EMPTY_TAIL: Final = Tail(0, 0)


class Batch(NamedTuple):
    """Events that are published together. `note`: where a copy may stand that had no reply, in another Region."""

    id: int
    events: tuple[Event, ...]
    note: Place | None = None


class Record(NamedTuple):
    """A batch, or part of one, at its place in a lane; or the seal that ends the lane."""

    lane: Lane
    sequence: int
    size: int
    chain: int
    batch: Batch
    is_seal: bool = False
    is_expired: bool = False

    @property
    def tail(self) -> Tail:
        return Tail(self.sequence + self.size, self.chain)

    @property
    def place(self) -> Place:
        return Place(self.lane, self.sequence)


def record_at(
    tail: Tail, lane: Lane, batch: Batch, *, count: int | None = None, is_seal: bool = False
) -> Record:
    """Make the record that continues a lane at its tail."""
    count = len(batch.events) if count is None else count
    chain = hash(
        (tail.chain, tail.sequence, count, batch.id, *(event.number for event in batch.events), is_seal)
    )
    return Record(lane, tail.sequence, count, chain, batch, is_seal)


class Passing(NamedTuple):
    """The identity of one hand-over: the version of the parent's cursor that passed the seal, and whose it was."""

    region: Region
    epoch: int
    version: int


ROOT: Final = Passing("", 0, 0)
"""Roots need nobody to begin."""


class Parked(NamedTuple):
    """A key whose first event failed. Its events wait: `places` lists some, further ones are in the log from `rest` on.

    In a child, they may stand in the logs of lanes above.
    """

    key: Key
    places: tuple[Place, ...]
    rest: Place | None
    is_dead: bool
    attempts: int
    due: int

    @property
    def first(self) -> Place:
        place = self.places[0] if self.places else self.rest
        assert place is not None, "a key in which nothing waits is freed"
        return place

    def without_first(self) -> "Parked | None":
        """Return the key without its first event; None if no other waits."""
        left = self._replace(places=self.places[1:], attempts=0, is_dead=False)
        return left if left.places or left.rest else None

    def before(self, sequence: int) -> "Parked | None":
        """Return the key without what waits at a sequence or behind it: sequences of a key rise across lanes."""
        places = tuple(place for place in self.places if place.sequence < sequence)
        rest = self.rest if self.rest and self.rest.sequence < sequence else None
        return self._replace(places=places, rest=rest) if places or rest else None


class Cursor(NamedTuple):
    """How far one Region has come in a lane. `roster`: the parked keys beside it; `low`: where the first of them waits.

    `begun`: the passing that began this child. `past_seal`: the passing by which this lane's own children began.
    `replay_until`: events before it come again. `replay`: the last replay that moved it, for the checkers alone.
    """

    sequence: int = 0
    chain: int = 0
    version: int = 0
    epoch: int = 0
    begun: Passing | None = None
    past_seal: Passing | None = None
    roster: tuple[tuple[Key, int], ...] = ()
    low: Place | None = None
    replay_until: int = 0
    replay: int = 0

    @property
    def tail(self) -> Tail:
        return Tail(self.sequence, self.chain)

    def beside(self, parked: Mapping[Key, Parked]) -> "Cursor":
        """Return the cursor as it names these parked keys."""
        roster = tuple((key, hash(parked[key])) for key in sorted(parked))
        low = min((key.first for key in parked.values()), key=lambda place: place.sequence, default=None)
        return self._replace(roster=roster, low=low)


START: Final = Cursor()


class Owner(NamedTuple):
    """Who delivers the lanes of an origin, since which handover."""

    region: Region
    epoch: int


class State(NamedTuple):
    """A lane's state, as one Region sees it: the cursors and parked keys of all Regions, in one read."""

    lane: Lane
    items: Mapping[Any, Any]

    def cursor(self, region: Region) -> Cursor:
        begun = ROOT if self.lane.is_root else None
        return self.items.get((region, "cursor")) or START._replace(begun=begun)

    @property
    def cursors(self) -> dict[Region, Cursor]:
        return {sort[0]: item for sort, item in self.items.items() if sort[1] == "cursor"}

    @property
    def epoch(self) -> int:
        return max((cursor.epoch for cursor in self.cursors.values()), default=0)

    def parked(self, region: Region) -> dict[Key, Parked]:
        """Return the parked keys that the Region's cursor names, and that are here."""
        names = (key for key, _ in self.cursor(region).roster)
        return {key: self.items[region, key] for key in names if (region, key) in self.items}


class Doorbell(NamedTuple):
    """Request to look at a lane. The queue drops another one with the same id for a while."""

    lane: Lane
    tail: int
    again: int = 0


ANY_TAIL: Final = 1 << 30


def digest(value: Any) -> int:
    """Return a hash of a value, also of one that can change."""
    if isinstance(value, State):
        return digest(value.items)
    if isinstance(value, Mapping):
        return hash(frozenset([(key, digest(item)) for key, item in value.items()]))
    return hash(frozenset(value) if isinstance(value, set) else value)
