"""Planted bugs of the model of seals: each breaks one rule, and must be found."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.simulation.models.seals_delivery import Visit
from tests.simulation.models.seals_plans import Seals
from tests.simulation.models.seals_publishing import Memory
from tests.simulation.models.seals_takeover import latest_of
from tests.simulation.models.seals_values import (
    ANY_TAIL,
    EMPTY_TAIL,
    ROOT,
    Batch,
    Cursor,
    Doorbell,
    Event,
    Key,
    Lane,
    Parked,
    Passing,
    Place,
    Record,
    Region,
    State,
    Tail,
    record_at,
    root_of,
)
from tests.simulation.models.seals_world import Call, Change, RaceLostError, Steps, World


class ChildBeginsWithoutParent(Seals):
    """A child's doorbell begins it at its first event, wherever its parent is."""

    def has_begun(self, state: State, region: Region, epoch: int) -> bool:
        return state.cursor(region).epoch == epoch

    def begun_by_itself(self, world: World, region: Region, lane: Lane) -> Tail:
        seal = world.tail(region, lane.parent)
        return seal.tail if isinstance(seal, Record) else seal

    def visit(self, visit: Visit) -> Steps:
        if visit.cursor.begun is None:
            tail = self.begun_by_itself(visit.world, visit.region, visit.lane)
            visit.cursor = visit.cursor._replace(sequence=tail.sequence, chain=tail.chain, begun=ROOT)
        yield from super().visit(visit)


class ParkedKeysLeftBehind(Seals):
    """The children begin without the keys that are parked in their parent, which nobody looks at again."""

    def handed_over(self, visit: Visit, child: Lane) -> dict[Key, Parked]:
        return {}


class KeysLeaveTheRoster(Seals):
    """The page, read to the letter: parked keys move, so that the parent past its seal names none."""

    def past(self, cursor: Cursor, seal: Record, passing: Passing) -> Cursor:
        return super().past(cursor, seal, passing)._replace(roster=(), low=None)


class AppendBehindSeal(Seals):
    """A producer takes the seal for another's record, and goes on behind it."""

    def tail_after(self, occupant: Record) -> Tail | None:
        return occupant.tail


class ReplayOfParentOnly(Seals):
    """A replay across a seal leaves the children where they are."""

    def unbegun(self, region: Region, state: State, replay: int) -> Change:
        return Change(state.lane, state.cursor(region).version, None)

    def pass_seal(self, visit: Visit, seal: Record) -> Steps:
        first = yield Call("read", "child", visit.world.state, (visit.region, visit.lane.children[0]))
        cursor = first.cursor(visit.region)
        if cursor.begun is None or cursor.epoch != visit.cursor.epoch:
            yield from super().pass_seal(visit, seal)
        else:
            yield from visit.commit(self.past(visit.cursor, seal, cursor.begun))
            yield from self.ring_children(visit.world, visit.region, visit.lane)


class ChainFromZero(Seals):
    """A child begins a chain of its own."""

    def tail_behind(self, seal: Record) -> Tail:
        return Tail(seal.tail.sequence, EMPTY_TAIL.chain)


class SequenceFromZero(Seals):
    """A child begins to count anew."""

    def tail_behind(self, seal: Record) -> Tail:
        return EMPTY_TAIL


class SealExpires(Seals):
    """A seal expires like any record."""

    def expires(self, record: Record) -> bool:
        return True


class TakeoverBeginsChild(Seals):
    """A takeover makes a child its own that has begun elsewhere, though its parent here is before its seal."""

    def begin(self, world: World, region: Region, state: State, epoch: int) -> Steps:
        former = {writer: cursor for writer, cursor in state.cursors.items() if cursor.begun is not None}
        if state.lane.is_root or not former:
            yield from super().begin(world, region, state, epoch)
            return
        cursor, parked = self.inherit(state, latest_of(former))
        yield from self.take_over(world, region, state, cursor._replace(epoch=epoch), parked, ())
        raise RaceLostError


class TakeoverLaneByLane(TakeoverBeginsChild):
    """Each lane is taken over by its own doorbell, also where the parent has come less far by then."""

    def give(self, world: World, region: Region, parent: State, child: State) -> Steps:
        if not any(cursor.begun is not None for cursor in child.cursors.values()):
            yield from super().give(world, region, parent, child)


class BegunByAnotherRegion(Seals):
    """A child begins at its parent's seal if it has begun in another Region, wherever its parent is here."""

    def begin(self, world: World, region: Region, state: State, epoch: int) -> Steps:
        seal = world.tail(region, state.lane.parent)
        has_begun = any(cursor.begun for cursor in state.cursors.values())
        if state.lane.is_root or not has_begun or not isinstance(seal, Record) or not seal.is_seal:
            yield from super().begin(world, region, state, epoch)
            return
        above = Cursor(seal.tail.sequence, seal.chain, epoch=epoch)
        cursor = self.begun(above, Passing(region, epoch, -1))
        yield from self.take_over(world, region, state, cursor, {}, ())
        raise RaceLostError


