"""Split: end a lane by a seal, so that it goes on in two children, each with half of its keys. There is no way back.

    lane       ...[ 40 ][ 42 ]        the seal races with what is appended for one place: either the one or the other
    lane       ...[ 40 ][ 42 ][seal 47]            stands there, and whoever loses goes on from what won
    children                     [ 48 ] ...

Nobody has to be told: producers and functions meet the seal where they go on. It cools a lane of many small records. It
does not cool one of packed records, as each record is then cut in two, nor one in which a single key is most of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from eventfabric import limits
from eventfabric.errors import LogError, OutcomeUnknownError, SplitRefusedError
from eventfabric.formats import WITH_SEALS
from eventfabric.model import (
    DeclarationLane,
    Intervention,
    InterventionKind,
    Lane,
    Record,
    StreamName,
    Tail,
    child_of,
    operator_text,
    seal_at,
    to_ms,
)
from eventfabric.ports import Ports
from eventfabric.services.catalogue.lane import newest
from eventfabric.services.lanes.lane_end import lane_end
from eventfabric.services.lanes.splits import check_lane
from eventfabric.services.publishing.lane_ends import KnownMarks
from eventfabric.stream_topology import StreamTopology
from eventfabric.wire.payload_codec import unpack

SAMPLE_RECORDS = 200
"""Newest records of a lane by which its rate is told."""
TRIES_MAX = 200
"""Times that a seal may lose its place to what is appended, which takes another call each."""


@dataclass(frozen=True, slots=True)
class ChildRate:
    """The part of a lane's newest records that would have gone to one of its children."""

    lane: Lane
    records_per_second: float
    events_per_second: float


@dataclass(frozen=True, slots=True)
class LaneRate:
    """The rate of a lane by its newest records, and what its children would have got of them.

    `events_per_record`: how well its producers pack; 0: the lane has no record by which to tell.
    """

    lane: Lane
    records_per_second: float
    events_per_second: float
    events_per_record: float
    children: tuple[ChildRate, ...]

    @property
    def cools(self) -> bool:
        """Tell if each child would get at most three quarters of the records that the lane gets now."""
        most = max((child.records_per_second for child in self.children), default=0.0)
        return most <= 0.75 * self.records_per_second


@dataclass(frozen=True, slots=True)
class SplitLane:
    """A lane that has ended: where its seal stands, and into which lanes it was split."""

    lane: Lane
    seal: Record

    @property
    def children(self) -> tuple[Lane, Lane]:
        """The lanes in which it goes on."""
        return self.lane.children


