"""One stream as a producer in one Region sees it: an event's bytes and lane, and where to append them."""

from collections.abc import Mapping
from datetime import datetime

from eventfabric import limits
from eventfabric.errors import EventTooLargeError, InvalidEventError, Problem
from eventfabric.model.event import Event, HeaderValue, check_event, stored_time
from eventfabric.model.identity import GENERATION_FIRST, BatchId, Lane, LaneIndex, Region, lane_index, uuid7
from eventfabric.model.payload import Payload
from eventfabric.model.record import Batch, Record
from eventfabric.ports import Clock, Entropy
from eventfabric.services.append import Appended, Appender
from eventfabric.topology import StreamTopology
from eventfabric.wire.payload_codec import encode_event, pack

_RECORD_OVERHEAD_BYTES = 8


class Outgoing:
    """Encodes and appends; holds nothing that is not yet appended."""

    def __init__(
        self,
        stream: StreamTopology,
        region: Region,
        appender: Appender,
        *,
        clock: Clock,
        entropy: Entropy,
        source: str,
    ) -> None:
        self.stream = stream
        self._region = region
        self._appender = appender
        self._clock = clock
        self._entropy = entropy
        self._source = source
        self._lanes_count = stream.definition.lanes
        self._lanes = [Lane(region, GENERATION_FIRST, LaneIndex(index)) for index in range(self._lanes_count)]
        self._largest = limits.RECORD_PAYLOAD_BYTES_MAX - _RECORD_OVERHEAD_BYTES

    def encode(
        self,
        key: str,
        type_: str,
        data: object,
        id_: str | None,
        headers: Mapping[str, HeaderValue] | None,
        time: datetime | str | int | None,
        source: str | None,
    ) -> tuple[Lane, str, bytes]:
        """Lane, id and bytes of an event; InvalidEventError (EventTooLargeError) says all that is wrong with it."""
        now_ms = self._clock.now_ms()
        if id_ is None:
            id_ = uuid7(now_ms, self._entropy.bytes(10))
        if source is None:
            source = self._source
        check_event(id=id_, type=type_, key=key, source=source, headers=headers)
        payload = data if isinstance(data, Payload) else Payload.of(data)
        moment = now_ms * 1000 if time is None else stored_time(time)
        try:
            part = encode_event(
                (id_, type_, key, moment, source, headers or {}, payload.kind, payload.content)
            )
        except UnicodeError as error:
            raise InvalidEventError(
                [Problem("event", "a lone surrogate", "text that encodes to UTF-8")]
            ) from error
        if len(part) > self._largest:
            raise EventTooLargeError(
                [Problem("event", f"{len(part)} bytes encoded", f"at most {self._largest} bytes")]
            )
        return self._lanes[lane_index(key, self._lanes_count)], id_, part

    def encode_event(self, event: Event) -> tuple[Lane, str, bytes]:
        """As `encode`, of an Event."""
        return self.encode(
            event.key, event.type, event.payload, event.id, event.headers, event.stored_time, event.source
        )

    def batch_id(self) -> bytes:
        """A new batch id."""
        return self._entropy.bytes(16)

    def batch_of_one(self, type_: str, part: bytes) -> Batch:
        """A batch of a single event."""
        return Batch(BatchId(self.batch_id()), 1, frozenset((type_,)), pack((part,)))

    def append(self, lane: Lane, batch: Batch, *, unsettled: Record | None = None) -> Appended:
        """See services.append."""
        return self._appender.append(lane, batch, unsettled=unsettled)
