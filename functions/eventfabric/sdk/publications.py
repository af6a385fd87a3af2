"""Publications: what a handler publishes into other streams, with ids that are equal at each attempt."""

from collections import Counter
from collections.abc import Callable, Iterable
from os import getpid
from sys import modules
from threading import Lock
from typing import TYPE_CHECKING, Final

from eventfabric import limits
from eventfabric.errors import (
    HandlerError,
    InvalidEventError,
    Problem,
    TooManyHopsError,
    UnlistedStreamError,
)
from eventfabric.model import (
    HOPS,
    Event,
    EventFields,
    HeaderValue,
    Lane,
    Region,
    SequenceNumber,
    StreamName,
    check_event,
    exact,
)
from eventfabric.ports import Attempt, Clock
from eventfabric.sdk import tracing
from eventfabric.sdk.ending_types import ending_of
from eventfabric.sdk.schemas import check_of, check_payload, with_schema
from eventfabric.services.lanes.tree import LaneTrees
from eventfabric.stream_topology import StreamTopology, name_of_state
from eventfabric.wire.batch import row_bytes
from eventfabric.wire.payload_codec import Row
from eventfabric.wire.published import Published, published_id

if TYPE_CHECKING:
    from eventfabric.contracts.checks import SchemaChecks

_NAME_CHARACTERS_MAX: Final = 128


class Publications:
    """The streams that a subscription lists in `publishes`, and how its handler's events are made for them."""

    def __init__(
        self,
        subscription: str,
        stream: StreamName,
        targets: Iterable[StreamTopology],
        *,
        region: Region,
        clock: Clock,
        may_repeat: bool,
        as_known: Callable[[StreamTopology], StreamTopology] = lambda target: target,
        trees: LaneTrees | None = None,
        schemas: "SchemaChecks | None" = None,
    ) -> None:
        """`subscription`: name of the subscription's state. `stream`: that which it subscribes to.

        `may_repeat`: its events may be handled again, so that `once` counts. `as_known`: returns a target as it is by
        what the process knows, without a call. `trees`: lanes as far as they were met. `schemas`: those to which
        events are held.
        """
        self.subscription = subscription
        self.stream = stream
        self.targets = {target.name: target for target in targets}
        self.region = region
        self.clock = clock
        self.may_repeat = may_repeat
        self.as_known = as_known
        self.trees = LaneTrees() if trees is None else trees
        self.schemas = schemas

    def of(self, attempt: Attempt) -> "DeliveryPublications":
        """Return the publications of one attempt."""
        return DeliveryPublications(self, attempt)


class DeliveryPublications:
    """Publications of one attempt. `published`: its events in order; none is published before the attempt has ended."""

    def __init__(self, publications: Publications, attempt: Attempt) -> None:
        self._made_by = publications
        self._attempt = attempt
        self._named: set[tuple[Lane, SequenceNumber, str]] = set()
        self._numbers: Counter[tuple[Lane, SequenceNumber]] = Counter()
        self.published: list[Published] = []
        self._lock = Lock()
        self._ended = False
        self._process = getpid()

    def publish(
        self, stream: str, fields: EventFields, source: Event, *, name: str | None, once: bool
    ) -> str:
        """Take an event for a source event. Return its id. See Delivery.publish."""
        publications = self._made_by
        target = publications.targets.get(stream)
        if target is None:
            raise UnlistedStreamError(
                name_of_state(publications.subscription), stream, sorted(publications.targets)
            )
        target = publications.as_known(target)
        if once and not publications.may_repeat and fields.get("id") is not None:
            # An id that the fabric makes comes once as it is. Of another, nothing is noted here.
            raise HandlerError(
                "publish: once: found with an id of your own, allowed: under at_least_once; leave out either"
            )
        once = once and publications.may_repeat
        if once:
            target.check_transactions("once=True")
        hops = _hops(source) + 1
        if hops >= limits.HOPS_MAX:
            raise TooManyHopsError(name_of_state(publications.subscription), hops)
        id_ = self._id(source, name)
        row = self._row(target, Event(**fields), id_, hops)
        # By the lanes that it goes to, the records of a commit are counted.
        tree = publications.trees.of(stream, publications.region, target.definition.lanes)
        self._take(Published(stream, tree.lane_of(row[2]), row, row_bytes(row), once))
        return row[0]

    def _take(self, event: Published) -> None:
        """Take an event, unless nobody would publish it."""
        if getpid() != self._process:
            raise HandlerError("publish: called in a forked child, allowed: in the process of the handler")
        with self._lock:
            if self._ended:
                raise HandlerError("publish: its delivery has ended; a handler publishes before it returns")
            self.published.append(event)

    def end(self) -> None:
        """Take no further events, not even of threads that are publishing one at this moment."""
        with self._lock:
            self._ended = True

    def _id(self, source: Event, name: str | None) -> str:
        """Return the id that the event has at each attempt."""
        lane, sequence = source.lane, source.sequence
        if lane is None or sequence is None:
            raise HandlerError(
                "publish: found an event that is not in the log, allowed: one of delivery.events"
            )
        if name is not None and not (isinstance(name, str) and 0 < len(name) <= _NAME_CHARACTERS_MAX):
            allowed = f"text of 1 to {_NAME_CHARACTERS_MAX} characters"
            raise HandlerError(f"publish: name: found {name!r:.140}, allowed: {allowed}")
        place = lane, sequence
        if name is None:
            number = self._numbers[place]
            self._numbers[place] += 1
            return self._published_id(*place, number)
        name = exact(name)
        if (*place, name) in self._named:
            raise HandlerError(f"publish: name: found {name!r:.140} again, allowed: each once for an event")
        self._named.add((*place, name))
        return self._published_id(*place, name)

    def _published_id(self, lane: Lane, sequence: SequenceNumber, name: str | int) -> str:
        publications, edit = self._made_by, self._attempt.edit
        return published_id(
            publications.subscription, publications.stream, lane, sequence, edit=edit, name=name
        )

    def _row(self, target: StreamTopology, event: Event, id_: str, hops: int) -> Row:
        """Return the event as its record will hold it. InvalidEventError."""
        headers: dict[str, HeaderValue] = {**event.headers, HOPS: hops}
        if len(headers) > limits.HEADERS_MAX:
            own = f"{len(headers) - 1} headers and {HOPS}"
            raise InvalidEventError([Problem("headers", own, f"at most {limits.HEADERS_MAX - 1}")])
        id_ = id_ if event.id is None else event.id
        source = target.source if event.source is None else event.source
        check_event(id=id_, type=event.type, key=event.key, source=source, headers=headers)
        payload, check = event.payload, check_of(self._made_by.schemas, target, event.type)
        if check is not None:
            headers = dict(with_schema(check, headers))
            check_payload(check, payload)
        now_ms = self._made_by.clock.now_ms()
        ending = ending_of(target, event.type)
        if ending is not None:
            headers = dict(ending.taken(headers, now_ms))
        if tracing.API in modules:
            headers = dict(tracing.with_context(headers) or headers)
        moment = now_ms * 1000 if event.stored_time is None else event.stored_time
        return id_, event.type, event.key, moment, source, headers, int(payload.kind), payload.content


def _hops(event: Event) -> int:
    """Return the number of handlers through which an event came."""
    hops = event.headers.get(HOPS, 0)
    return hops if type(hops) is int and hops > 0 else 0
