"""The two ways to ask for a place in a lane: by a sequence, or by the time of an append."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from eventfabric.definition.marks import parse_time_ms
from eventfabric.model.identity import SequenceNumber

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AtSequence:
    """The event with that sequence."""

    sequence: SequenceNumber

    def __str__(self) -> str:
        return f"sequence {self.sequence}"


@dataclass(frozen=True, slots=True)
class AtTime:
    """The first record that was appended at that time or later; milliseconds since 1970."""

    ms: int

    def __str__(self) -> str:
        return (_EPOCH + timedelta(milliseconds=self.ms)).isoformat(timespec="milliseconds")


Start = AtSequence | AtTime


def parse_start(text: str) -> Start | None:
    """Parse the name of a place: a sequence in digits, or an RFC 3339 time. None if it is neither."""
    if re.fullmatch(r"[0-9]{1,18}", text):
        return AtSequence(SequenceNumber(int(text)))
    ms = parse_time_ms(text)
    return None if ms is None else AtTime(ms)