class PassingNotNoted(Seals):
    """Neither version nor epoch: any cursor of a child counts beneath a parent that is past its seal."""

    def counts(self, child: Cursor, parent: Cursor) -> bool:
        return child.sequence > 0


class VersionNotNoted(Seals):
    """A child's cursor counts if it was begun in the epoch in which the parent passed its seal."""

    def counts(self, child: Cursor, parent: Cursor) -> bool:
        passed = parent.past_seal
        return child.begun is not None and passed is not None and child.begun.epoch == passed.epoch


class VersionAtLeast(Seals):
    """The page, read to the letter: the parent's version is at least the version noted, in the same epoch."""

    def counts(self, child: Cursor, parent: Cursor) -> bool:
        passed, begun = parent.past_seal, child.begun
        return (
            begun is not None
            and passed is not None
            and begun.epoch == passed.epoch
            and begun.version <= passed.version
        )


class EpochNotNoted(Seals):
    """A child's cursor counts if it notes the version of the parent, of whatever epoch."""

    def counts(self, child: Cursor, parent: Cursor) -> bool:
        passed, begun = parent.past_seal, child.begun
        return begun is not None and passed is not None and begun.version == passed.version


class WholeBatchToOneChild(Seals):
    """A batch that meets a seal goes on as a whole, in the child of its first event."""

    def cut(self, batch: Batch, origin: Region, memory: Memory) -> list[tuple[Lane, Batch]]:
        return [(self.lane_of(batch.events[0].key, origin, memory), batch)]


class SplitInReplica(Seals):
    """The seal is put into the table of a Region that is not the lane's origin."""

    def table_of(self, lane: Lane, regions: Sequence[Region]) -> Region:
        return regions[-1]


class SealOfNoSequence(Seals):
    """A seal has n = 0."""

    def seal(self, tail: Tail, lane: Lane) -> Record:
        return record_at(tail, lane, Batch(0, ()), count=0, is_seal=True)


class FilterBeforeSeal(Seals):
    """A run passes a seal as it passes what nobody wants."""

    def is_seal(self, record: Record) -> bool:
        return False


class NobodyRingsForSeal(Seals):
    """The relay rings for what is wanted only, and a child that has not begun waits for its parent silently."""

    def worth_ringing(self, record: Record, region: Region) -> bool:
        return not record.is_seal and super().worth_ringing(record, region)

    def begin(self, world: World, region: Region, state: State, epoch: int) -> Steps:
        if state.lane.is_root:
            yield from super().begin(world, region, state, epoch)


class DeduplicatedRing(Seals):
    """Children are rung with the doorbell that their own records would have."""

    def ring_children(self, world: World, region: Region, lane: Lane) -> Steps:
        for child in lane.children:
            end = world.tail(region, child)
            tail = end.tail.sequence if isinstance(end, Record) else ANY_TAIL
            yield Call("ring", "ring", world.ring, (region, Doorbell(child, tail)))


class NoRingOnReturn(Seals):
    """A doorbell that comes to a lane past its seal is taken for a repetition."""

    def stand_past(self, world: World, region: Region, state: State) -> Steps:
        for child in state.lane.children:
            theirs: State = yield Call("read", "child", world.state, (region, child))
            if not self.has_begun(theirs, region, state.cursor(region).epoch):
                yield from self.give(world, region, state, theirs)
                yield from self.ring(world, region, child)


class CopiesNotFenced(Seals):
    """Parked keys are copied without a look at the parent's version, also by a run that has lost its race."""

    def copy_parked(self, visit: Visit) -> Steps:
        for child in visit.lane.children:
            for key, parked in self.handed_over(visit, child).items():
                arguments = (visit.region, (Change(child, None, None, {key: parked}),))
                yield Call("write", "copy", visit.world.commit_small, arguments)


class PassNotFenced(Seals):
    """Children begin though the parent's cursor has been written since it was read."""

    def fence(self, cursor: Cursor) -> int | None:
        return None


class ReadsAbove(Seals):
    """The design's other way: a child parks behind keys of lanes above, and so reads their state at each visit."""

    def visit(self, visit: Visit) -> Steps:
        if not visit.lane.is_root:
            yield Call("read", "state", visit.world.state, (visit.region, visit.lane.parent))
        yield from super().visit(visit)


class HalvesBehindYounger(Seals):
    """The parts of a batch go behind what the publisher has published since."""

    def put_first(self, pending: deque[Batch], parts: Iterable[Batch]) -> None:
        pending.extend(parts)


class WholeBatchAgain(Seals):
    """An error carries the whole batch, also the part that landed."""

    def not_published(self, part: Batch, batch: Batch) -> Batch:
        return batch


class TailsByIndex(Seals):
    """Tails are remembered by index, whatever the generation."""

    def remembered_as(self, lane: Lane) -> Lane:
        return lane._replace(generation=0)


