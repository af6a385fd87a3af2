"""Identifiers of the log, and how its times and counts go on.

Each has its own type, so that a sequence cannot pass for a lane index. A hybrid logical time has 48 bits of
milliseconds and 16 of counter, and never runs back within a lane.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from re import compile as regex
from typing import Final, NewType, cast

from eventfabric import limits

Region = NewType("Region", str)
StreamName = NewType("StreamName", str)
SubscriptionName = NewType("SubscriptionName", str)
SequenceNumber = NewType("SequenceNumber", int)
LaneIndex = NewType("LaneIndex", int)
Generation = NewType("Generation", int)
BatchId = NewType("BatchId", bytes)
Chain = NewType("Chain", bytes)
HybridTime = NewType("HybridTime", int)

GENERATION_FIRST = Generation(0)
_LANE: Final = regex(
    rf"([a-z0-9-]{{1,{limits.REGION_CHARACTERS_MAX}}})/(0|[1-9][0-9]{{0,8}})\.(0|[1-9][0-9]{{0,3}})"
)
"""Lanes fit for the id of a queue's message group. No other digits than those written, so that a lane has one text."""
DECLARES: Final = "@"
"""Beginning of the text of a lane of declarations. No Region and no stream has it in its name."""
_DECLARATIONS: Final = regex(
    rf"{DECLARES}([a-z0-9-]{{1,{limits.REGION_CHARACTERS_MAX}}})/([a-z0-9-]{{1,{limits.NAME_CHARACTERS_MAX}}})(/schemas)?"
)
_SEQUENCE_DIGITS_MAX = 18
_COUNTER_BITS = 16
_ALONE: Final = "s/"


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    """An ordered part of a stream in one origin. `str(lane)` is its stored form, `us-east-1/0.17`."""

    origin: Region
    generation: Generation
    index: LaneIndex

    def __str__(self) -> str:
        return f"{self.origin}/{self.generation}.{self.index}"

    @property
    def local(self) -> str:
        """Text of the lane within its origin, such as `0.17`."""
        return f"{self.generation}.{self.index}"

    @property
    def number(self) -> int:
        """Number of the lane among all that its origin can have: the index, and behind these the next generations."""
        return self.generation * limits.LANES_MAX + self.index

    @classmethod
    def numbered(cls, origin: Region, number: int) -> "Lane":
        """Return the lane of that number."""
        generation, index = divmod(number, limits.LANES_MAX)
        return cls(origin, Generation(generation), LaneIndex(index))

    @property
    def is_root(self) -> bool:
        """Tell if no other lane was ever split into this one."""
        return self.generation == GENERATION_FIRST

    @property
    def parent(self) -> "Lane":
        """The lane that was split into this one. Not asked of a root."""
        assert self.generation > GENERATION_FIRST, "a root has no parent"
        return Lane(self.origin, Generation(self.generation - 1), LaneIndex(self.index // 2))

    @property
    def children(self) -> tuple["Lane", "Lane"]:
        """The two lanes into which this one is split once a seal ends it."""
        generation, index = Generation(self.generation + 1), 2 * self.index
        return (
            Lane(self.origin, generation, LaneIndex(index)),
            Lane(self.origin, generation, LaneIndex(index + 1)),
        )

    def above(self, generation: int) -> "Lane":
        """Return the lane of that generation, not a later one than this lane's, of which this one is a part."""
        assert generation <= self.generation, "a lane is part of older ones only"
        index = self.index >> (self.generation - generation)
        return Lane(self.origin, Generation(generation), LaneIndex(index))

    @property
    def root(self) -> "Lane":
        """The lane of the first generation of which this one is a part."""
        return self.above(GENERATION_FIRST)

    def can_split(self, lanes: int) -> bool:
        """Tell if its children would be lanes, in a stream that began with `lanes` of them."""
        return lanes << (self.generation + 1) <= limits.LANES_MAX

    @classmethod
    def parse(cls, text: str) -> "Lane":
        """Parse the text that `str(lane)` wrote. ValueError for anything else."""
        match = _LANE.fullmatch(text)
        if match is None or int(match[3]) >= limits.LANES_MAX:
            raise ValueError(f"not a lane: {text!r:.80}, allowed: <origin>/<generation>.<index>")
        return cls(Region(match[1]), Generation(int(match[2])), LaneIndex(int(match[3])))


@dataclass(frozen=True, slots=True, order=True)
class DeclarationLane(Lane):
    """The lane in which a Region declares what is deployed of a stream there. `str(lane)` is `@us-east-1/orders`.

    It is in the stream's log, and its records are chained and replicated like all others. But it is no part of the
    stream: no publisher writes there, nothing in it is delivered, and nothing expires. `Lane.parse` does not take it.
    """

    stream: StreamName

    def __str__(self) -> str:
        return f"{DECLARES}{self.origin}/{self.stream}"

    @classmethod
    def of(cls, region: Region, stream: StreamName) -> "DeclarationLane":
        """Return the lane of a Region's declarations about a stream."""
        return cls(region, GENERATION_FIRST, LaneIndex(0), stream)


@dataclass(frozen=True, slots=True, order=True)
class SchemaLane(DeclarationLane):
    """The lane in which a Region registers schemas of a stream's types. `str(lane)` is `@us-east-1/orders/schemas`.

    In all else it is like the Region's lane of declarations, beside which it stands.
    """

    def __str__(self) -> str:
        return f"{DECLARES}{self.origin}/{self.stream}/schemas"

    @classmethod
    def of(cls, region: Region, stream: StreamName) -> "SchemaLane":
        """Return the lane in which a Region registers schemas of a stream."""
        return cls(region, GENERATION_FIRST, LaneIndex(1), stream)


def parse_log_lane(text: str) -> Lane:
    """Parse the text of any lane of a log: one of the stream, or one of declarations. ValueError for anything else."""
    match = _DECLARATIONS.fullmatch(text)
    if match is None:
        return Lane.parse(text)
    kind = DeclarationLane if match[3] is None else SchemaLane
    return kind.of(Region(match[1]), StreamName(match[2]))


def parse_place(text: str) -> tuple[Lane, SequenceNumber] | None:
    """Parse a place in a log, `<lane>@<sequence>`. None for anything else."""
    lane, _, sequence = text.rpartition("@")
    if not (sequence.isascii() and sequence.isdecimal() and len(sequence) <= _SEQUENCE_DIGITS_MAX):
        return None
    try:
        return parse_log_lane(lane), SequenceNumber(int(sequence))
    except ValueError:
        return None


def lane_index(key: str, lanes: int) -> LaneIndex:
    """Return the lane of a key among `lanes` (a power of two).

    Takes the top bits of BLAKE2b-64, so that doubling splits lane i into 2i and 2i+1.
    """
    digest = int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")
    return LaneIndex(digest >> (64 - (lanes.bit_length() - 1)))


def lane_of(key: str, origin: Region, lanes: int, generation: int = GENERATION_FIRST) -> Lane:
    """Return the lane of a key among those of a generation, in a stream that began with `lanes` of them."""
    return Lane(origin, Generation(generation), lane_index(key, lanes << generation))


def child_of(lane: Lane, key: str, lanes: int) -> Lane:
    """Return the child of a lane to which a key of it goes, in a stream that began with `lanes` of them."""
    return lane_of(key, lane.origin, lanes, lane.generation + 1)


def key_parking_id(key: str) -> str:
    """Return the id under which the events of a key wait together, where their order is kept."""
    return f"k/{key}"


def event_parking_id(sequence: SequenceNumber) -> str:
    """Return the id under which an event waits by itself, where no order is kept."""
    return f"{_ALONE}{sequence}"


def is_alone(parking_id: str) -> bool:
    """Tell if an id is that of an event which is parked by itself."""
    return parking_id.startswith(_ALONE)


def alone_at(parking_id: str) -> SequenceNumber | None:
    """Return the sequence of the event that an id is made of; None if it is not made of one."""
    digits = parking_id.removeprefix(_ALONE)
    if not (is_alone(parking_id) and digits.isascii() and digits.isdigit() and len(digits) < 20):
        return None
    sequence = SequenceNumber(int(digits))
    return sequence if event_parking_id(sequence) == parking_id else None


def uuid7_prefix(unix_ms: int) -> str:
    """Return the half of a UUIDv7 that holds the time: 48 bits of milliseconds since 1970."""
    return f"{unix_ms >> 16:08x}-{unix_ms & 0xFFFF:04x}-"


_COUNTERS = [f"{number:02x}" for number in range(255, -1, -1)]


def uuid7_suffixes(random_bytes: bytes, prefix: str = "") -> list[str]:
    """Return 256 second halves of UUIDv7s, each after `prefix`; the last one is to be used first.

    They hold 66 of the 80 random bits, and a counter (RFC 9562, 6.2, method 1) in the 8 low bits before the variant, so
    that ids taken from the end sort in the order in which they were taken.
    """
    digits = random_bytes.hex()
    variant = "89ab"[random_bytes[1] & 3]
    first, last = f"{prefix}7{digits[0]}", f"-{variant}{digits[4:7]}-{digits[7:19]}"
    return [first + counter + last for counter in _COUNTERS]


def sequences_from(first: int, count: int) -> Iterable[SequenceNumber]:
    """Return `count` consecutive sequences. One cast for all: events are unpacked by thousands, and calls add up."""
    return cast("Iterable[SequenceNumber]", range(first, first + count))


def next_time(previous: HybridTime, now_ms: int) -> HybridTime:
    """Return the time of an append at `now_ms` after one at `previous`: the wall clock, unless it would not advance.

    At the largest time that can be stored it stands still: the lane goes on, and reconciliation reports its clock.
    """
    return HybridTime(min(max(previous + 1, now_ms << _COUNTER_BITS), limits.HYBRID_TIME_MAX))


def to_ms(time: HybridTime) -> int:
    """Return the milliseconds since 1970 in a hybrid time."""
    return time >> _COUNTER_BITS


def next_count(count: int) -> int:
    """Return the number after this one: 1 after the largest. For numbers that are only compared for equality."""
    return count % limits.SEQUENCE_MAX + 1
