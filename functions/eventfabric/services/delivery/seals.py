"""Seals: how a subscription passes the end of a lane that was split, and how the lanes behind it begin.

a run that comes to the seal        copies the lane's parked keys to its children; then, in one transaction, the lane is
                                    past its seal, and both children have begun, by one and the same passing; rings both
a run of a lane past its seal       gives each child what it lacks, and rings both, whatever doorbell it has
a run of a child that nobody began  rings its parent, and does nothing more

Parked keys stay in their lane, too, whose cursor goes on naming them. Until a child begins, nobody reads the copies. So
no child ever reads a state above its own, and a Region that sees this lane past its seal, but not yet its children,
can begin them with all that waits.

Only runs that meet one of these load this module. docs/decisions/0084-a-seal-ends-a-lane.md says why it is done so.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from eventfabric.model import (
    ANY_TAIL,
    START,
    Committed,
    Cursor,
    Doorbell,
    Lane,
    LaneChange,
    LaneKey,
    LaneState,
    Parked,
    ParkedChange,
    Passing,
    Place,
    RaceLost,
    Record,
    Rest,
    Roster,
    after_changes,
    child_of,
    next_count,
)
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.endings import only_race
from eventfabric.services.delivery.lane_result import LaneOutcome, LaneResult
from eventfabric.services.delivery.visit import Visit
from eventfabric.services.delivery.visited_lane import commit_patiently
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.wire.commit_size import in_commits

P = TypeVar("P", Place, Rest)

_FRESH_BYTES: Final = 6


@dataclass(frozen=True, slots=True)
class ChildState:
    """A child's own state as it stands, with the parked keys in its partition."""

    cursor: Cursor
    parked: Mapping[str, Parked]


def pass_seal(context: VisitContext, visit: Visit, seal: Record) -> RaceLost | None:
    """Hand a lane over to its children: first its parked keys, then all at once. PortError.

    Nobody else begins a child. The passing that all three cursors note is the version of this very commit.
    """
    assert visit.cursor.sequence == seal.sequence, "a seal is passed by a run that stands before it"
    copied = copy_parked(context, visit)
    if isinstance(copied, RaceLost):
        return copied
    read = visit.cursor
    passing = Passing(context.region, read.epoch, next_count(read.version))
    moved = past(read, seal, passing)
    beside = [
        LaneChange(key, child.cursor, _placed(context, key, seal, read, begun(moved, passing, child)))
        for key, child in copied.items()
    ]
    outcome = commit_patiently(context, visit.key, read, moved, beside=beside, deadline_ms=visit.deadline_ms)
    if not isinstance(outcome, Committed):
        return only_race(outcome)
    visit.stands_at(outcome.cursor)
    return None


def copy_parked(context: VisitContext, visit: Visit) -> dict[LaneKey, ChildState] | RaceLost:
    """Write a lane's parked keys into its children's partitions, each time only if the lane is as it was read."""
    parked = _parked(context, visit)
    if isinstance(parked, RaceLost):
        return parked
    copied = dict[LaneKey, ChildState]()
    for child in visit.key.lane.children:
        key = replace(visit.key, lane=child)
        state = whole_state(context.ledger, key, clock=context.clock)
        keys = handed_over(parked.values(), visit.key.lane, child, context.subscription.lanes)
        written = _write(context, visit.key, visit.cursor, key, state, keys, deadline_ms=visit.deadline_ms)
        if isinstance(written, RaceLost):
            return written
        read, copied[key] = written
        visit.stands_at(read)
    return copied


def handed_over(parked_keys: Iterable[Parked], lane: Lane, child: Lane, lanes: int) -> dict[str, Parked]:
    """Return a lane's parked keys that go to a child, as they wait there: in the log of this lane."""
    return {
        parked.id: _in_child(parked, lane)
        for parked in parked_keys
        if child_of(lane, parked.key, lanes) == child
    }


def past(cursor: Cursor, seal: Record, passing: Passing) -> Cursor:
    """Return a lane's cursor behind its seal. It goes on naming the keys that were parked there."""
    tail, (replay_from, replay_until) = seal.tail, cursor.replay_left(seal.tail.sequence)
    return replace(
        cursor.at_rest(),
        sequence=tail.sequence,
        base=tail.sequence,
        chain=tail.chain,
        crashes=0,
        replay_from=replay_from,
        replay_until=replay_until,
        past_seal=passing,
    )


