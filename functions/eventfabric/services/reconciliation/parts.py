"""Parts: the lanes of a stream as a pass goes through them, those together whose marks are stored together.

us-east-1/@       the lanes of the origin's declarations, and of the schemas that it registers
us-east-1/0000    the first 512 of its lanes, and so on; then the next origin
us-east-1/0008    the first 512 that were split off from these; checked with their parents' part, of which they are
"""

from collections.abc import Iterable
from dataclasses import dataclass

from eventfabric.model import DECLARES, Lane, Region, marked_as, part_of
from eventfabric.services.lanes.standing import declaration_lanes_of, lanes_of
from eventfabric.stream_topology import StreamTopology


@dataclass(frozen=True, slots=True)
class PassPart:
    """Lanes of one origin whose marks are stored together. `name`: that of the part in the marks."""

    origin: Region
    name: str
    lanes: tuple[Lane, ...]

    def __str__(self) -> str:
        return f"{self.origin}/{self.name}"

    @property
    def is_declared(self) -> bool:
        """It is the lanes in which the origin declares what is deployed, and registers schemas."""
        return self.name == DECLARES

    @property
    def marked_as(self) -> Region:
        """Origin of its marks."""
        return marked_as(self.lanes[0])

    @property
    def marks_name(self) -> str:
        """Name of the part of the marks in which its lanes are."""
        return part_of(self.lanes[0].number)


def parts_of(stream: StreamTopology) -> list[PassPart]:
    """List the parts of a stream's lanes, in the order in which a pass goes through them: declarations come first."""
    lanes: dict[tuple[Region, str], list[Lane]] = {}
    for declarations in declaration_lanes_of(stream):
        lanes.setdefault((declarations.origin, DECLARES), []).append(declarations)
    for lane in lanes_of(stream):
        lanes.setdefault((lane.origin, part_of(lane.number)), []).append(lane)
    return [PassPart(origin, name, tuple(of_part)) for (origin, name), of_part in lanes.items()]


def parts_beneath(lanes: Iterable[Lane]) -> list[PassPart]:
    """List the parts of the lanes into which these were split."""
    children: dict[tuple[Region, str], list[Lane]] = {}
    for lane in lanes:
        for child in lane.children:
            children.setdefault((child.origin, part_of(child.number)), []).append(child)
    return [PassPart(origin, name, tuple(of_part)) for (origin, name), of_part in children.items()]


def parts_from(parts: list[PassPart], first: str) -> list[PassPart]:
    """Return the parts from one on. If there is none of that name, all of them are."""
    names = [str(part) for part in parts]
    return parts[names.index(first) :] if first in names else parts


def part_after(stream: StreamTopology, part: str) -> str:
    """Name the part after another; empty after the last."""
    names = [str(of_stream) for of_stream in parts_of(stream)]
    following = names[names.index(part) + 1 :] if part in names else []
    return following[0] if following else ""