class TreeOfAnotherRegion(Seals):
    """A publisher that goes on in another Region looks for a key's lane in the tree of the first."""

    def lane_of(self, key: Key, origin: Region, memory: Memory) -> Lane:
        lane = root_of(origin)
        while any(seal[1:] == lane[1:] for seal in memory.seals):
            lane = lane.child_of(key)
        return lane


class DecisionForWholeBatch(Seals):
    """The page, read to the letter: a decision about a part, by the batch's id, holds for all of the first copy."""

    def is_decided_for(self, event: Event, lanes: Sequence[Lane]) -> bool:
        return bool(lanes)


class PartIsNoCopy(Seals):
    """A part of a batch is no copy of the whole: the product's rule of today, by content."""

    def is_copy(self, first: Record | None, batch: Batch) -> bool:
        return first is not None and first.batch.id == batch.id and first.batch.events == batch.events


class RestEndsAtSeal(Seals):
    """Events that wait behind the listed ones of a moved key are looked for in the parent alone."""

    def place_behind(self, record: Record, key: Key) -> Place | None:
        return None if record.is_seal else super().place_behind(record, key)


class ReplayLosesParkedKeys(Seals):
    """A replay across a seal forgets the keys that are parked beneath, with what waits from before its place."""

    def kept(self, region: Region, states: Sequence[State], sequence: int) -> Mapping[Key, Parked]:
        return super().kept(region, states[:1], sequence)


class ReplayNotFenced(Seals):
    """A replay writes the lanes beneath whatever was committed there since they were read."""

    def unbegun(self, region: Region, state: State, replay: int) -> Change:
        return super().unbegun(region, state, replay)._replace(version=None)


class MarksForgotten(Seals):
    """A replay across a seal does not note where the lanes beneath it stood."""

    def unbegun(self, region: Region, state: State, replay: int) -> Change:
        change = super().unbegun(region, state, replay)
        assert change.moved is not None, "a lane beneath is written"
        return change._replace(moved=change.moved._replace(replay_until=0))


@dataclass(frozen=True, slots=True)
class Bug:
    """A planted bug: by how many schedules of which profile it is found. `of_page`: its name in the design's list."""

    rules: type[Seals]
    schedules_max: int
    profile: str = "default"
    of_page: str = ""

    @property
    def name(self) -> str:
        return self.rules.__name__


BUGS = [
    Bug(ChildBeginsWithoutParent, 6, of_page="child begins without the parent"),
    Bug(ParkedKeysLeftBehind, 2, "parked", of_page="parked keys left behind"),
    Bug(AppendBehindSeal, 1, of_page="append behind a seal"),
    Bug(ReplayOfParentOnly, 25, "replays", of_page="replay of the parent only"),
    Bug(ChainFromZero, 1, of_page="chain from zero"),
    Bug(SealExpires, 1, of_page="seal expires"),
    Bug(TakeoverBeginsChild, 66, "takeovers", of_page="takeover begins a child"),
    Bug(BegunByAnotherRegion, 243, "takeovers", of_page="begun by another Region's cursor"),
    Bug(TakeoverLaneByLane, 66, "takeovers", of_page="takeover lane by lane"),
    Bug(VersionNotNoted, 111, "handed over", of_page="version not noted"),
    Bug(EpochNotNoted, 120, "handed back", of_page="epoch not noted"),
    Bug(WholeBatchToOneChild, 2, of_page="a batch whole to one child"),
    Bug(SplitInReplica, 1, of_page="split in a replica"),
    Bug(SealOfNoSequence, 34, of_page="n = 0"),
    Bug(FilterBeforeSeal, 1, of_page="filter before seal"),
    Bug(DeduplicatedRing, 4, of_page="deduplicated ring"),
    Bug(NoRingOnReturn, 112, of_page="no ring on a returned doorbell"),
    Bug(KeysLeaveTheRoster, 43, "takeovers"),
    Bug(VersionAtLeast, 111, "handed over"),
    Bug(PassingNotNoted, 2, "handed over"),
    Bug(SequenceFromZero, 1),
    Bug(NobodyRingsForSeal, 1),
    Bug(CopiesNotFenced, 54, "parked"),
    Bug(PassNotFenced, 9, "parked"),
    Bug(ReadsAbove, 1),
    Bug(HalvesBehindYounger, 11),
    Bug(WholeBatchAgain, 4),
    Bug(TailsByIndex, 4),
    Bug(TreeOfAnotherRegion, 3, "copies"),
    Bug(DecisionForWholeBatch, 954, "parts"),
    Bug(PartIsNoCopy, 46, "copies"),
    Bug(RestEndsAtSeal, 190, "replays"),
    Bug(ReplayLosesParkedKeys, 12, "replays"),
    Bug(ReplayNotFenced, 15, "replays"),
    Bug(MarksForgotten, 25, "replays"),
]
