"""Doorbell to SQS message and back: 'this lane has events up to tail'. It carries no events."""

from dataclasses import dataclass
from typing import Final

import msgspec

from eventfabric import limits
from eventfabric.errors import UndecodableMessageError
from eventfabric.model.identity import Lane, Sequence, StreamName

ANY_TAIL: Final = Sequence(limits.SEQUENCE_MAX)
"""Beyond every tail: look at the lane, whatever you know of it."""


@dataclass(frozen=True, slots=True)
class Doorbell:
    """Look at this lane. `again` tells a later ring for the same tail from the first: a time, a version or a checksum.

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
    """The doorbell of a message body; UndecodableMessageError where it is not one."""
    try:
        parsed = _decoder.decode(body)
        lane = Lane.parse(f"{parsed.origin}/{parsed.lane}")
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise UndecodableMessageError(f"{error!s:.200}") from error
    for number in (parsed.tail, parsed.again, parsed.ended, parsed.failing_ms):
        if not 0 <= number <= limits.SEQUENCE_MAX:
            raise UndecodableMessageError(f"found {number!s:.20}, allowed: 0 to {limits.SEQUENCE_MAX}")
    if not 0 < len(parsed.stream) <= limits.NAME_CHARACTERS_MAX:
        raise UndecodableMessageError(f"found stream {parsed.stream!r:.40}, allowed: the name of a stream")
    return Doorbell(
        StreamName(parsed.stream), lane, Sequence(parsed.tail), parsed.again, parsed.ended, parsed.failing_ms
    )
