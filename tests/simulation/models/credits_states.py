"""All states that a few publishers, lanes and runs can come to, one step at a time, with every fault at every step.

publisher   look at the credit ── put where it believes the tail ── taken: the next place, and look again
            read the item: as it stands, or as it stood one write before
run         take the lane's doorbell ── copy, if it came again ── commit ── copy ── done
            where a copy is lost, or the process dies, the doorbell comes again
circle      handlers publish into each other's streams: two gates can wait for each other for ever
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from tests.simulation.models.credits_rules import Account, Rules, Settings

TINY = Settings(seconds=0.0, events_min=2)
BEGUN = Account(granted=TINY.events_min)


class Phase(StrEnum):
    """The next step of a run."""

    BEGIN = "begin"
    DELIVER = "deliver"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a lane. `seen`: the slots as they were when it began."""

    phase: Phase
    again: bool
    seen: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane, its cursor, and its doorbells: one that is new, and one that came again."""

    tail: int = 0
    cursor: int = 0
    account: Account = BEGUN
    rung: bool = False
    rung_again: bool = False
    run: Run | None = None


@dataclass(frozen=True, slots=True)
class PublisherState:
    """A publisher to one lane: what it knows of its slot, where it believes the tail, and if it is about to put."""

    lane: int
    left: int
    known: int
    believed: int = 0
    puts: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """All there is. `old`: the slots before the last write, which a read may still show."""

    lanes: tuple[LaneState, ...]
    publishers: tuple[PublisherState, ...]
    slots: tuple[int, ...]
    old: tuple[int, ...]
    faults: int

    def with_lane(self, index: int, lane: LaneState) -> "State":
        """Return the state with another state of a lane."""
        return replace(self, lanes=(*self.lanes[:index], lane, *self.lanes[index + 1 :]))

    def with_publisher(self, index: int, publisher: PublisherState) -> "State":
        """Return the state with another state of a publisher."""
        return replace(self, publishers=(*self.publishers[:index], publisher, *self.publishers[index + 1 :]))

    @property
    def is_done(self) -> bool:
        """Tell if all events are appended."""
        return not any(publisher.left for publisher in self.publishers)


class WrongState(Exception):
    """A step broke a promise."""


class Steps:
    """The steps that a state allows, by the rules."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def of(self, state: State) -> Iterator[State]:
        """Yield each state to which a step leads. WrongState if a step breaks a promise."""
        for index, publisher in enumerate(state.publishers):
            if publisher.left:
                yield from self._of_publisher(state, index, publisher)
        for index, lane in enumerate(state.lanes):
            yield from self._of_run(state, index, lane)

    def _of_publisher(self, state: State, index: int, publisher: PublisherState) -> Iterator[State]:
        if publisher.puts:
            yield self._put(state, index, publisher)
            return
        if self._rules.fitting(1, publisher.believed, publisher.known, atomic=False, alone=False):
            yield state.with_publisher(index, replace(publisher, puts=True))
            return
        for slots in {state.slots, state.old}:
            known = self._rules.known(publisher.known, slots[publisher.lane])
            assert known is not None, "it knew something before"
            if known != publisher.known:
                yield state.with_publisher(index, replace(publisher, known=known))

    def _put(self, state: State, index: int, publisher: PublisherState) -> State:
        lane = state.lanes[publisher.lane]
        if publisher.believed < lane.tail:
            # Taken: the occupant says where the lane goes on.
            after = replace(publisher, believed=publisher.believed + 1)
            return state.with_publisher(index, replace(after, puts=not self._rules.checks_each_place()))
        if lane.tail >= state.slots[publisher.lane]:
            raise WrongState(f"event {lane.tail} is beyond the grant {state.slots[publisher.lane]}")
        state = state.with_lane(publisher.lane, replace(lane, tail=lane.tail + 1, rung=True))
        after = replace(publisher, left=publisher.left - 1, believed=lane.tail + 1, puts=False)
        return state.with_publisher(index, after)

    def _of_run(self, state: State, index: int, lane: LaneState) -> Iterator[State]:
        run = lane.run
        if run is None:
            if lane.rung_again or lane.rung:
                # A doorbell that came again stands before those behind it.
                taken = replace(lane, rung_again=False, rung=lane.rung and lane.rung_again)
                run = Run(Phase.BEGIN, lane.rung_again, state.slots)
                yield state.with_lane(index, replace(taken, run=run))
            return
        if state.faults:
            # The process dies here, or a call is lost: the doorbell comes again.
            died = state.with_lane(index, replace(lane, run=None, rung_again=True))
            yield replace(died, faults=state.faults - 1)
        granted = lane.account.granted
        assert granted is not None, "each lane has begun"
        match run.phase:
            case Phase.BEGIN:
                after = state.with_lane(index, replace(lane, run=replace(run, phase=Phase.DELIVER)))
                yield (
                    self._copied(after, index, run)
                    if self._rules.copies_again(came_again=run.again)
                    else after
                )
            case Phase.DELIVER:
                yield self._commit(state, index, lane, run)
            case Phase.COPY:
                yield self._copied(state.with_lane(index, replace(lane, run=None)), index, run)

    def _commit(self, state: State, index: int, lane: LaneState, run: Run) -> State:
        if lane.cursor == lane.tail:
            return state.with_lane(index, replace(lane, run=None))
        account, is_due = self._rules.decide(TINY, lane.account, lane.tail, lane.tail, now=0.0)
        after = replace(lane, cursor=lane.tail, account=account)
        return state.with_lane(index, replace(after, run=replace(run, phase=Phase.COPY) if is_due else None))

    def _copied(self, state: State, index: int, run: Run) -> State:
        """Copy a lane's grant into the item."""
        slots, seen = dict(enumerate(state.slots)), dict(enumerate(run.seen))
        granted = state.lanes[index].account.granted
        assert granted is not None, "each lane has begun"
        after = {**slots, **self._rules.stored(slots, seen, index, granted)}
        if any(after[lane] < grant for lane, grant in slots.items()):
            raise WrongState("a grant shrank")
        return replace(state, slots=tuple(after.values()), old=state.slots)


