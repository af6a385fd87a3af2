"""Operations at seals: replay, decisions about dead letters, handovers, reconciliation, proof."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.simulation.models.schedules import Violation
from tests.simulation.models.seals_delivery import Delivery
from tests.simulation.models.seals_values import (
    TREE_ACTIONS_MAX,
    Cursor,
    Event,
    Key,
    Lane,
    Parked,
    Place,
    Record,
    Region,
    State,
    Tail,
    root_of,
)
from tests.simulation.models.seals_world import Call, Change, Steps, World


class Operations(Delivery):
    """Rules of what operators and reconciliation do, and the processes that follow them."""

    def hand_over(self, world: World, region: Region, origin: Region) -> Steps:
        """Hand the lanes of an origin over to this Region: under a new epoch, and by a ring of the root alone."""
        owner = yield Call("read", "owner", world.owner, (region, origin))
        if owner.region == region:
            return
        epochs = [state.epoch for state in self.states(world, region, origin)]
        epoch = 1 + max(owner.epoch, *epochs)
        yield Call("write", "hand over", world.hand_over, (region, origin, epoch))
        yield from self.ring(world, region, root_of(origin))

    def lose(self, world: World, region: Region) -> Steps:
        """Have a Region be lost."""
        yield Call("read", "lose", world.lose_region, (region,))

    def decide(self, world: World, region: Region, origin: Region, key: Key, *, redrive: bool) -> Steps:
        """Redrive a dead key, or discard its first event. It is in the lane that has begun and is not past its seal."""
        state = yield from self.find(world, region, origin, key)
        parked = None if state is None else state.parked(region).get(key)
        if state is None or parked is None or not parked.is_dead or not parked.places:
            return
        cursor: Cursor = state.cursor(region)
        if redrive:
            after: Parked | None = parked._replace(is_dead=False, attempts=0, due=0)
            discarded: tuple[Event, ...] = ()
        else:
            record = yield Call("read", "record", world.record_of, (region, parked.first))
            if record is None or record.is_expired:
                return
            event = record.batch.events[parked.first.sequence - record.sequence]
            after, discarded = parked.without_first(), (event,)
        if after is not None:
            after = after._replace(due=0)
        keys = {name: waits for name, waits in state.parked(region).items() if name != key}
        moved = cursor.beside({**keys, key: after} if after is not None else keys)
        change = Change(state.lane, cursor.version, moved, {key: after})
        if (yield Call("write", "decide", world.commit, (region, (change,), discarded))):
            yield from self.ring(world, region, state.lane)

    def find(self, world: World, region: Region, origin: Region, key: Key) -> Steps:
        """Find the state of the lane in which a key is delivered by now; None: this Region cannot tell, or may not."""
        owner = yield Call("read", "owner", world.owner, (region, origin))
        lane = root_of(origin)
        while owner.region == region:
            state: State = yield Call("read", "child", world.state, (region, lane))
            if not self.has_begun(state, region, owner.epoch) or state.epoch > owner.epoch:
                return None
            if state.cursor(region).past_seal is None:
                return state
            lane = lane.child_of(key)
        return None

    def replay(self, world: World, region: Region, place: Place) -> Steps:
        """Have a lane go back to a record, and with it all lanes beneath it. One transaction, or nothing."""
        lane = place.lane
        owner = yield Call("read", "owner", world.owner, (region, lane.origin))
        states, lanes = list[State](), [lane]
        while lanes:
            state: State = yield Call("read", "child", world.state, (region, lanes.pop(0)))
            if owner.region != region or state.epoch > owner.epoch:
                return
            if not self.has_begun(state, region, owner.epoch):
                return  # not taken over yet, or waits for a replay of a lane above
            states.append(state)
            lanes += state.lane.children if state.cursor(region).past_seal else ()
        record = yield Call("read", "record", world.record_of, (region, place))
        if record is None or record.is_expired or record.is_seal:
            return
        if record.sequence >= states[0].cursor(region).sequence:
            return
        chain = yield Call("read", "chain", world.chain_before, (region, record))
        changes = self.back(region, states, Tail(record.sequence, chain), world.truth.replays_so_far + 1)
        if sum(change.actions for change in changes) > TREE_ACTIONS_MAX:
            return
        reached = {state.lane: state.cursor(region).sequence for state in states}
        if (yield Call("write", "replay", world.replay, (region, changes, record.place, reached))):
            yield from self.ring(world, region, lane)

    def back(self, region: Region, states: Sequence[State], start: Tail, replay: int) -> tuple[Change, ...]:
        """Plan a replay: the lane goes to the record's place, and nothing beneath it has begun.

        Keys keep what waits in them from before that place; they come back from wherever they have gone. Each lane
        notes where it stood: events before that come again.
        """
        top, *below = states
        cursor, kept = top.cursor(region), self.kept(region, states, start.sequence)
        moved = cursor._replace(
            sequence=start.sequence,
            chain=start.chain,
            past_seal=None,
            replay_until=max(cursor.sequence, cursor.replay_until),
            replay=replay,
        )
        return (
            Change(top.lane, cursor.version, moved.beside(kept), kept),
            *(self.unbegun(region, state, replay) for state in below),
        )

    def kept(self, region: Region, states: Sequence[State], sequence: int) -> Mapping[Key, Parked]:
        """Return the keys of lanes that have begun and are not past their seal, with what waits from before a place."""
        parked = [
            waits.before(sequence)
            for state in states
            if state.cursor(region).past_seal is None
            for waits in state.parked(region).values()
        ]
        return {waits.key: waits for waits in parked if waits is not None}

    def unbegun(self, region: Region, state: State, replay: int) -> Change:
        """Have a lane beneath a replayed one not have begun. Its version goes on, so that runs under way lose."""
        cursor = state.cursor(region)
        stood = max(cursor.sequence, cursor.replay_until)
        moved = cursor._replace(
            begun=None, past_seal=None, roster=(), low=None, replay_until=stood, replay=replay
        )
        return Change(state.lane, cursor.version, moved)

    def sweep(self, world: World, region: Region, lane: Lane) -> Steps:
        """Delete the parked keys that a lane past its seal has handed over. Its cursor goes on naming them."""
        state: State = yield Call("read", "child", world.state, (region, lane))
        cursor = state.cursor(region)
        if cursor.past_seal is not None and state.parked(region):
            change = Change(lane, cursor.version, cursor, dict.fromkeys(state.parked(region)))
            yield Call("write", "sweep", world.commit, (region, (change,)))

    # Reconciliation

    def reconcile(self, world: World, region: Region, origin: Region) -> Steps:
        """Ring the lanes in which something waits, root first: what lies beneath a lane that waits has to wait, too."""
        owner = yield Call("read", "owner", world.owner, (region, origin))
        if owner.region == region:
            for lane in [*self.waiting(world, region, root_of(origin), owner.epoch)]:
                yield from self.ring(world, region, lane)

    def waiting(self, world: World, region: Region, lane: Lane, epoch: int) -> Iterator[Lane]:
        """Yield the lanes in which something waits."""
        state = world.state(region, lane)
        cursor = state.cursor(region)
        if self.has_begun(state, region, epoch) and cursor.past_seal is not None:
            for child in lane.children:
                if self.has_begun(world.state(region, child), region, epoch):
                    yield from self.waiting(world, region, child, epoch)
                else:
                    yield lane
            return
        end = world.tail(region, lane)
        tail = end.tail if isinstance(end, Record) else end
        due = any(not parked.is_dead for parked in state.parked(region).values())
        if not self.has_begun(state, region, epoch) or due or tail.sequence > cursor.sequence:
            yield lane

    # Proof

    def prove(self, world: World, region: Region, origin: Region) -> None:
        """Walk the tree from its root, and hold each cursor against the chain that leads to it. Raises Violation."""
        for state in self.states(world, region, origin):
            cursor = state.cursor(region)
            if cursor.begun is None:
                continue
            start = Tail(0, 0) if state.lane.is_root else self.seam(world, region, state.lane)
            if cursor.tail not in chains(world, region, state.lane, start):
                raise Violation("proof", f"{state.lane} in {region}: {cursor} is on no chain from {start}")

    def seam(self, world: World, region: Region, lane: Lane) -> Tail:
        """Return the place and chain with which a child begins: its parent's seal."""
        seal = world.tail(region, lane.parent)
        if not isinstance(seal, Record) or not seal.is_seal:
            raise Violation("proof", f"{lane} in {region} has begun, and its parent has no seal")
        return seal.tail

    def states(self, world: World, region: Region, origin: Region) -> list[State]:
        """Read the states of a tree as far as this Region has passed its seals, parents first."""
        states, lanes = list[State](), [root_of(origin)]
        while lanes:
            state = world.state(region, lanes.pop(0))
            states.append(state)
            if any(cursor.past_seal is not None for cursor in state.cursors.values()):
                lanes += state.lane.children
        return states


def chains(world: World, region: Region, lane: Lane, start: Tail) -> Iterable[Tail]:
    """Yield the ends of the records that follow each other in a lane."""
    yield start
    while records := world.read_log(region, lane, start.sequence):
        for record in records:
            start = record.tail
            yield start


def is_beneath(lane: Lane, other: Lane) -> bool:
    """Tell if a lane is another one, or was split off from it."""
    while lane.generation > other.generation:
        lane = lane.parent
    return lane == other