def begun(parent: Cursor, passing: Passing | None, child: ChildState) -> Cursor:
    """Return the cursor with which a child begins: behind the seal, under its parent's epoch, beside these keys.

    Events that it was to hand out as replays before come as replays still.
    """
    former = child.cursor
    replay_from, replay_until = former.replay_left(parent.sequence)
    cursor = replace(
        START,
        sequence=parent.sequence,
        base=parent.sequence,
        chain=parent.chain,
        epoch=parent.epoch,
        began=parent.began,
        begun=passing,
        replay_from=replay_from,
        replay_until=replay_until,
        roster=Roster.of(child.parked.values()),
    )
    return cursor.beside(child.parked)


def has_begun(cursor: Cursor, epoch: int) -> bool:
    """Tell if a child is delivered from this cursor: a passing began it, and it is the owner's."""
    return cursor.begun is not None and cursor.epoch == epoch


def ring_parent(context: VisitContext, key: LaneKey) -> LaneResult:
    """Do what a doorbell of a child asks for that nobody has begun: ring its parent, and nothing more."""
    rung = ring(context, key, [key.lane.parent])
    return LaneResult(LaneOutcome.NOT_BEGUN if rung else LaneOutcome.STOPPED)


def ring_children(context: VisitContext, key: LaneKey) -> LaneResult:
    """Ring the children of a lane that is past its seal. If that fails, its own doorbell comes again, and does."""
    rung = ring(context, key, key.lane.children)
    return LaneResult(LaneOutcome.DELIVERED if rung else LaneOutcome.STOPPED)


def ring(context: VisitContext, key: LaneKey, lanes: Sequence[Lane]) -> bool:
    """Ring lanes with doorbells that are no repetition of others, so that no queue drops them. Tell if that is done."""
    again = 1 + int.from_bytes(context.policy.entropy.bytes(_FRESH_BYTES), "big")
    bells = [Doorbell(key.stream, lane, ANY_TAIL, again=again) for lane in lanes]
    return not context.doorbells.ring(context.subscription.name, bells)


def stand_past(
    context: VisitContext, key: LaneKey, cursor: Cursor, *, deadline_ms: int
) -> LaneResult | RaceLost:
    """Do what a doorbell of a lane past its seal asks for: give each child what it lacks, and ring them. PortError.

    So a run that died after its lane passed the seal is made good, and the timers of keys that were handed over, which
    ring this lane, come to them. A child that cannot go on from anything here yet is not rung: it would only ring back.
    """
    ready = list[Lane]()
    for child in key.lane.children:
        child_key = replace(key, lane=child)
        state = context.ledger.state(child_key, glance=True)
        if not has_begun(state.cursor(context.region), cursor.epoch):
            given = give(context, key, cursor, child_key, deadline_ms=deadline_ms)
            if isinstance(given, RaceLost):
                return given
            if given is None:
                continue
            cursor = given
        ready.append(child)
    if not ring(context, key, ready):
        return LaneResult(LaneOutcome.STOPPED)
    is_whole = len(ready) == len(key.lane.children)
    return LaneResult(LaneOutcome.DELIVERED if is_whole else LaneOutcome.HOLE)


def give(
    context: VisitContext, key: LaneKey, above: Cursor, child_key: LaneKey, *, deadline_ms: int
) -> Cursor | RaceLost | None:
    """Take a child over, beneath a lane that is taken over and past its seal. Return the lane's cursor by then.

    From the latest cursor that counts; if none does, it begins at the seal, with the keys that its parent names. None
    if what it goes on from is not here yet. LogError.
    """
    state = whole_state(context.ledger, child_key, clock=context.clock)
    heirs = {region: cursor for region, cursor in state.cursors.items() if counts(cursor, above)}
    if heirs:
        inherited_state = _inherited(context, child_key, replace(state, cursors=heirs))
        if inherited_state is None:
            return None
        cursor, parked = replace(inherited_state[0], epoch=above.epoch), inherited_state[1]
    else:
        named = _named_by_parent(context, key, above)
        if named is None or isinstance(named, RaceLost):
            return named
        parked = handed_over(named.values(), key.lane, child_key.lane, context.subscription.lanes)
        cursor = begun(above, above.past_seal, ChildState(START, {}))
    written = _write(context, key, above, child_key, state, parked, moved=cursor, deadline_ms=deadline_ms)
    return written if isinstance(written, RaceLost) else written[0]


def counts(child: Cursor, parent: Cursor) -> bool:
    """Tell if a child's cursor counts beneath a lane's: it was begun by the very passing that is noted there."""
    return child.begun is not None and child.begun == parent.past_seal


