"""One stream as a producer in one Region sees it: an event's bytes and lane, and where to append them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from sys import modules
from typing import TYPE_CHECKING

from eventfabric import limits
from eventfabric.errors import (
    IndeterminateAppendError,
    InvalidEventError,
    Problem,
    SealedLaneError,
    SettingError,
    StreamChangedError,
)
from eventfabric.model import (
    GENERATION_FIRST,
    Batch,
    BatchId,
    Event,
    EventFields,
    HeaderValue,
    Kind,
    Lane,
    LaneIndex,
    Record,
    Region,
    check_event,
    encode_dicts,
    encode_json,
    exact,
    lane_index,
)
from eventfabric.ports import Clock, Entropy
from eventfabric.sdk import tracing
from eventfabric.sdk.encoded import Encoded, Place, beside_bytes_of
from eventfabric.sdk.ending_types import ending_of
from eventfabric.sdk.event_ids import EventIds
from eventfabric.sdk.express import Express
from eventfabric.sdk.known_type import NO_HEADERS, KnownType, headers_bytes
from eventfabric.sdk.route import Route
from eventfabric.sdk.schemas import check_of, check_payload, with_schema
from eventfabric.services.lanes.tree import LaneTree
from eventfabric.services.publishing.append import Appended
from eventfabric.services.publishing.gates import CreditsOf, ungated
from eventfabric.services.publishing.lane_ends import Known
from eventfabric.stream_topology import StreamTopology
from eventfabric.wire.batch import EVENTS_BYTES_MAX, batch_of_columns, row_bytes
from eventfabric.wire.payload_codec import Attributes, encode_event

if TYPE_CHECKING:
    from eventfabric.contracts.checks import SchemaCheck, SchemaChecks

_KEYS_REMEMBERED_MAX = 32_768
_TYPES_REMEMBERED_MAX = 1_000
_AROUND_BYTES = len(encode_event(("", "", "", 2**62, "", {}, 1, b""))) + 36 + 4 * 5
"""Bytes of a row beside its key, type, source and content: an id of ours, and all length prefixes at their longest."""
_KEY_BYTES_REMEMBERED_MAX = 256
_JSON = int(Kind.JSON)
_FIELDS = EventFields.__annotations__.keys()


class Outgoing:
    """Encoder and appender of events. Holds nothing that is not yet appended."""

    def __init__(
        self,
        stream: StreamTopology,
        region: Region,
        *,
        current: Callable[[], StreamTopology],
        route_of: Callable[[StreamTopology], Route],
        clock: Clock,
        entropy: Entropy,
        source: str,
        express: Express | None = None,
        known: Known | None = None,
        credits: CreditsOf = ungated,
        schemas: "SchemaChecks | None" = None,
    ) -> None:
        """`known`: what reconciliation remembers of a lane; None: nothing. `schemas`: those to hold events to.

        `current`: the stream as it is deployed by now, or why nothing can be published to it. `route_of`: its route.
        """
        self.stream = stream
        self.known = known
        self.credits = credits
        self._express = express
        self._current = current
        self._route_of = route_of
        self._route = route_of(stream)
        self._clock = clock
        self._entropy = entropy
        self._source = exact(source)
        self._schemas = schemas
        self._ids = EventIds(entropy)
        self._origin = region
        self._lanes = [
            Lane(region, GENERATION_FIRST, LaneIndex(index)) for index in range(stream.definition.lanes)
        ]
        self._places: dict[str, Place] = {}
        self._types: dict[str, KnownType] = {}
        self._around_bytes = len(source.encode()) + _AROUND_BYTES
        self._latest: Attributes = ("", 0, source, NO_HEADERS, _JSON)

    def encode(self, fields: EventFields) -> Encoded:
        """Encode the event of these fields. TypeError and InvalidEventError as `Event` and `encode_event`."""
        place = None
        if len(fields) == 3 or _are_plain(fields):
            # Keys and types repeat, so valid ones are not checked again: this runs for every event.
            try:
                data, known = fields["data"], self._types[fields["type"]]
                place = self._places.get(fields["key"])
            except (KeyError, TypeError):
                pass  # missing, not known yet, or not hashable and so not text: Event says so, or the check
            if place is not None and data.__class__ is dict:
                now_ms = self._clock.now_ms()
                content = encode_json(data)
                if known.is_held:
                    known.hold(content, now_ms)
                attributes, around_bytes = self._attributes(known, now_ms)
                size = len(content) + place[2] + around_bytes
                if size <= EVENTS_BYTES_MAX:  # else it is measured exactly
                    return Encoded(
                        attributes, around_bytes, (place,), (self._ids.next(now_ms),), (content,), size
                    )
        return self.encode_event(Event(**fields))

    def encode_event(self, event: Event) -> Encoded:
        """Encode an event. InvalidEventError (EventTooLargeError) says all that is wrong with its attributes."""
        now_ms = self._clock.now_ms()
        key, type_, payload = event.key, event.type, event.payload
        headers: Mapping[str, HeaderValue] | None = event.headers
        id_ = self._ids.next(now_ms) if event.id is None else event.id
        source = self._source if event.source is None else event.source
        check_event(id=id_, type=type_, key=key, source=source, headers=headers, by_producer=True)
        check = check_of(self._schemas, self.stream, type_)
        headers = self._marked(type_, headers, check, now_ms)
        moment = now_ms * 1000 if event.stored_time is None else event.stored_time
        attributes = (type_, moment, source, dict(headers) if headers else NO_HEADERS, int(payload.kind))
        size = row_bytes((id_, type_, key, *attributes[1:], payload.content))
        if check is not None:
            check_payload(check, payload)
        place = (type_ in self._types and self._places.get(key)) or self._remember(key, type_)
        around_bytes = size - len(payload.content) - place[2]
        is_narrow = not headers and f"{id_}{type_}{key}{source}".isascii()
        beside_bytes = 0 if is_narrow else beside_bytes_of((id_, type_, key, source), attributes[3])
        return Encoded(attributes, around_bytes, (place,), (id_,), (payload.content,), size, beside_bytes)

    def _marked(
        self,
        type_: str,
        headers: Mapping[str, HeaderValue] | None,
        check: "SchemaCheck | None",
        now_ms: int,
    ) -> Mapping[str, HeaderValue] | None:
        """Return headers with the schema, the end of the type, and the trace. InvalidEventError; EndedTypeError."""
        known = self._types.get(type_)
        ending = ending_of(self.stream, type_) if known is None else known.ending
        if check is not None:
            headers = with_schema(check, headers)
        if ending is not None:
            headers = ending.taken(headers, now_ms)
        return tracing.with_context(headers) if tracing.API in modules else headers

    def _attributes(self, known: KnownType, now_ms: int) -> tuple[Attributes, int]:
        """Return attributes of events of a known type, published now with JSON alone, and the bytes around content."""
        type_, around_bytes, headers = known.type, known.around_bytes, known.headers
        moment = now_ms * 1000
        if tracing.API in modules and (traced := tracing.with_context(headers) or headers) is not headers:
            more_bytes = headers_bytes(traced) - headers_bytes(headers)
            return (type_, moment, self._source, traced, _JSON), around_bytes + more_bytes
        latest = self._latest
        if latest[1] != moment or latest[0] is not type_:
            latest = self._latest = (type_, moment, self._source, headers, _JSON)
        return latest, around_bytes

    def encode_all(self, type_: str, items: Iterable[tuple[str, object]]) -> Iterator[Encoded]:
        """Encode events of one type like `encode`, each a key and its data; in order, many together if all are valid.

        InvalidEventError at the first that cannot be published, with its index, once those before it were yielded.
        """
        first, left, ended = 0, iter(items), False
        while not ended:
            chunk: list[tuple[str, object]] = []
            raised: Exception | None = None
            try:
                chunk.extend(islice(left, limits.PUBLISH_CHUNK_EVENTS))
            except Exception as error:  # raised once those before it were yielded
                raised = error
            ended = len(chunk) < limits.PUBLISH_CHUNK_EVENTS
            if chunk:
                together = self._encoded_together(type_, chunk)
                yield from self._one_by_one(type_, chunk, first) if together is None else (together,)
                first += len(chunk)
            if raised is not None:
                raise raised

    def _one_by_one(self, type_: str, items: Sequence[tuple[str, object]], first: int) -> Iterator[Encoded]:
        for index, item in enumerate(items, first):
            try:
                if not isinstance(item, tuple | list) or len(item) != 2:
                    raise InvalidEventError([Problem("", f"{item!r:.80}", "a key and its data")])
                encoded = self.encode({"key": item[0], "type": type_, "data": item[1]})
            except InvalidEventError as error:
                problems = [problem.inside(f"events[{index}]") for problem in error.problems]
                raise type(error)(problems) from error
            yield encoded

    def _encoded_together(self, type_: str, items: Sequence[tuple[str, object]]) -> Encoded | None:
        """Encode all items in bulk. None if an item needs validation of its own."""
        try:
            contents = encode_dicts([data for _, data in items])
            if contents is None:
                return None
            places = self._places_of(type_, items)
            known = self._types[type_]
            now_ms = self._clock.now_ms()
            if known.is_held and not known.accepts_all(contents, now_ms):
                return None
        except (
            TypeError,
            ValueError,
            InvalidEventError,
            KeyError,
        ):  # not a pair, not text, invalid, or forgotten meanwhile
            return None
        attributes, around_bytes = self._attributes(known, now_ms)
        ids = self._ids.take(now_ms, len(items))
        encoded = Encoded.of(attributes, around_bytes, places, ids, contents)
        if encoded.size_bytes > EVENTS_BYTES_MAX:
            largest_bytes = max(map(len, contents)) + limits.KEY_BYTES_MAX + around_bytes
            return encoded if largest_bytes <= EVENTS_BYTES_MAX else None
        return encoded

    def _places_of(self, type_: str, items: Sequence[tuple[str, object]]) -> list[Place]:
        """Return the places of the items' keys, once all keys and the type are valid. TypeError, InvalidEventError."""
        known = self._places
        if type_ in self._types:
            try:
                return [known[key] for key, _ in items]
            except KeyError:
                pass
        self._checked(items[0][0], type_)
        return [known.get(key) or self._checked(key, type_) for key, _ in items]

    def _checked(self, key: str, type_: str) -> Place:
        """Validate a key that was not seen yet, and return its place. InvalidEventError."""
        key, type_ = exact(key), exact(type_)
        check_event(id="-", type=type_, key=key, source=self._source, headers=None)
        row_bytes(("", type_, key, 0, self._source, NO_HEADERS, _JSON, b""))
        return self._remember(key, type_)

    def _remember(self, key: str, type_: str) -> Place:
        """Return the place of a valid key, and remember it and its valid type."""
        if len(self._places) >= _KEYS_REMEMBERED_MAX:
            self._places.clear()
        if len(self._types) >= _TYPES_REMEMBERED_MAX:
            self._types.clear()
        place = (lane_index(key, len(self._lanes)), key, len(key.encode()))
        if place[2] <= _KEY_BYTES_REMEMBERED_MAX:  # what is remembered counts in no publisher's buffer
            self._places[key] = place
        if type_ not in self._types:
            check = check_of(self._schemas, self.stream, type_)
            ending = ending_of(self.stream, type_)
            if ending is not None:
                ending.warn()
            self._types[type_] = KnownType(type_, self._around_bytes, check, ending)
        return place

    def goes_by(self, stream: StreamTopology) -> bool:
        """Go by the stream as it is deployed now. False: it has another number of lanes, and so keys other places."""
        if stream is not self.stream:
            if stream.definition.lanes != len(self._lanes):
                return False
            if (stream.definition, stream.closing) != (self.stream.definition, self.stream.closing):
                self._route = self._route_of(stream)
            requires_others = _of_types(stream) != _of_types(self.stream)
            self.stream = stream
            if requires_others:  # only now, or another thread would remember a type by what no longer holds
                self._types.clear()
        return True

    @property
    def tree(self) -> LaneTree:
        """The stream's lanes in this Region, as far as they were met."""
        return self._route.tree_of(self._origin)

    def lane(self, root: LaneIndex, key: str) -> Lane:
        """Return the lane of a key of the root of that index."""
        tree = self.tree
        return tree.below(self._lanes[root], key) if tree else self._lanes[root]

    def lane_of(self, event: Encoded) -> Lane:
        """Return the lane of a single event."""
        root, key, _ = event.places[0]
        return self.lane(root, key)

    def below(self, sealed: SealedLaneError, key: str) -> Lane:
        """Return the lane of a key where a lane of it was split, in whichever Region that is."""
        assert isinstance(sealed.lane, Lane)
        return self._route.tree_of(sealed.lane.origin).below(sealed.lane, key)

    def batch_id(self) -> bytes:
        """Return a new batch id."""
        return self._entropy.bytes(16)

    def batch_of_one(self, event: Encoded) -> Batch:
        """Make a batch of a single event."""
        ((_, key, _),) = event.places
        batch_id = BatchId(self.batch_id())
        return batch_of_columns(batch_id, event.ids, (key,), event.contents, (event.attributes,), (0,))

    def check_acks(self, acks: int) -> int:
        """Return the number of Regions to ask for a record if `acks` of them must have it. SettingError."""
        definition = self.stream.definition
        most = 1 if definition.durability == "regional" else 2
        if type(acks) is not int or not 1 <= acks <= most:
            allowed = "1 or 2" if most > 1 else f"1, since stream {self.stream.name} is kept in one Region"
            raise SettingError("acks", acks, allowed)
        return 1 if definition.durability == "quorum" else acks

    def append(
        self,
        lane: Lane,
        batch: Batch,
        *,
        unsettled: Record | None = None,
        acks: int = 1,
        is_atomic: bool = True,
        doubt: IndeterminateAppendError | None = None,
    ) -> Appended:
        """Append a batch; see sdk.route. Raises as `current` before anything is written, and StreamChangedError."""
        stream = self._current()
        if not self.goes_by(stream):
            raise StreamChangedError(stream.name, len(self._lanes), stream.definition.lanes)
        route = self._route
        record = route.append(lane, batch, unsettled=unsettled, acks=acks, is_atomic=is_atomic, doubt=doubt)
        return self.appended(record)

    def append_event(self, event: Encoded, *, acks: int) -> Appended:
        """Append a single event to its lane; where that was split, to the child of its key. Raises as `append`."""
        lane, batch = self.lane_of(event), self.batch_of_one(event)
        doubt: IndeterminateAppendError | None = None
        while True:
            try:
                return self.append(lane, batch, acks=acks, doubt=doubt)
            except SealedLaneError as sealed:
                assert isinstance(sealed.batch, Batch)
                lane, batch, doubt = self.below(sealed, event.places[0][1]), sealed.batch, sealed.doubt

    def steady_ms(self) -> int:
        """Return the milliseconds of a clock that nobody sets."""
        return self._clock.steady_ms()

    def wait(self, seconds: float) -> None:
        """Wait in this thread."""
        self._clock.sleep(seconds)

    def appended(self, record: Record) -> Appended:
        """Return the place of a record that was just appended, and ring its doorbells."""
        if self._express is not None and self.stream.definition.express:
            self._express.ring(self.stream, record)
        return Appended(record.lane, record.sequence, record.count)


def _of_types(stream: StreamTopology) -> tuple[object, object]:
    """Return what a stream says of its types, by which a known type is what it is."""
    return stream.definition.schemas, stream.definition.types


def _are_plain(fields: EventFields) -> bool:
    """Tell if no more is given of an event than its key, type and data."""
    return sum(value is not None for value in fields.values()) == 3 and fields.keys() <= _FIELDS
