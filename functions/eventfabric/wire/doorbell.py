"""Doorbell to SQS message and back: 'this lane has events up to tail'. It carries no events."""

from dataclasses import dataclass
from typing import Final

import msgspec

from eventfabric.model.identity import Generation, Lane, LaneIndex, Region, Sequence, StreamName

ANY_TAIL: Final = Sequence(2**53 - 1)
"""Beyond every tail: look at the lane, whatever you know of it."""


@dataclass(frozen=True, slots=True)
class Doorbell:
    """Look at this lane. `again` tells a later ring for the same tail from the first: a time, or a version.

    `ended`: where whoever rang could not note any more that its attempts have ended, the cursor's version then; else 0.
    `failing_ms`: since when the lane's runs end with calls that fail, in milliseconds since 1970; 0: they do not.
    """

    stream: StreamName
    lane: Lane
    tail: Sequence
    again: int = 0
    ended: int = 0
    failing_ms: int = 0

    @property
    def group(self) -> str:
        """The SQS MessageGroupId: the lane, so that nothing of a lane runs twice at once."""
        return str(self.lane)

    @property
    def deduplication_id(self) -> str:
        """Lane and tail: the queue itself drops the second doorbell for the same news."""
        return f"{self.lane}@{self.tail}" + (f"+{self.again}" if self.again else "")


class _Body(msgspec.Struct, omit_defaults=True):
    stream: str
    origin: str
    lane: str
    tail: int
    again: int = 0
    ended: int = 0
    failing_ms: int = 0


_decoder = msgspec.json.Decoder(_Body)


def to_body(doorbell: Doorbell) -> str:
    """The message body; equal doorbells give equal text, whoever rings."""
    lane = doorbell.lane
    return msgspec.json.encode(
        _Body(
            doorbell.stream,
            lane.origin,
            lane.local,
            doorbell.tail,
            doorbell.again,
            doorbell.ended,
            doorbell.failing_ms,
        )
    ).decode()


def from_body(body: str) -> Doorbell:
    """The doorbell of a message body; ValueError where it is not one."""
    try:
        parsed = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a doorbell: {error}") from error
    generation, dot, index = parsed.lane.partition(".")
    if not (dot and generation.isdecimal() and index.isdecimal() and parsed.tail >= 0 and parsed.origin):
        raise ValueError(f"not a doorbell: lane {parsed.lane!r}, tail {parsed.tail}")
    lane = Lane(Region(parsed.origin), Generation(int(generation)), LaneIndex(int(index)))
    return Doorbell(
        StreamName(parsed.stream), lane, Sequence(parsed.tail), parsed.again, parsed.ended, parsed.failing_ms
    )
