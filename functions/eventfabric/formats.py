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


OWN_FORMATS: Final = Formats(reads=1, writes=1)
"""The newest formats that this version reads and writes."""
