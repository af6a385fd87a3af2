"""A lane's tree: into which lanes it was split, as far as its reader has met the seals.

A seal is met where the parent's end is read, or where it stands in the way of a record; nobody is told beforehand. So
each reader has trees of its own. One of an origin in which nothing was split is empty, and costs nothing.
"""

from eventfabric.model import (
    EMPTY_TAIL,
    GENERATION_FIRST,
    Generation,
    Lane,
    Region,
    Tail,
    child_of,
    lane_of,
    tail_behind,
)


class Seals:
    """The lanes of one stream that were split, with their ends. Threads may share it: it only grows."""

    def __init__(self) -> None:
        self._seals: dict[Lane, Tail] = {}

    def __bool__(self) -> bool:
        """Tell if any seal was met."""
        return bool(self._seals)

    def learn(self, lane: Lane, end: Tail) -> None:
        """Learn where a lane ends, if that is a seal; else nothing is learned."""
        if end.is_sealed:
            self._seals[lane] = end

    def end(self, lane: Lane) -> Tail | None:
        """Return the tail behind a lane's seal; None if no seal of it was met."""
        return self._seals.get(lane)

    def is_split(self, lane: Lane) -> bool:
        """Tell if a seal of the lane was met."""
        return lane in self._seals

    def start(self, lane: Lane) -> Tail | None:
        """Return the tail with which a lane begins; None if that is not known, as its parent's seal was not met."""
        if lane.is_root:
            return EMPTY_TAIL
        end = self._seals.get(lane.parent)
        return None if end is None else tail_behind(end)

    def leaves(self, lane: Lane) -> list[Lane]:
        """Return the lanes below one, or the lane itself, that were not split: in the order of their keys' digests."""
        if lane not in self._seals:
            return [lane]
        return [leaf for child in lane.children for leaf in self.leaves(child)]


class LaneTree(Seals):
    """The lanes of one stream in one origin that were split, and so the lanes of its keys."""

    def __init__(self, origin: Region, lanes: int) -> None:
        """`lanes`: number of lanes with which the stream began."""
        super().__init__()
        self._origin, self._lanes = origin, lanes

    def lane_of(self, key: str) -> Lane:
        """Return the lane to which the events of a key go by now."""
        return self.below(lane_of(key, self._origin, self._lanes), key)

    def below(self, lane: Lane, key: str) -> Lane:
        """Return the lane, this one or one below it, to which the events of a key of it go by now."""
        while lane in self._seals:
            lane = child_of(lane, key, self._lanes)
        return lane

    def path(self, key: str, generation: Generation = GENERATION_FIRST) -> list[Lane]:
        """Return all lanes in whose logs events of a key stand, in order, from a generation on."""
        last = self.lane_of(key)
        return [last.above(number) for number in range(generation, last.generation + 1)]


class LaneTrees:
    """Trees of streams in Regions, shared by all in a process that publishes there."""

    def __init__(self) -> None:
        self._trees: dict[tuple[str, Region, int], LaneTree] = {}

    def of(self, stream: str, region: Region, lanes: int) -> LaneTree:
        """Return the lanes of a stream in a Region, as far as they were met. `lanes`: with how many it began."""
        place = stream, region, lanes
        tree = self._trees.get(place)
        return self._trees.setdefault(place, LaneTree(region, lanes)) if tree is None else tree
