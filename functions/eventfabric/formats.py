"""Formats: numbers of the forms in which a stream's records and state are stored, as a version knows them.

A version reads all formats up to one. It writes each stream in the format that is required of the stream's writers.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Formats:
    """The newest formats that a version, or a function that runs it, reads and writes."""

    reads: int = 1
    writes: int = 1

    def suffices_for(self, required: "Formats") -> bool:
        """Tell if these are as new as others, or newer."""
        return self.reads >= required.reads and self.writes >= required.writes

    def joined(self, other: "Formats") -> "Formats":
        """Return the newer ones of both."""
        return Formats(max(self.reads, other.reads), max(self.writes, other.writes))


OWN_FORMATS: Final = Formats(reads=1, writes=1)
"""The newest formats that this version reads and writes."""
SEALS: Final = 2
"""The format with seals: whoever does not know it stops where a lane was split."""
WITH_SEALS: Final = Formats(reads=SEALS, writes=SEALS)
"""The formats that a stream requires before a lane of it may be split."""
