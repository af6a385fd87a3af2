"""One stream as a producer in one Region sees it: an event's bytes and lane, and where to append them."""

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from datetime import datetime
from operator import itemgetter
from sys import modules
from typing import TypeAlias, cast

from eventfabric import limits
from eventfabric.errors import EventTooLargeError, InvalidEventError, Problem, SettingError
from eventfabric.model.event import Event, HeaderValue, check_event, stored_time
from eventfabric.model.identity import (
    GENERATION_FIRST,
    BatchId,
    Lane,
    LaneIndex,
    Region,
    lane_index,
    uuid7_prefix,
    uuid7_suffixes,
)
from eventfabric.model.payload import Kind, Payload, encode_dicts, encode_json
from eventfabric.model.record import Batch, Record
from eventfabric.ports import Clock, Entropy
from eventfabric.sdk import tracing
from eventfabric.sdk.express import Express
from eventfabric.sdk.route import Route
from eventfabric.services.append import Appended
from eventfabric.topology import StreamTopology
from eventfabric.wire.payload_codec import RECORD_OVERHEAD_BYTES, Row, encode_event, pack

_KEYS_REMEMBERED_MAX = 32_768
_TYPES_REMEMBERED_MAX = 1_000
_ROW_BYTES_MAX = limits.RECORD_PAYLOAD_BYTES_MAX - RECORD_OVERHEAD_BYTES
_FIXED_BYTES = len(encode_event(("", "", "", 2**62, "", {}, 1, b""))) + 36 + 4 * 5
"""Of a row with an id of ours; lengths of text and bytes take up to five more each than those of none."""
_JSON = int(Kind.JSON)
_NO_HEADERS: Mapping[str, HeaderValue] = {}

Encoded: TypeAlias = tuple[Lane, Row, int]
"""Lane and row of an event, and how many bytes it takes of a record at most."""
_Known: TypeAlias = tuple[Lane, str, int]
_size = itemgetter(2)


class StoppedEncodingError(Exception):
    """One of several events cannot be published: why, and those before it."""

    def __init__(self, error: InvalidEventError, encoded_before: list[Encoded]) -> None:
        self.error, self.encoded_before = error, encoded_before
        super().__init__(str(error))


