"""Owns the identifiers of the log; each has a type of its own, so that a sequence cannot pass for a lane index."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import NewType

Region = NewType("Region", str)
StreamName = NewType("StreamName", str)
SubscriptionName = NewType("SubscriptionName", str)
Sequence = NewType("Sequence", int)
LaneIndex = NewType("LaneIndex", int)
Generation = NewType("Generation", int)
BatchId = NewType("BatchId", bytes)
Chain = NewType("Chain", bytes)
HybridTime = NewType("HybridTime", int)

GENERATION_FIRST = Generation(0)


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
        """The lane within its origin, `0.17`."""
        return f"{self.generation}.{self.index}"

    @classmethod
    def parse(cls, text: str) -> "Lane":
        """The lane that `str(lane)` wrote; ValueError for anything else."""
        origin, separator, local = text.partition("/")
        generation, dot, index = local.partition(".")
        if not (origin and separator and dot and generation.isdecimal() and index.isdecimal()):
            raise ValueError(f"not a lane: {text!r}, allowed: <origin>/<generation>.<index>")
        return cls(Region(origin), Generation(int(generation)), LaneIndex(int(index)))


@lru_cache(maxsize=65_536)
def lane_index(key: str, lanes: int) -> LaneIndex:
    """The lane of a key among `lanes` (a power of two).

    The top bits of BLAKE2b-64, so that doubling splits lane i into 2i and 2i+1.
    """
    digest = int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")
    return LaneIndex(digest >> (64 - (lanes.bit_length() - 1)))


def uuid7(unix_ms: int, random_bytes: bytes) -> str:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, then 74 of the 80 random bits given."""
    tail = int.from_bytes(random_bytes, "big")
    rand_a = tail >> 68
    rand_b = tail & 0x3FFF_FFFF_FFFF_FFFF
    text = f"{unix_ms << 16 | 0x7000 | rand_a:016x}{1 << 63 | rand_b:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
