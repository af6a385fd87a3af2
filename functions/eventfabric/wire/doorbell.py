"""The doorbell, 'this lane has events up to tail', and its codec as an SQS message. It carries no events."""

from dataclasses import dataclass
from typing import Final

import msgspec

from eventfabric import limits
from eventfabric.errors import UndecodableMessageError
from eventfabric.model.identity import Lane, Sequence, StreamName

ANY_TAIL: Final = Sequence(limits.SEQUENCE_MAX)
"""Larger than every tail: look at the lane, whatever is known of it."""


@dataclass(frozen=True, slots=True)
class Doorbell:
    """Request to look at a lane. `again` tells a later ring for the same tail from the first: a time, version or
    checksum.

    `ended`: version of the cursor, if the sender could not note any more that its attempts have ended; else 0.
    `failing_ms`: time since which the lane's runs end with calls that fail, in milliseconds since 1970; 0: they do not.
    """

    stream: StreamName
    lane: Lane
    tail: Sequence
    again: int = 0
    ended: int = 0
    failing_ms: int = 0

    @property
    def group(self) -> str:
        """SQS MessageGroupId: the lane, so that nothing of a lane runs twice at once."""
        return str(self.lane)

    @property
    def deduplication_id(self) -> str:
        """SQS deduplication id: lane and tail, so that the queue itself drops the second doorbell for the same news."""
        return f"{self.lane}@{self.tail}" + (f"+{self.again}" if self.again else "")


# Most doorbells have only the first four fields; the others are left out of the body unless they are set.
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
    """Encode a doorbell as a message body. Equal doorbells give equal text, whoever rings."""
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
    """Decode the doorbell of a message body. UndecodableMessageError if it is not one."""
    try:
        parsed = _decoder.decode(body)
        lane = Lane.parse(f"{parsed.origin}/{parsed.lane}")
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise UndecodableMessageError(f"{error!s:.200}") from error
    # The decoder checks only types.
    for number in (parsed.tail, parsed.again, parsed.ended, parsed.failing_ms):
        if not 0 <= number <= limits.SEQUENCE_MAX:
            raise UndecodableMessageError(f"found {number!s:.20}, allowed: 0 to {limits.SEQUENCE_MAX}")
    if not 0 < len(parsed.stream) <= limits.NAME_CHARACTERS_MAX:
        raise UndecodableMessageError(f"found stream {parsed.stream!r:.40}, allowed: the name of a stream")
    return Doorbell(
        StreamName(parsed.stream), lane, Sequence(parsed.tail), parsed.again, parsed.ended, parsed.failing_ms
    )