class Outgoing:
    """Encodes and appends; holds nothing that is not yet appended."""

    def __init__(
        self,
        stream: StreamTopology,
        region: Region,
        route: Route,
        *,
        clock: Clock,
        entropy: Entropy,
        source: str,
        express: Express | None = None,
    ) -> None:
        self.stream = stream
        self._express = express if stream.definition.express else None
        self._region = region
        self._route = route
        self._clock = clock
        self._entropy = entropy
        self._source = source
        self._ids = _Ids(entropy)
        self._lanes = [
            Lane(region, GENERATION_FIRST, LaneIndex(index)) for index in range(stream.definition.lanes)
        ]
        self._keys: dict[str, _Known] = {}
        self._types: dict[str, tuple[str, int]] = {}
        self._fixed_bytes = len(source.encode()) + _FIXED_BYTES

    def encode(
        self,
        key: str,
        type_: str,
        data: object,
        id_: str | None,
        headers: Mapping[str, HeaderValue] | None,
        time: datetime | str | None,
        source: str | None,
        stored: int | str | None = None,
    ) -> Encoded:
        """Lane and row of an event, and how many bytes it takes of a record at most.

        `stored`: its time as an Event stores it, in place of `time`. InvalidEventError (EventTooLargeError) says all
        that is wrong with the event.
        """
        now_ms = self._clock.now_ms()
        if data.__class__ is dict and id_ is None and source is None and headers is None and time is None:
            # What was found good is good again: keys and types repeat, and this runs for every event.
            try:
                known, known_type = self._keys.get(key), self._types.get(type_)
            except TypeError:  # not hashable, so not text: the check will say so
                known = known_type = None
            if known is not None and known_type is not None and tracing.API not in modules:
                lane, key, key_bytes = known
                type_, type_bytes = known_type
                content = encode_json(data)
                size = len(content) + key_bytes + type_bytes
                if size > _ROW_BYTES_MAX:
                    raise _too_large(size)
                id_ = self._ids.next(now_ms)
                return lane, (id_, type_, key, now_ms * 1000, self._source, _NO_HEADERS, _JSON, content), size
        if id_ is None:
            id_ = self._ids.next(now_ms)
        if source is None:
            source = self._source
        check_event(id=id_, type=type_, key=key, source=source, headers=headers)
        if tracing.API in modules:
            headers = tracing.with_context(headers)
        payload = data if isinstance(data, Payload) else Payload.of(data)
        moment = stored
        if moment is None:
            moment = now_ms * 1000 if time is None else stored_time(time)
            assert moment is not None
        row = (id_, type_, key, moment, source, headers or _NO_HEADERS, int(payload.kind), payload.content)
        size = size_of(row)
        return self._remember(key, type_), row, size

    def encode_all(self, type_: str, items: Seq[tuple[str, object]], *, first: int) -> list[Encoded]:
        """As `encode`, of events of one type, each a key and its data; together, where all of it is known to be good.

        StoppedEncodingError: one cannot be published; its index counts from `first`.
        """
        together = self._encoded_together(type_, items)
        if together is not None:
            return together
        found: list[Encoded] = []
        for index, (key, data) in enumerate(items, first):
            try:
                found.append(self.encode(key, type_, data, None, None, None, None))
            except InvalidEventError as error:
                problems = [problem.inside(f"events[{index}]") for problem in error.problems]
                raise StoppedEncodingError(type(error)(problems), found) from error
        return found

    def _encoded_together(self, type_: str, items: Seq[tuple[str, object]]) -> list[Encoded] | None:
        """The same by a few calls for all of them; None where that cannot be done: then each is looked at."""
        now_ms = self._clock.now_ms()
        try:
            known_type = self._types.get(type_)
            known = [self._keys.get(key) for key, _ in items]
        except TypeError:  # not hashable, so not text
            return None
        if known_type is None or None in known or tracing.API in modules:
            return None
        contents = encode_dicts([data for _, data in items])
        if contents is None:
            return None
        (type_, type_bytes), moment, source = known_type, now_ms * 1000, self._source
        ids = self._ids.take(now_ms, len(items))
        found: list[Encoded] = [
            (
                lane,
                (id_, type_, key, moment, source, _NO_HEADERS, _JSON, data),
                len(data) + key_bytes + type_bytes,
            )
            for (lane, key, key_bytes), id_, data in zip(
                cast(list[_Known], known), ids, contents, strict=True
            )
        ]
        return found if max(found, key=_size)[2] <= _ROW_BYTES_MAX else None

    def _remember(self, key: str, type_: str) -> Lane:
        """The lane of a key that was found good, as was the type."""
        if len(self._keys) >= _KEYS_REMEMBERED_MAX:
            self._keys.clear()
        if len(self._types) >= _TYPES_REMEMBERED_MAX:
            self._types.clear()
        lane = self._lanes[lane_index(key, len(self._lanes))]
        self._keys[key] = (lane, key, len(key.encode()))
        self._types[type_] = (type_, len(type_.encode()) + self._fixed_bytes)
        return lane

    def encode_event(self, event: Event) -> Encoded:
        """As `encode`, of an Event."""
        return self.encode(
            event.key,
            event.type,
            event.payload,
            event.id,
            event.headers,
            None,
            event.source,
            event.stored_time,
        )

    def batch_id(self) -> bytes:
        """A new batch id."""
        return self._entropy.bytes(16)

    def batch_of_one(self, row: Row) -> Batch:
        """A batch of a single event."""
        return Batch(BatchId(self.batch_id()), 1, frozenset((row[1],)), pack((row,)))

    def check_acks(self, acks: int) -> int:
        """How many Regions are to be asked for a record, where so many must have it; SettingError."""
        definition = self.stream.definition
        most = 1 if definition.durability == "regional" else 2
        if type(acks) is not int or not 1 <= acks <= most:
            allowed = "1 or 2" if most > 1 else f"1, since stream {self.stream.name} is kept in one Region"
            raise SettingError("acks", acks, allowed)
        return 1 if definition.durability == "quorum" else acks

    def append(self, lane: Lane, batch: Batch, *, unsettled: Record | None = None, acks: int = 1) -> Appended:
        """See sdk.route."""
        return self.appended(self._route.append(lane, batch, unsettled=unsettled, acks=acks))

    def appended(self, record: Record) -> Appended:
        """Where a record stands that was appended just now; its doorbells ring."""
        if self._express is not None:
            self._express.ring(self.stream, record)
        return Appended(record.lane, record.sequence)


def size_of(row: Row) -> int:
    """How many bytes a row takes of a record at most; InvalidEventError, EventTooLargeError where none can hold it."""
    size = len(encode_event(row))
    if size > _ROW_BYTES_MAX:
        raise _too_large(size)
    return size


def _too_large(size: int) -> EventTooLargeError:
    return EventTooLargeError([Problem("event", f"{size} bytes encoded", f"at most {_ROW_BYTES_MAX} bytes")])


class _Ids:
    """UUIDv7s; their random halves are made in blocks, so that one id costs a look-up and a concatenation."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._suffixes: list[str] = []
        self._prefix = (-1, "")

    def next(self, now_ms: int) -> str:
        """A new id."""
        made_ms, prefix = self._prefix
        if made_ms != now_ms:
            prefix = uuid7_prefix(now_ms)
            self._prefix = (now_ms, prefix)
        while True:
            try:
                return prefix + self._suffixes.pop()
            except IndexError:
                self._suffixes = uuid7_suffixes(self._entropy.bytes(10))

    def take(self, now_ms: int, count: int) -> list[str]:
        """So many new ids."""
        while len(self._suffixes) < count:
            self._suffixes += uuid7_suffixes(self._entropy.bytes(10))
        taken, self._suffixes = self._suffixes[-count:], self._suffixes[:-count]
        prefix = uuid7_prefix(now_ms)
        return [prefix + suffix for suffix in taken]
