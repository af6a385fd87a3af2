"""The truth of the model of seals: what an observer of everything knows, and what it objects to.

    place       appended behind a seal, or where a record stood before
    chain       a record does not continue its lane, or a child its parent
    sequence    the sequences of a key do not rise
    publishing  a publisher's events of a key stand in another order than it published them; or twice; or in part
    attempt     an event is handed out before the one before it of its key is done
    order       within an epoch, commits leave out an event of a key, or repeat one that no replay asked for
    replay      what was replayed did not come again
    copies      the noted copy of a part is chosen, and the first one is here; or the other way round
    mark        an event is marked as a replay, and was not handed out before; or the other way round
    fence       a Region's cursor of a lane is written without its version, or runs back without a replay
    cost        a run reads the state of lanes that do not concern it; or a lane that never split costs more calls
    lost        what was acknowledged is not in the log, or was never handled
    stuck       events wait, no doorbell was lost, and nothing happens any more
    proof       the chain from the root to a cursor is not the cursor's

`done`: handled, discarded, or stepped over because its other copy is delivered.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from tests.simulation.models.schedules import Violation
from tests.simulation.models.seals_values import (
    EMPTY_TAIL,
    Cursor,
    Event,
    Key,
    Lane,
    Place,
    Record,
    Region,
    Tail,
)

if TYPE_CHECKING:
    from tests.simulation.models.seals_world import Call

_OF_ALL_RUNS = ("owner", "state", "log", "record", "attempt", "commit", "ring later", "take over")
_OF_COPIES = ("decisions", "first copy", "decide")
_OF_RUNS: Final = frozenset((*_OF_ALL_RUNS, *_OF_COPIES))
"""Calls that a run makes without seals."""
Number = tuple[Region, int]
"""An event in the lanes of an origin: a copy in another Region is another."""


class Truth:
    """Log of everything that took place."""

    def __init__(self) -> None:
        self.tails: dict[Lane, Tail] = {}
        self.seals: dict[Lane, Record] = {}
        self.order: defaultdict[tuple[Region, Key], list[int]] = defaultdict(list)
        """The wanted events of each key in the order of an origin's lanes."""
        self.places: dict[Number, Place] = {}
        self.acknowledged: set[int] = set()
        self.whole: list[frozenset[int]] = []
        """Events that stand in the log together, or not at all."""
        self.done: set[Number] = set()
        self.handed_out: set[int] = set()
        """Events that a handler was given, or that an operator discarded, in whatever copy."""
        self.expired: set[Number] = set()
        self._indices: dict[Number, int] = {}
        self._last_sequence: dict[tuple[Region, Key], int] = {}
        self._last_done: dict[tuple[Region, int, Region, Key], int] = {}
        self._stood: dict[tuple[Region, int, Lane], int] = {}
        self.replayed: dict[int, set[Number]] = {}
        self._replayed_lanes: dict[int, Lane] = {}

    # Publishing

    def appended(self, record: Record) -> None:
        lane = record.lane
        if lane in self.seals:
            raise Violation("place", f"{record} stands behind the seal of its lane")
        tail = self.tails.get(lane) or self._seam(lane)
        if record.sequence != tail.sequence:
            raise Violation("place", f"{record} stands where a record stood, or where none may: {tail}")
        if not _extends(record, tail):
            raise Violation("chain", f"{record} does not continue {tail}")
        if record.is_seal:
            self.seals[lane] = record
        self.tails[lane] = record.tail
        for offset, event in enumerate(record.batch.events):
            self._appended(lane, record.sequence + offset, event)

    def _appended(self, lane: Lane, sequence: int, event: Event) -> None:
        origin, key = lane.origin, event.key
        if sequence <= self._last_sequence.get((origin, key), -1):
            raise Violation("sequence", f"{event} of {lane} at {sequence}, behind a later one of its key")
        if not lane.holds(key):
            raise Violation("place", f"{event} stands in {lane}, which does not hold its key")
        if (origin, event.number) in self.places:
            raise Violation("publishing", f"{event} stands twice in {origin}")
        if any(number > event.number for number in self._published_by(event, origin)):
            raise Violation("publishing", f"{event} stands behind a later one of its publisher and key")
        self._last_sequence[origin, key] = sequence
        self.places[origin, event.number] = Place(lane, sequence)
        if event.is_wanted:
            self._indices[origin, event.number] = len(self.order[origin, key])
            self.order[origin, key].append(event.number)

    def _published_by(self, event: Event, origin: Region) -> Iterable[int]:
        """Yield the numbers of its publisher's events of its key."""
        return (number for number in self.order[origin, event.key] if number // 100 == event.number // 100)

    def _seam(self, lane: Lane) -> Tail:
        """Return where an empty lane goes on."""
        if lane.is_root:
            return EMPTY_TAIL
        if lane.parent not in self.seals:
            raise Violation("place", f"{lane} is written, and its parent has no seal")
        return self.seals[lane.parent].tail

    # Delivery

    def attempted(self, origin: Region, event: Event, before: Iterable[Event]) -> None:
        """Check an attempt. `before`: events that the same visit has handled, and not committed yet."""
        index = self._indices[origin, event.number]
        self.handed_out.add(event.number)
        handled = {earlier.number for earlier in before}
        for number in self.order[origin, event.key][:index]:
            if (origin, number) not in self.done and number not in handled:
                raise Violation("attempt", f"{event} is handed out before event {number} of its key is done")

    def moved(
        self, region: Region, lane: Lane, before: Cursor, moved: Cursor, handled: Sequence[Event]
    ) -> None:
        """Check a commit of a cursor, beside which events were handled."""
        if moved.epoch < before.epoch:
            raise Violation("fence", f"{lane} in {region} goes back from epoch {before.epoch}")
        is_same = moved[3:5] == before[3:5] and moved.replay == before.replay
        if is_same and moved.sequence < before.sequence:
            raise Violation("fence", f"{lane} in {region} runs back to {moved.sequence} without a replay")
        name = (region, moved.epoch, lane)
        stood = self._stood.get(name, 0)
        for event in handled:
            sequence = self.places[lane.origin, event.number].sequence
            if sequence >= before.sequence and (sequence < stood) != (sequence < before.replay_until):
                raise Violation("mark", f"{event} of {lane}: {region} stood at {stood}, {before}")
            self._handled(region, moved.epoch, lane, event, replays=moved.replay > 0)
        self._stood[name] = max(stood, moved.sequence, moved.replay_until)

    def _handled(self, region: Region, epoch: int, lane: Lane, event: Event, *, replays: bool) -> None:
        number, name = (lane.origin, event.number), (region, epoch, lane.origin, event.key)
        index, last = self._indices[number], self._last_done.get(name)
        between = self.order[lane.origin, event.key][last + 1 : index] if last is not None else []
        if any((lane.origin, other) not in self.expired for other in between):
            raise Violation(
                "order", f"in epoch {epoch}, {event} leaves out events of its key from index {last}"
            )
        if last is not None and index <= last and not replays:
            raise Violation("order", f"in epoch {epoch}, {event} comes again, and nobody replays it")
        self._last_done[name] = index
        self.done.add(number)
        for obligations in self.replayed.values():
            obligations.discard(number)

    def decided(self, first: Record | None, part: tuple[int, Lane], noted_wins: bool) -> None:
        """Check a decision about a part of a batch, beside what stood where its first copy may be."""
        if first is not None and (first.batch.id == part[0]) == noted_wins:
            raise Violation("copies", f"part {part} is decided about wrongly, beside {first}")

    # Replay

    @property
    def replays_so_far(self) -> int:
        return len(self._replayed_lanes)

    def replays(self, place: Place, reached: Mapping[Lane, int]) -> None:
        """Note that events from a place on, as far as their lanes were reached, are to come again."""
        number = len(self._replayed_lanes) + 1
        self._replayed_lanes[number] = place.lane
        self.replayed[number] = {
            event
            for event, standing in self.places.items()
            if event in self._indices
            and event not in self.expired
            and place.sequence <= standing.sequence < reached.get(standing.lane, 0)
        }

    def inherited(self, lane: Lane, replay: int) -> None:
        """Waive what a former owner was to repeat in a lane, if its replay was not replicated."""
        for number, replayed in self._replayed_lanes.items():
            if replayed == lane and number > replay:
                self.replayed[number].clear()

    def is_over(self, record: Record) -> bool:
        """Tell if nothing of a record is to be handled any more."""
        numbers = {(record.lane.origin, event.number) for event in record.batch.events if event.is_wanted}
        return numbers <= self.done and not any(numbers & left for left in self.replayed.values())

    # Cost

    def ended(self, name: str, calls: Sequence["Call"]) -> None:
        """Check what a run that ended has called."""
        lanes = [call.arguments[1] for call in calls if call.name == "state"]
        names = {call.name for call in calls}
        if not lanes or lanes[0] in self.seals:
            return
        if set(lanes) != {lanes[0]} or not names <= _OF_RUNS | ({"ring"} if lanes[0].generation else set()):
            raise Violation("cost", f"{name} calls {[call.name for call in calls]}")

    # The end

    def check_log(self) -> None:
        origins = {origin for origin, _ in self.places}
        standing = {number for _, number in self.places}
        if lost := self.acknowledged - standing:
            raise Violation("lost", f"acknowledged events {sorted(lost)} are in no log")
        for events in self.whole:
            for origin in origins:
                there = {number for number in events if (origin, number) in self.places}
                if there and there != events:
                    raise Violation(
                        "publishing", f"of {sorted(events)}, only {sorted(there)} stand in the log"
                    )

    def check_done(self, rule: str) -> None:
        if left := {number for number in self._indices if number not in self.done}:
            raise Violation(rule, f"events {sorted(left)} were never handled")
        if left_out := {number for _, number in self._indices} - self.handed_out:
            raise Violation("lost", f"all copies of events {sorted(left_out)} were stepped over")
        for replay, obligations in self.replayed.items():
            if obligations:
                raise Violation("replay", f"replay {replay} did not bring {sorted(obligations)} again")

    def stands(self) -> Hashable:
        return (
            frozenset(self.done),
            frozenset(self.acknowledged),
            frozenset(self._last_done.items()),
            frozenset((number, frozenset(left)) for number, left in self.replayed.items()),
        )


def _extends(record: Record, tail: Tail) -> bool:
    numbers = (event.number for event in record.batch.events)
    return record.chain == hash(
        (tail.chain, tail.sequence, record.size, record.batch.id, *numbers, record.is_seal)
    )
