"""Lifecycle: a backfill as a whole is begun, planned, handed out to workers, cancelled, resumed, finished.

    begin ── hand out ──> slices ── a worker each ──> their progress, in the target's ledger
               ^  │ more                                   │
               └──┘                                        v
    cancel, resume: workers see that within a page      finish: are all slices done

A loop on a laptop and a state machine on AWS both call these, and nothing here knows which of them does.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby, zip_longest
from typing import Any

from eventfabric import limits
from eventfabric.errors import BackfillError, Problem, UndecodableItemError, UnknownNameError
from eventfabric.model import (
    DeclarationLane,
    Lane,
    Region,
    SequenceNumber,
    StreamName,
    operator_text,
    parse_place,
)
from eventfabric.model.backfill import (
    Backfill,
    BackfillState,
    LaneRange,
    LaneReport,
    Planned,
    Report,
    Seam,
    SliceProgress,
    SliceStart,
)
from eventfabric.ports import Log, Ports, UnreadableItem, insist
from eventfabric.services.backfill.copy_slice import SliceCopier
from eventfabric.services.backfill.plan import Planner
from eventfabric.services.backfill.request import BackfillRequest, problems_of
from eventfabric.services.backfill.turns import ranges_in_turn
from eventfabric.stream_topology import StreamTopology
from eventfabric.topology import Topology

_ID_BYTES = 2
_STORED, _PLAN = "stored", "plan"


@dataclass(frozen=True, slots=True)
class Handed:
    """Slices to be copied, of different lanes first. `more`: the token for the next ones; None: these were the last."""

    slices: list[SliceProgress]
    more: str | None


class Backfiller:
    """The backfills into one Region, whose ports these are.

    `source_log`: returns the source's log if that is not in another Region of the fabric: any two logs will do.
    """

    def __init__(
        self,
        topology: Topology,
        ports: Ports,
        *,
        source_log: Callable[[StreamTopology], Log] | None = None,
        elsewhere: str = "",
    ) -> None:
        self._topology = topology
        self._ports = ports
        self._source_log = source_log
        self._elsewhere = elsewhere
        self.target = ports.ledger.region

    def begin(self, wanted: BackfillRequest, *, by: str = "", id: str | None = None) -> Backfill:
        """Note a backfill. Nothing is copied yet. One that was begun by this `id` stays as it is.

        UnknownNameError, WrongRegionError, BackfillError: nothing is noted.
        """
        # A state machine makes its first call again if the reply was
        # lost. By its id, that is the same backfill.
        if id is not None and (known := self._ports.backfills.find(id)):
            return known
        by = operator_text("by", by)
        self._check(wanted)
        now_ms = self._ports.clock.now_ms()
        made = Backfill(
            id or _new_id(now_ms, self._ports.entropy.bytes(_ID_BYTES)),
            StreamName(wanted.stream),
            Region(wanted.source),
            self.target,
            wanted.ranges,
            wanted.rate,
            wanted.workers,
            wanted.slice_events,
            by,
            now_ms,
            elsewhere=self._elsewhere,
        )
        # Two callers may race with one id. The one that loses returns what the other noted.
        return self._ports.backfills.replace(None, made) or self.find(made.id)

    def preview(self, wanted: BackfillRequest) -> Iterator[SliceProgress]:
        """Yield the slices that a backfill would have now, and what its source lacks. Nothing is noted.

        It reads the source as copying would. Raises the errors of `begin`.
        """
        self._check(wanted)
        stream = self._topology.stream(wanted.stream)
        planner = self._planner(stream, Region(wanted.source), wanted.slice_events, looks_at_source=True)
        if not wanted.ranges:
            yield from self._of_declarations(stream, planner)
        for range_ in ranges_in_turn(stream, wanted.ranges, planner.children):
            yield from _slices_in(planner.plan(range_))

    def hand_out(
        self,
        id: str,
        more: str | None = None,
        *,
        deadline_ms: int | None = None,
        count: int | None = None,
    ) -> Handed:
        """Return slices that are not done: first those that are known, then those that further planning finds.

        `more`: the token of the Handed before. The same token gives the same slices again. A backfill that does not run
        hands out nothing.
        """
        count = count or limits.BACKFILL_HANDED_SLICES
        backfill = self.find(id)
        self._check_source(backfill)
        if backfill.state is not BackfillState.RUNNING:
            return Handed([], None)
        # Known slices come first, because an interrupted backfill has some that no worker has finished.
        if more is None or more.startswith(_STORED):
            place = _place(more)
            after = (place.lane, place.sequence) if place else None
            page, has_more = self._slices(backfill.id, after, count, [])
            undone = spread([progress for progress in page if not progress.done])
            if has_more:
                last = page[-1].slice
                return Handed(undone, f"{_STORED} {last.lane} {last.start.sequence}")
            return Handed(undone, None if backfill.is_planned else _token(backfill.planned))
        return self._plan_on(backfill, _place(more), deadline_ms, count)

    def copier(
        self,
        id: str,
        *,
        stopped: Callable[[], bool] = lambda: False,
        watch: Callable[[SliceProgress], None] = lambda progress: None,
    ) -> SliceCopier:
        """Make one worker of a backfill."""
        backfill = self.find(id)
        self._check_source(backfill)
        stream, ports = self._topology.stream(backfill.stream), self._ports
        return SliceCopier(
            id,
            source=self._log_of_source(stream, backfill.source),
            target=ports.log_of(stream),
            backfills=ports.backfills,
            clock=ports.clock,
            entropy=ports.entropy,
            stopped=stopped,
            watch=watch,
        )

    def slice(self, id: str, lane: Lane, start: SequenceNumber) -> SliceProgress:
        """Return one slice of a backfill by where it starts. UnknownNameError."""
        progress = self._ports.backfills.slice(id, lane, start)
        if progress is None:
            raise UnknownNameError(f"slice of backfill {id}", f"{lane}@{start}", [])
        return progress

    def finish(self, id: str) -> Report:
        """Decide what became of a backfill whose workers have ended. A cancelled one stays cancelled."""
        report = self.report(id)
        # Only one that still runs is ended: a cancellation that came meanwhile is what an operator decided.
        state = BackfillState.DONE if report.is_complete else BackfillState.INCOMPLETE
        return replace(report, backfill=self._change(id, BackfillState.RUNNING, state=state))

    def cancel(self, id: str) -> Backfill:
        """Have the workers stop within a page. What is copied stays, and so does the progress of each slice."""
        return self._change(id, BackfillState.RUNNING, state=BackfillState.CANCELLED)

    def resume(self, id: str, *, rate: float | None = None, workers: int | None = None) -> Backfill:
        """Let a backfill go on that was cancelled, left incomplete, or interrupted."""
        backfill = self.find(id)
        changed: dict[str, object] = {"state": BackfillState.RUNNING}
        changed |= {} if rate is None else {"rate": rate}
        changed |= {} if workers is None else {"workers": workers}
        return (
            self._change(id, backfill.state, **changed)
            if backfill.state is not BackfillState.DONE
            else backfill
        )

    def find(self, id: str) -> Backfill:
        """Return the backfill of that id into this Region. UnknownNameError."""
        backfill = self._ports.backfills.find(id)
        if backfill is None:
            known = self.all(unreadable=lambda error: None)
            raise UnknownNameError("backfill", id, [other.id for other in known])
        return backfill

    def all(self, *, unreadable: UnreadableItem = insist) -> list[Backfill]:
        """Return every backfill that is known in this Region, into any Region, the oldest first.

        `unreadable`: told of each that cannot be read, which is left out; default: raise that error.
        """
        every = self._ports.backfills.all(unreadable=unreadable)
        return sorted(every, key=lambda backfill: (backfill.started_ms, backfill.id))

    def report(self, id: str) -> Report:
        """Return how far a backfill is. A slice that cannot be read is named; then the backfill is not complete."""
        backfill, lanes = self.find(id), dict[Lane, LaneReport]()
        after: SliceStart | None = None
        unreadable: list[UndecodableItemError] = []
        more = True
        while more:
            page, more = self._slices(id, after, limits.BACKFILL_HANDED_SLICES, unreadable)
            for progress in page:
                after = progress.slice.lane, progress.slice.start.sequence
                lanes.setdefault(progress.slice.lane, LaneReport()).add(progress)
        # Each reason once, however many slices it concerns.
        reasons = tuple(dict.fromkeys(map(str, unreadable)))
        return Report(backfill, dict(sorted(lanes.items(), key=_in_order)), reasons)

    def _slices(
        self, id: str, after: SliceStart | None, count: int, unreadable: list[UndecodableItemError]
    ) -> tuple[list[SliceProgress], bool]:
        """Return a page of slices, without those that cannot be read, which are added to `unreadable`."""
        page, more = self._ports.backfills.slices(id, after=after, count=count, unreadable=unreadable.append)
        if more and not page:
            raise unreadable[-1]  # without one that can be read, nobody knows where the next page begins
        return page, more

    def _plan_on(
        self, backfill: Backfill, planned: Planned | None, deadline_ms: int | None, count: int
    ) -> Handed:
        """Plan from where planning left off, until there are enough slices or the time is up."""
        stream, clock = self._topology.stream(backfill.stream), self._ports.clock
        planner = self._planner(stream, backfill.source, backfill.slice_events)
        slices: list[SliceProgress] = []
        if planned is None and not backfill.ranges:
            slices += self._of_declarations(stream, planner)
        looked = False  # a call that is late must still look at something, or planning would never go on

        def is_enough() -> bool:
            is_late = deadline_ms is not None and clock.now_ms() >= deadline_ms
            return looked and (is_late or len(slices) >= count)

        for range_ in ranges_in_turn(stream, backfill.ranges, planner.children, planned):
            if is_enough():
                return self._handed(backfill, slices, Planned(range_.lane, range_.start))
            for part in planner.plan(range_):
                looked = True
                if isinstance(part, SliceProgress):
                    slices.append(part)
                seam = part.slice.end if isinstance(part, SliceProgress) else part
                if is_enough():
                    return self._handed(backfill, slices, Planned(range_.lane, seam.sequence))
            looked = True
        return self._handed(backfill, slices, None)

    def _of_declarations(self, stream: StreamTopology, planner: Planner) -> Iterator[SliceProgress]:
        """Yield the slices that the target lacks of what is declared. They are few, so they are planned together.

        A source elsewhere may be a fabric of its own, which has declared what is deployed there. Its declarations are
        left out where the target has others.
        """
        for lane in planner.declaration_lanes(stream):
            slices = list(_slices_in(planner.plan(LaneRange(lane))))
            if self._source_log is None or not any(progress.failure for progress in slices):
                yield from slices

    def _handed(self, backfill: Backfill, slices: list[SliceProgress], planned: Planned | None) -> Handed:
        """Note the slices first, and then that they are planned. Slices that are planned twice are noted once."""
        self._ports.backfills.add(backfill.id, slices)
        self._change(backfill.id, BackfillState.RUNNING, planned=planned, is_planned=planned is None)
        return Handed(spread(slices), None if planned is None else _token(planned))

    def _change(self, id: str, only: BackfillState, **changes: Any) -> Backfill:
        """Change a backfill as long as it is in that state. Return it as it stands then."""
        while True:
            backfill = self.find(id)
            if backfill.state is not only:
                return backfill
            # Workers and operators change one item, each on the condition that it is as they read it.
            changed = self._ports.backfills.replace(backfill, replace(backfill, **changes))
            if changed is not None:
                return changed

    def _check(self, wanted: BackfillRequest) -> None:
        """Raise an error that names every problem of a request."""
        stream = self._topology.stream(wanted.stream)
        stream.check_region(self.target)
        if self._source_log is None:
            stream.check_region(wanted.source)
        problems = list(
            problems_of(
                wanted,
                stream,
                self.target,
                is_elsewhere=self._source_log is not None,
                source_log=lambda: self._log_of_source(stream, Region(wanted.source)),
            )
        )
        if problems:
            raise BackfillError(problems)

    def _check_source(self, backfill: Backfill) -> None:
        """Raise BackfillError if this is not the source of the backfill: ids and progress would mean nothing."""
        if bool(backfill.elsewhere) != (self._source_log is not None):
            wanted = backfill.elsewhere or f"Region {backfill.source} of this fabric"
            raise BackfillError(
                [Problem(f"source of backfill {backfill.id}", self._elsewhere or "none", wanted)]
            )

    def _planner(
        self,
        stream: StreamTopology,
        source: Region,
        slice_events: int | None,
        *,
        looks_at_source: bool = False,
    ) -> Planner:
        return Planner(
            StreamName(stream.name),
            source,
            self.target,
            source_log=self._log_of_source(stream, source),
            target_log=self._ports.log_of(stream),
            clock=self._ports.clock,
            slice_events=slice_events,
            looks_at_source=looks_at_source,
        )

    def _log_of_source(self, stream: StreamTopology, source: Region) -> Log:
        if self._source_log is not None:
            return self._source_log(stream)
        return self._ports.at(source).log_of(stream)


def _new_id(now_ms: int, random: bytes) -> str:
    # Ids sort by time, and say it: people look for the backfill of an hour.
    return f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y%m%dt%H%M%S}-{random.hex()}"


def _slices_in(planned: Iterable[SliceProgress | Seam]) -> Iterator[SliceProgress]:
    return (part for part in planned if isinstance(part, SliceProgress))


def _in_order(row: tuple[Lane, LaneReport]) -> tuple[bool, Lane]:
    """Return by what the lanes of a report are sorted: those of declarations come first."""
    lane, _ = row
    return not isinstance(lane, DeclarationLane), Lane(lane.origin, lane.generation, lane.index)


def spread(slices: list[SliceProgress]) -> list[SliceProgress]:
    """Order slices so that each lane's first comes before each lane's second, and so on.

    A lane is one partition of the table, with a write limit of its own.
    """
    lanes = [list(of) for _, of in groupby(slices, key=lambda progress: progress.slice.lane)]
    return [progress for row in zip_longest(*lanes) for progress in row if progress is not None]


def _token(planned: Planned | None) -> str:
    return _PLAN if planned is None else f"{_PLAN} {planned.lane} {planned.sequence}"


def _place(token: str | None) -> Planned | None:
    """Return the place in a token. BackfillError if this is no token that was handed out."""
    parts = (token or "").split(" ")
    if len(parts) < 3:
        return None
    place = parse_place(f"{parts[1]}@{parts[2]}")
    if place is None or len(parts) > 3:
        raise BackfillError([Problem("more", repr(token)[:80], "what was handed out before")])
    return Planned(*place)