@dataclass(frozen=True, slots=True)
class Explored:
    """The outcome of an exploration: how many states there are, and in how many events wait for ever."""

    states: int
    stuck: int


def begin(*, lanes: int, publishers: int, events: int, faults: int) -> State:
    """Return a state in which each lane has a window, and publishers are spread over them."""
    slots = (TINY.events_min,) * lanes
    writers = tuple(PublisherState(number % lanes, events, TINY.events_min) for number in range(publishers))
    return State((LaneState(),) * lanes, writers, slots, slots, faults)


def explore(
    start: State, steps: Callable[[State], Iterator[State]], *, states_max: int = 1_000_000
) -> Explored:
    """Go through all states. A state is stuck if no way from it leads to one in which all is appended. WrongState."""
    before: dict[State, list[State]] = {start: []}
    left = deque([start])
    done = deque[State]()
    while left:
        state = left.popleft()
        if state.is_done:
            done.append(state)
            continue
        for after in steps(state):
            if after not in before:
                if len(before) >= states_max:
                    raise WrongState(f"more than {states_max} states")
                before[after] = []
                left.append(after)
            before[after].append(state)
    gets_out = set(done)
    while done:
        for state in before[done.popleft()]:
            if state not in gets_out:
                gets_out.add(state)
                done.append(state)
    return Explored(len(before), len(before) - len(gets_out))


def circle_stops(*, streams: int, window: int, copies: int) -> bool:
    """Tell if handlers can wait for ever that publish `copies` events into the next stream for each of theirs.

    Each stream is a lane of a few events, with a gate that grants `window` beyond its cursor; the last stream's handler
    publishes into the first, unless `streams` is 1 and `copies` 0.
    """
    start = (window,) * streams
    known, left = {start}, [start]
    while left:
        waiting = left.pop()
        moves = []
        for stream, events in enumerate(waiting):
            following = (stream + 1) % streams
            # Events that are delivered make room, and only once what they publish has some.
            room = window - waiting[following] + (1 if following == stream else 0)
            if events and room >= copies:
                after = list(waiting)
                after[stream] -= 1
                after[following] += copies
                moves.append(tuple(after))
        if not moves and any(waiting):
            return True
        for after_move in moves:
            if after_move not in known:
                known.add(after_move)
                left.append(after_move)
    return False
