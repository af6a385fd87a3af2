"""Publishing at seals: producers, transactions, and the split itself, which is an append like any other.

put at the lane's tail ── written ──────────────> done
                       ── there: my record ─────> done, an earlier try landed
                       ── there: another's ─────> its end is the next tail
                       ── there: a seal ────────> the batch is cut in two, and goes on in the children
                       ── no reply ─────────────> the SAME record again; in the end, in another Region with a note
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.simulation.models.seals_values import (
    TRANSACTION_ACTIONS_MAX,
    Batch,
    Event,
    Key,
    Lane,
    Record,
    Region,
    Tail,
    record_at,
    root_of,
)
from tests.simulation.models.seals_world import Call, NoReplyError, Steps, World

_PUTS_MAX = 3


@dataclass(slots=True)
class Memory:
    """A publisher's knowledge of lanes: where they go on, and which have ended with a seal."""

    tails: dict[Lane, Tail] = field(default_factory=dict)
    seals: dict[Lane, Record] = field(default_factory=dict)


class Publishing:
    """Rules of publishing, and the processes that follow them."""

    def seal(self, tail: Tail, lane: Lane) -> Record:
        """Make the record that ends a lane. It holds no event.

        It takes one sequence, so that a cursor stands before it or behind it.
        """
        return record_at(tail, lane, Batch(0, ()), count=1, is_seal=True)

    def expires(self, record: Record) -> bool:
        """Tell if a record may expire. A seal never does: a cold publisher would begin the root again."""
        return not record.is_seal

    def table_of(self, lane: Lane, regions: Sequence[Region]) -> Region:
        """Return the Region in whose table a lane is split: its origin's."""
        return lane.origin

    def tail_behind(self, seal: Record) -> Tail:
        """Return the tail of an empty child: it goes on counting, and its first record continues the seal's chain."""
        return seal.tail

    def lane_of(self, key: Key, origin: Region, memory: Memory) -> Lane:
        """Return the lane of a key in the tree of the Region in which it is published, as far as that is known."""
        lane = root_of(origin)
        while lane in memory.seals:
            lane = lane.child_of(key)
        return lane

    def remembered_as(self, lane: Lane) -> Lane:
        """Return the name under which the tail of a lane is remembered: by its generation and index."""
        return lane

    def cut(self, batch: Batch, origin: Region, memory: Memory) -> list[tuple[Lane, Batch]]:
        """Cut a batch into a part for each lane. All keep the batch's id and its note."""
        parts: dict[Lane, tuple[Event, ...]] = {}
        for event in batch.events:
            lane = self.lane_of(event.key, origin, memory)
            parts[lane] = (*parts.get(lane, ()), event)
        return [(lane, batch._replace(events=events)) for lane, events in parts.items()]

    def put_first(self, pending: deque[Batch], parts: Iterable[Batch]) -> None:
        """Have the parts of a batch go before anything younger of their keys."""
        pending.extendleft(reversed(list(parts)))

    def not_published(self, part: Batch, batch: Batch) -> Batch:
        """Return what an error carries, to be published again: only the part that did not land."""
        return part

    def tail_after(self, occupant: Record) -> Tail | None:
        """Return where a lane goes on after another's record. None: it has ended with a seal."""
        return None if occupant.is_seal else occupant.tail

    # Processes

    def publish(self, world: World, regions: Sequence[Region], batches: Sequence[Batch]) -> Steps:
        """Publish batches one after the other, at first in the first Region."""
        memory, region, pending = Memory(), regions[0], deque(batches)
        whole = {batch.id: batch for batch in batches}
        while pending:
            batch = pending.popleft()
            parts = self.cut(batch, region, memory)
            if len(parts) > 1:
                self.put_first(pending, [part for _, part in parts])
                continue
            [(lane, part)] = parts
            tail = yield from self._tail(world, lane, memory)
            if tail is None:  # a seal was found there, so the batch may have to be cut
                pending.appendleft(part)
                continue
            record = record_at(tail, lane, part)
            try:
                occupant = yield from self._put(world, region, record)
            except NoReplyError:
                if region != regions[0] or len(regions) == 1:
                    return  # its user hears that it may be published, and does not publish it again
                # It may stand there, and at no other place: a copy in another Region says where.
                region = regions[1]
                pending.appendleft(part._replace(note=record.place))
                continue
            if occupant is None or occupant == record:
                memory.tails[self.remembered_as(lane)] = record.tail
                world.truth.acknowledged |= {event.number for event in part.events}
                continue
            self._learn(occupant, memory)
            # As if time were up: an error carries what is to be published again.
            again = part if occupant.is_seal else self.not_published(part, whole[part.id])
            pending.appendleft(again._replace(note=part.note))

    def transact(self, world: World, region: Region, batches: Sequence[Batch]) -> Steps:
        """Append batches in one transaction: all of it, or nothing. At a seal it is planned and counted anew."""
        memory = Memory()
        world.truth.whole.append(frozenset(event.number for batch in batches for event in batch.events))
        while True:
            parts = [part for batch in batches for part in self.cut(batch, region, memory)]
            if len(parts) + 1 > TRANSACTION_ACTIONS_MAX:
                return  # refused, before anything is sent
            for lane in dict.fromkeys(lane for lane, _ in parts):
                if (yield from self._tail(world, lane, memory)) is None:
                    break
            else:
                records = self._records(parts, memory)
                try:
                    taken = yield from self._put(world, region, *records)
                except NoReplyError:
                    return
                if taken is None or taken in records:
                    world.truth.acknowledged |= {event.number for _, part in parts for event in part.events}
                    return
                self._learn(taken, memory)

    def split(self, world: World, origin: Region, key: Key, generations_max: int) -> Steps:
        """Put a seal at the end of the lane that a key has by now."""
        memory = Memory()
        while True:
            lane = self.lane_of(key, origin, memory)
            tail = yield from self._tail(world, lane, memory)
            if lane.generation >= generations_max:
                return
            if tail is None:
                continue
            seal = self.seal(tail, lane)
            try:
                occupant = yield from self._put(world, self.table_of(lane, world.regions), seal)
            except NoReplyError:
                return
            if occupant is None or occupant.is_seal:
                return  # any seal there is the seal
            self._learn(occupant, memory)

    def _tail(self, world: World, lane: Lane, memory: Memory) -> Steps:
        """Return where a lane goes on; it is read unless it is remembered. None: it has ended with a seal."""
        name = self.remembered_as(lane)
        if name in memory.tails:
            return memory.tails[name]
        end = yield Call("read", "tail", world.tail, (lane.origin, lane))
        if isinstance(end, Record):
            self._learn(end, memory)
            return memory.tails.get(name)
        seal = None if lane.is_root else memory.seals.get(lane.parent)
        tail = self.tail_behind(seal) if seal and not end.sequence else end
        memory.tails[name] = tail
        return tail

    def _learn(self, newest: Record, memory: Memory) -> None:
        """Learn from a record where its lane goes on, or that it has ended."""
        lane = newest.lane
        tail = self.tail_after(newest)
        if tail is not None:
            memory.tails[self.remembered_as(lane)] = tail
            return
        memory.tails.pop(lane, None)
        memory.seals[lane] = newest

    def _records(self, parts: Sequence[tuple[Lane, Batch]], memory: Memory) -> tuple[Record, ...]:
        """Make the records of a transaction, several in one lane one after the other."""
        tails = dict(memory.tails)
        records = list[Record]()
        for lane, part in parts:
            records.append(record_at(tails[self.remembered_as(lane)], lane, part))
            tails[self.remembered_as(lane)] = records[-1].tail
        return tuple(records)

    def _put(self, world: World, region: Region, *records: Record) -> Steps:
        """Put records until there is a reply. Return a record that stands in the place of one. NoReplyError."""
        for tries_left in reversed(range(_PUTS_MAX)):
            try:
                return (yield Call("write", "put", world.put_records, (region, records)))
            except NoReplyError:
                if not tries_left:
                    raise
        raise AssertionError