def _inherited(
    context: VisitContext, key: LaneKey, state: LaneState
) -> tuple[Cursor, Mapping[str, Parked]] | None:
    """Find what to go on with in a lane, of the states that count. None if that is not here yet."""
    from eventfabric.services.delivery.inherit import inherited  # a passing has no need of it

    inheritance = inherited(
        key,
        state,
        context.subscription,
        region=context.region,
        log=context.log,
        now_ms=context.clock.now_ms(),
        state_of=lambda above: context.ledger.state(above, glance=True),
    )
    return None if inheritance is None else (inheritance.cursor, inheritance.parked)


def _named_by_parent(
    context: VisitContext, key: LaneKey, above: Cursor
) -> Mapping[str, Parked] | RaceLost | None:
    """Return the keys that a lane past its seal names. None if some of them are not here yet."""
    if above.low is None:
        return {}
    state = whole_state(context.ledger, key, clock=context.clock)
    own, parked = state.cursor(context.region), state.parked.get(context.region, {})
    if own.version != above.version:
        return RaceLost()
    alone = replace(state, cursors={context.region: own}, parked={context.region: parked})
    inheritance = _inherited(context, key, alone)
    if inheritance is None or inheritance[0].sequence != above.sequence:
        return None
    return inheritance[1]


def _write(
    context: VisitContext,
    key: LaneKey,
    read: Cursor,
    child: LaneKey,
    state: LaneState,
    parked: Mapping[str, Parked],
    *,
    moved: Cursor | None = None,
    deadline_ms: int,
) -> tuple[Cursor, ChildState] | RaceLost:
    """Write parked keys into a child's partition, in as many commits as it takes, each only if its parent is as read.

    With the last of them the child stands at `moved`; None: it has not begun until its parent passes the seal. Return
    the parent's cursor, whose version has gone on, and what is written.
    """
    own, stored = state.cursor(context.region), state.parked.get(context.region, {})
    changes = [
        ParkedChange(stored.get(name), parked.get(name))
        for name in sorted(stored.keys() | parked.keys())
        if not _is_equal(stored.get(name), parked.get(name))
    ]
    parts: list[list[ParkedChange]] = list(in_commits(changes, cursors=2))
    for part in parts or ([[]] if moved else []):
        stored = after_changes(stored, part)
        if moved is not None and (not parts or part is parts[-1]):
            after = replace(moved.beside(stored), roster=Roster.of(stored.values()))
        else:
            after = _copying(own, part, stored, begins=moved is not None)
        change = LaneChange(child, own, after, part)
        outcome = commit_patiently(context, key, read, read, beside=[change], deadline_ms=deadline_ms)
        if not isinstance(outcome, Committed):
            return only_race(outcome)
        read, own = outcome.cursor, change.stored
    return read, ChildState(own, stored)


def _copying(
    own: Cursor, part: Sequence[ParkedChange], stored: Mapping[str, Parked], *, begins: bool
) -> Cursor:
    """Return a child's cursor while keys are copied. If its parent is before its seal, no state of it counts."""
    after = replace(own.beside(stored), roster=own.roster.after(part))
    return after if begins else replace(after, begun=None, past_seal=None)


def _parked(context: VisitContext, visit: Visit) -> Mapping[str, Parked] | RaceLost:
    """Read all keys that are parked in the visited lane."""
    if not visit.cursor.roster.count:
        return {}
    state = whole_state(context.ledger, visit.key, clock=context.clock)
    if state.cursor(context.region).version != visit.cursor.version:
        return RaceLost()
    return state.parked.get(context.region, {})


def _placed(context: VisitContext, key: LaneKey, seal: Record, parent: Cursor, child: Cursor) -> Cursor:
    """Return a child's cursor further on, if the subscription's start is, before which its parent ended."""
    if context.beginnings.is_earliest or parent.began != seal.sequence:
        return child
    place = context.beginnings.behind_seal(key, seal)
    if place is None or place.sequence <= child.sequence:
        return child
    return replace(child, sequence=place.sequence, base=place.base, chain=place.chain, began=place.sequence)


def _in_child(parked: Parked, lane: Lane) -> Parked:
    """Return a key of a lane as its child keeps it: what stands in the lane's own log names that."""
    waiting = tuple(_named(place, lane) for place in parked.waiting)
    return replace(parked, waiting=waiting, rest=parked.rest and _named(parked.rest, lane))


def _named(place: P, lane: Lane) -> P:
    """Return a place that names its lane."""
    return place if place.lane is not None else replace(place, lane=lane)


def _is_equal(stored: Parked | None, parked: Parked | None) -> bool:
    """Tell if a key stands in a partition as it is to, from a run that died."""
    if stored is None or parked is None:
        return stored is parked
    return replace(stored, version=parked.version) == parked
