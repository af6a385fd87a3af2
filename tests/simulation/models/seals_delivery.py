"""Delivery at seals: a run, from its doorbell to its last commit; and how children begin.

who owns the lane        not this Region: nothing
its state                one read: the lane's own, whatever is parked in lanes above
no cursor of the owner's epoch      a root is taken over; a child rings its parent, and does nothing else
past its seal            gives each child what it lacks, and rings both
else                     keys that are due; records from the cursor on; a commit each page
at the seal              copies the parked keys into the children's partitions, then, in one transaction, is past
                         the seal and has both children begin; rings both
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.simulation.models.seals_takeover import Takeover, latest_of
from tests.simulation.models.seals_values import (
    ANY_TAIL,
    ATTEMPTS_MAX,
    PARKED_PLACES_MAX,
    RACES_MAX,
    TRANSACTION_ACTIONS_MAX,
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
)
from tests.simulation.models.seals_world import Call, Change, RaceLostError, Steps, World


@dataclass(slots=True)
class Visit:
    """A visit to a lane. `cursor` and `parked` as they will be committed next, `read` as they are stored."""

    world: World
    region: Region
    lane: Lane
    cursor: Cursor
    parked: dict[Key, Parked]
    bell: Doorbell
    has_returned: bool
    changed: set[Key] = field(default_factory=set)
    handled: list[Event] = field(default_factory=list)

    def set(self, key: Key, parked: Parked | None) -> None:
        """Change, add or free a parked key, with the next commit."""
        self.changed.add(key)
        if parked is None:
            self.parked.pop(key, None)
        else:
            self.parked[key] = parked

    def commit(self, moved: Cursor) -> Steps:
        """Commit the cursor and the parked keys. RaceLostError."""
        moved = moved.beside(self.parked)
        changes = {key: self.parked.get(key) for key in sorted(self.changed)}
        if moved == self.cursor and not changes and not self.handled:
            return
        change = Change(self.lane, self.cursor.version, moved, changes)
        arguments = (self.region, (change,), tuple(self.handled))
        if not (yield Call("write", "commit", self.world.commit, arguments)):
            raise RaceLostError
        self.cursor = moved._replace(version=self.cursor.version + 1)
        self.changed, self.handled = set(), []


class Delivery(Takeover):
    """Rules of delivery, and the run that follows them."""

    def worth_ringing(self, record: Record, region: Region) -> bool:
        """Tell if the relay rings for a record: in its origin, if it may hold what is wanted, or is a seal."""
        return (
            region != record.lane.origin
            or record.is_seal
            or any(event.is_wanted for event in record.batch.events)
        )

    def is_seal(self, record: Record) -> bool:
        """Tell if a run has come to the lane's seal. Asked before any filter, for a seal holds nothing wanted."""
        return record.is_seal

    def has_begun(self, state: State, region: Region, epoch: int) -> bool:
        """Tell if a lane is delivered from this Region's cursor: it has begun, under the owner's epoch."""
        cursor = state.cursor(region)
        return cursor.begun is not None and cursor.epoch == epoch

    def ring(self, world: World, region: Region, lane: Lane) -> Steps:
        """Ring a lane, with a doorbell that is no repetition of another, so that no queue drops it."""
        bell = Doorbell(lane, ANY_TAIL, world.fresh())
        yield Call("ring", "ring", world.ring, (region, bell))

    def is_news(self, visit: Visit) -> bool:
        """Tell if the lane may go on behind the cursor: by the doorbell's tail, or because it has come back.

        In a replica, a doorbell may stand for records behind its own, whose doorbells came while it was not here.
        """
        return visit.has_returned or visit.bell.tail > visit.cursor.sequence

    # A run

    def run(self, world: World, region: Region, bell: Doorbell, has_returned: bool) -> Steps:
        """Do what a doorbell asks for. RaceLostError or NoReplyError: the doorbell comes back."""
        for _ in range(RACES_MAX):
            try:
                yield from self.look(world, region, bell, has_returned)
            except RaceLostError:
                continue
            return
        raise RaceLostError

    def look(self, world: World, region: Region, bell: Doorbell, has_returned: bool) -> Steps:
        """Read the lane's state, and do what it allows."""
        lane = bell.lane
        owner = yield Call("read", "owner", world.owner, (region, lane.origin))
        if owner.region != region:
            return
        state: State = yield Call("read", "state", world.state, (region, lane))
        if state.epoch > owner.epoch:
            return  # it was handed over, and this Region has not heard of that yet
        if not self.has_begun(state, region, owner.epoch):
            yield from self.begin(world, region, state, owner.epoch)
        elif state.cursor(region).past_seal is not None:
            yield from self.stand_past(world, region, state)
        else:
            cursor = state.cursor(region)
            visit = Visit(world, region, lane, cursor, state.parked(region), bell, has_returned)
            yield from self.visit(visit)

    def begin(self, world: World, region: Region, state: State, epoch: int) -> Steps:
        """Have a lane begin that this Region does not deliver yet: a root is taken over, a child rings its parent."""
        if not state.lane.is_root:
            yield from self.ring(world, region, state.lane.parent)
            return
        latest = latest_of(state.cursors)
        cursor, parked = self.inherit(state, latest) if latest else (state.cursor(region), {})
        yield from self.take_over(world, region, state, cursor._replace(epoch=epoch), parked, ())
        raise RaceLostError  # look again

    def visit(self, visit: Visit) -> Steps:
        """Go through the keys that are due, and then through the log, up to its end or the lane's seal."""
        clock = visit.world.clock
        due = [key for key, parked in visit.parked.items() if not parked.is_dead and parked.due <= clock]
        for key in due:
            yield from self.retry(visit, key)
        if not self.is_news(visit):
            return
        while True:
            cursor = visit.cursor
            page = yield Call(
                "read", "log", visit.world.read_log, (visit.region, visit.lane, cursor.sequence)
            )
            for record in page:
                if self.is_seal(record):
                    yield from visit.commit(cursor)
                    yield from self.pass_seal(visit, record)
                    return
                cursor = yield from self.go_through(visit, cursor, record)
            if not page:
                return
            yield from visit.commit(cursor)

    def go_through(self, visit: Visit, cursor: Cursor, record: Record) -> Steps:
        """Hand out the events of a record. Return the cursor behind it."""
        assert record.sequence == cursor.sequence, "records are read from the cursor on"
        passed = yield from self.elsewhere(visit, record)
        for offset, event in enumerate(record.batch.events):
            place = Place(visit.lane, record.sequence + offset)
            if not event.is_wanted:
                continue
            if event in passed:
                visit.handled.append(event)
            elif (parked := visit.parked.get(event.key)) is not None:
                visit.set(event.key, self.wait(parked, place))
            elif (yield from self.attempt(visit, event)):
                visit.handled.append(event)
            else:
                yield from self.park(visit, Parked(event.key, (place,), None, False, 0, 0))
        return cursor._replace(sequence=record.tail.sequence, chain=record.chain)

    def attempt(self, visit: Visit, event: Event) -> Steps:
        """Call the handler. It may fail."""
        arguments = (visit.lane.origin, event, tuple(visit.handled))
        return (yield Call("attempt", "attempt", visit.world.attempted, arguments))

    def wait(self, parked: Parked, place: Place) -> Parked:
        """Have an event wait in its key: listed, or in the rest that stands in the log."""
        if parked.rest is not None:
            return parked
        if len(parked.places) < PARKED_PLACES_MAX:
            return parked._replace(places=(*parked.places, place))
        return parked._replace(rest=place)

    def park(self, visit: Visit, parked: Parked) -> Steps:
        """Park a key after an attempt that failed: for later, or dead."""
        attempts, due = parked.attempts + 1, visit.world.clock + 1
        parked = parked._replace(attempts=attempts, is_dead=attempts >= ATTEMPTS_MAX, due=due)
        visit.set(parked.key, parked)
        if not parked.is_dead:  # before the commit: a timer too many is harmless
            bell = Doorbell(visit.lane, 0, due)
            yield Call("ring", "ring later", visit.world.ring_later, (visit.region, bell))

    def elsewhere(self, visit: Visit, record: Record) -> Steps:
        """Return the events of a record whose other copies are delivered. What is not decided yet is decided now."""
        world, region, batch, note = visit.world, visit.region, record.batch, record.batch.note
        if not world.has_copies:
            return ()
        decided = yield Call("read", "decisions", world.decisions, (region, record.lane))
        lanes = [lane for (first, lane), noted_wins in decided.items() if first == batch.id and noted_wins]
        passed = [event for event in batch.events if self.is_decided_for(event, lanes)]
        if note is None:
            return passed
        part = (batch.id, record.lane)
        decided = yield Call("read", "decisions", world.decisions, (region, note.lane))
        if part not in decided:
            first = yield Call("read", "first copy", world.record_of, (region, note))
            noted_wins = not self.is_copy(first, batch)
            visited = (visit.lane, visit.cursor.version)
            world.truth.decided(first, part, noted_wins)
            arguments = (region, visited, note.lane, part, noted_wins)
            if not (yield Call("write", "decide", world.decide, arguments)):
                raise RaceLostError
            decided = {part: noted_wins}
        return passed if decided[part] else batch.events

    def is_decided_for(self, event: Event, lanes: Sequence[Lane]) -> bool:
        """Tell if an event of a first copy is delivered in one of these lanes: where the part with its key stands."""
        return any(lane.holds(event.key) for lane in lanes)

    def is_copy(self, first: Record | None, batch: Batch) -> bool:
        """Tell if a record is the first copy of a batch, by its id: a part of a batch is a copy of the whole."""
        return first is not None and first.batch.id == batch.id

    # Parked keys

    def retry(self, visit: Visit, key: Key) -> Steps:
        """Try the events of a parked key in order, until one fails, is not here yet, or none waits."""
        while (parked := visit.parked.get(key)) is not None and not parked.is_dead:
            if not parked.places:
                filled = yield from self.fill(visit, parked)
                if filled == parked:
                    break  # the next record is not here yet; it will ring
                visit.set(key, filled)
                continue
            record = yield Call("read", "record", visit.world.record_of, (visit.region, parked.first))
            if record is None:
                break
            event = event_at(record, parked.first)
            if event is None:  # expired, and handled before
                visit.set(key, parked.without_first())
            elif (yield from self.attempt(visit, event)):
                visit.handled.append(event)
                visit.set(key, parked.without_first())
            else:
                yield from self.park(visit, parked)
                break
        yield from visit.commit(visit.cursor)

    def fill(self, visit: Visit, parked: Parked) -> Steps:
        """List the next events of a key from the log: from its rest on, across seals, up to the cursor."""
        place, places = parked.rest, list[Place]()
        start = parked.first.sequence
        while place is not None and not self.is_passed(visit, place):
            page = yield Call("read", "log", visit.world.read_log, (visit.region, place.lane, place.sequence))
            if not page:
                return parked._replace(places=tuple(places), rest=place) if places else parked
            for record in page:
                if len(places) == PARKED_PLACES_MAX or self.is_passed(visit, record.place):
                    break
                passed = yield from self.elsewhere(visit, record)
                places += self.places(record, parked.key, start, passed)
                place = self.place_behind(record, parked.key)
            if len(places) >= PARKED_PLACES_MAX:
                break
        rest = None if place is None or self.is_passed(visit, place) else place
        return parked._replace(places=tuple(places), rest=rest) if places or rest else None

    def is_passed(self, visit: Visit, place: Place) -> bool:
        """Tell if a place is at the cursor or behind it: events from there on do not wait."""
        return place.lane == visit.lane and place.sequence >= visit.cursor.sequence

    def places(self, record: Record, key: Key, start: int, passed: Sequence[Event]) -> Iterable[Place]:
        """List the places of a key's events in a record, from a sequence on."""
        for offset, event in enumerate(record.batch.events):
            is_meant = event.key == key and event.is_wanted and event not in passed
            if is_meant and record.sequence + offset >= start:
                yield Place(record.lane, record.sequence + offset)

    def place_behind(self, record: Record, key: Key) -> Place | None:
        """Return where the events of a key go on behind a record: behind a seal, in the child of the key."""
        lane = record.lane.child_of(key) if record.is_seal else record.lane
        return Place(lane, record.tail.sequence)

    # Children

    def pass_seal(self, visit: Visit, seal: Record) -> Steps:
        """Hand the lane over to its children: first its parked keys, then all at once."""
        world, region = visit.world, visit.region
        yield from self.copy_parked(visit)
        passing = Passing(region, visit.cursor.epoch, visit.cursor.version + 1)
        moved = self.past(visit.cursor, seal, passing)
        changes = [Change(visit.lane, self.fence(visit.cursor), moved)]
        for child in visit.lane.children:
            state: State = yield Call("read", "child", world.state, (region, child))
            former = state.cursor(region)
            cursor = self.begun(moved, passing, former.replay_until)
            cursor = cursor.beside(self.handed_over(visit, child))
            changes.append(Change(child, former.version, cursor))
        if not (yield Call("write", "pass", world.commit_small, (region, tuple(changes)))):
            raise RaceLostError
        yield from self.ring_children(world, region, visit.lane)

    def fence(self, cursor: Cursor) -> int | None:
        """Return the version that a lane must still have when its children begin, and when its keys are copied."""
        return cursor.version

    def handed_over(self, visit: Visit, child: Lane) -> dict[Key, Parked]:
        """Return the parked keys that go to a child."""
        return {key: parked for key, parked in visit.parked.items() if visit.lane.child_of(key) == child}

    def copy_parked(self, visit: Visit) -> Steps:
        """Write the lane's parked keys into the children's partitions, in transactions fenced by its own cursor.

        The keys stay where they are, too. Until the children begin, nobody reads the copies.
        """
        fence = Change(visit.lane, self.fence(visit.cursor), None)
        size = TRANSACTION_ACTIONS_MAX - 1
        for child in visit.lane.children:
            parked = self.handed_over(visit, child)
            keys = sorted(parked)
            for start in range(0, len(keys), size):
                part = {key: parked[key] for key in keys[start : start + size]}
                arguments = (visit.region, (fence, Change(child, None, None, part)))
                if not (yield Call("write", "copy", visit.world.commit_small, arguments)):
                    raise RaceLostError

    def past(self, cursor: Cursor, seal: Record, passing: Passing) -> Cursor:
        """Return the parent's cursor behind its seal. It goes on naming the keys that were parked at the seal."""
        return cursor._replace(sequence=seal.tail.sequence, chain=seal.chain, past_seal=passing)

    def ring_children(self, world: World, region: Region, lane: Lane) -> Steps:
        for child in lane.children:
            yield from self.ring(world, region, child)

    def stand_past(self, world: World, region: Region, state: State) -> Steps:
        """Do what a doorbell of a lane past its seal asks for: give each child what it lacks, and ring both.

        So a run that died after its lane passed the seal is made good, and timers of moved keys come to them.
        """
        for child in state.lane.children:
            theirs: State = yield Call("read", "child", world.state, (region, child))
            if not self.has_begun(theirs, region, state.cursor(region).epoch):
                yield from self.give(world, region, state, theirs)
        yield from self.ring_children(world, region, state.lane)


def event_at(record: Record, place: Place) -> Event | None:
    """Return the event at a place; None if it has expired."""
    return None if record.is_expired else record.batch.events[place.sequence - record.sequence]