class Split:
    """Splits of the lanes of one stream, in the Region that writes them."""

    def __init__(self, stream: StreamTopology, ports: Ports) -> None:
        self._stream = stream
        self._log = ports.log_of(stream)
        self._region = ports.ledger.region
        self._clock = ports.clock
        self._known = KnownMarks(ports.ledger, StreamName(stream.name), clock=ports.clock).of

    def look(self, lane: Lane) -> LaneRate:
        """Say at what rate the lane takes records, and each child would. Changes nothing. SettingError, LogError.

        SplitRefusedError: the lane must not be split, or was. It reads the lane's newest records.
        """
        self._check(lane)
        self._end(lane)
        records = self._log.recent(lane, records_max=SAMPLE_RECORDS, consistent=False).records
        return rate_of(lane, records, lanes=self._stream.definition.lanes, now_ms=self._clock.now_ms())

    def split(self, lane: Lane, *, by: str, reason: str = "") -> SplitLane:
        """End the lane, on record. SettingError, LogError; SplitRefusedError: nothing is changed.

        After an interruption it may be called again: if the lane was split by then, the error says so.
        """
        by, reason = operator_text("by", by), operator_text("reason", reason)
        self._check(lane)
        tail, now_ms = self._end(lane), self._clock.now_ms()
        why = f"into {' and '.join(map(str, lane.children))}" + (f"; {reason}" if reason else "")
        # Before the deed, so that whoever lists what was done to lanes finds the children by that.
        self._log.note(Intervention(lane, tail.sequence, by, why, now_ms, InterventionKind.SPLIT))
        for _ in range(TRIES_MAX):
            seal = seal_at(tail, lane, now_ms=self._clock.now_ms())
            try:
                occupant = self._log.append(seal)
            except OutcomeUnknownError:
                tail = self._log.tail(lane)
                if not tail.is_sealed:
                    continue
                occupant = None
            # What is appended meanwhile was faster, so the lane goes on behind it. A seal is the seal, whoever put it.
            if occupant is None or occupant.is_seal:
                return SplitLane(lane, occupant or seal)
            tail = occupant.tail
        raise SplitRefusedError(lane, f"{TRIES_MAX} records were faster: try again")

    def _check(self, lane: Lane) -> None:
        """Refuse what is refused wherever the lane ends. SettingError: there is no such lane."""
        if isinstance(lane, DeclarationLane):
            raise SplitRefusedError(lane, "a lane of declarations is none of the stream's")
        check_lane(self._stream, lane, self._log)
        if lane.origin != self._region:
            raise SplitRefusedError(lane, f"it is written in {lane.origin}: say --region")
        if self._stream.table.is_quorum:
            raise SplitRefusedError(lane, "it is of a quorum stream, whose lanes cannot be split")
        if not lane.can_split(self._stream.definition.lanes):
            raise SplitRefusedError(
                lane, f"lanes are split up to {limits.LANES_MAX:,} of an origin, and no further"
            )
        known = newest(self._log, DeclarationLane.of(self._region, StreamName(self._stream.name)))
        if known is None or not known.declaration.stream.required.suffices_for(WITH_SEALS):
            number = WITH_SEALS.writes
            raise SplitRefusedError(
                lane,
                f"format {number} is not required of stream {self._stream.name} yet: raise it, for readers first "
                f"(eventfabric formats raise {self._stream.name} --reads {number}, later --writes {number})",
            )

    def _end(self, lane: Lane) -> Tail:
        """Return where the lane ends. SplitRefusedError: it was split, or its end is in doubt."""
        start = check_lane(self._stream, lane, self._log)
        end = lane_end(self._log, lane, now_ms=self._clock.now_ms(), start=start)
        if end.tail.is_sealed:
            children = " and ".join(map(str, lane.children))
            raise SplitRefusedError(lane, f"it was split already, into {children}: split one of these")
        if end.beyond:
            raise SplitRefusedError(
                lane, f"something stands at {end.beyond[0]}, to which no record leads: reconcile first"
            )
        mark = self._known(lane)
        furthest = max([mark.sequence, *(sequence for _, sequence in mark.cursors.values())])
        if furthest > end.tail.sequence:
            raise SplitRefusedError(
                lane, f"it ends at {end.tail.sequence}, and was known up to {furthest}: reconcile first"
            )
        return end.tail


def rate_of(lane: Lane, records: Sequence[Record], *, lanes: int, now_ms: int) -> LaneRate:
    """Return the rate of a lane's newest records, from the first of them until now. `lanes`: of the stream at first."""
    events, cut, of_child = 0, dict.fromkeys(lane.children, 0), dict.fromkeys(lane.children, 0)
    for record in records:
        events += 0 if record.is_without_events else record.count
        for child, count in _cut(lane, record, lanes).items():
            cut[child] += 1
            of_child[child] += count
    since_ms = min((to_ms(record.time) for record in records), default=now_ms)
    seconds = max(1.0, (now_ms - since_ms) / 1000)
    return LaneRate(
        lane,
        len(records) / seconds,
        events / seconds,
        events / len(records) if records else 0.0,
        tuple(ChildRate(child, cut[child] / seconds, of_child[child] / seconds) for child in lane.children),
    )


def _cut(lane: Lane, record: Record, lanes: int) -> dict[Lane, int]:
    """Return the children among which a record would be cut, each with the number of its events."""
    counts: dict[Lane, int] = {}
    try:
        keys = [event.key for event in unpack(record)]
    except LogError:
        return counts  # nothing tells its keys
    for key in keys:
        child = child_of(lane, key, lanes)
        counts[child] = counts.get(child, 0) + 1
    return counts
