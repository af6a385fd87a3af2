"""Codec of doorbells as SQS messages."""

import msgspec

from eventfabric import limits
from eventfabric.errors import UndecodableMessageError
from eventfabric.model import Doorbell, Lane, SequenceNumber, StreamName


# Most doorbells have only the first four fields; the others are left out of the body unless they are set. A timer names
# its subscription, because all share a queue.
class _Body(msgspec.Struct, omit_defaults=True):
    stream: str
    origin: str
    lane: str
    tail: int
    again: int = 0
    ended: int = 0
    failing_ms: int = 0
    subscription: str = ""


_decoder = msgspec.json.Decoder(_Body)


def to_body(doorbell: Doorbell, *, timer_of: str = "") -> str:
    """Encode a doorbell as a message body; `timer_of`: the subscription, if it is a timer of one.

    Equal doorbells give equal text, whoever rings.
    """
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
            timer_of,
        )
    ).decode()


def subscription_of(body: str) -> str:
    """Return the subscription that a timer names; "" if it names none. UndecodableMessageError if it is no doorbell."""
    return _parsed(body).subscription


def from_body(body: str) -> Doorbell:
    """Decode the doorbell of a message body. UndecodableMessageError if it is not one."""
    parsed = _parsed(body)
    try:
        lane = Lane.parse(f"{parsed.origin}/{parsed.lane}")
    except (ValueError, TypeError) as error:
        raise UndecodableMessageError(f"{error!s:.200}") from error
    # The decoder checks only types.
    for number in (parsed.tail, parsed.again, parsed.ended, parsed.failing_ms):
        if not 0 <= number <= limits.SEQUENCE_MAX:
            raise UndecodableMessageError(f"found {number!s:.20}, allowed: 0 to {limits.SEQUENCE_MAX}")
    if not 0 < len(parsed.stream) <= limits.NAME_CHARACTERS_MAX:
        raise UndecodableMessageError(f"found stream {parsed.stream!r:.40}, allowed: the name of a stream")
    return Doorbell(
        StreamName(parsed.stream),
        lane,
        SequenceNumber(parsed.tail),
        parsed.again,
        parsed.ended,
        parsed.failing_ms,
    )


def _parsed(body: str) -> _Body:
    """Parse a message body. A message that is no doorbell costs itself only: the honest ones of its batch go on."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise UndecodableMessageError(f"{error!s:.200}") from error
