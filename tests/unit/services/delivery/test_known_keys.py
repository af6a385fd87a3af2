"""A doorbell costs the same however many dead letters lie in its lane: only the keys that concern it are read."""

from dataclasses import replace

import pytest

from eventfabric.model.cursor import START, digest_of
from eventfabric.model.parked import Parked, ParkedChange, ParkedState, after_changes, key_parking_id
from eventfabric.model.roster import Roster, digest_of_id, packed_dead, unpacked_dead
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.testing.memory.faults import Faults
from eventfabric.wire import cursor_item, parked_item
from eventfabric.wire.item_size import item_bytes
from tests.support.dead_letters import letters_of
from tests.support.failing_handlers import (
    BAD_ORDER,
    FEW,
    Failing,
    dead_letters,
    drained,
    named,
    retry,
    the_dead_letter,
    waiting,
    world_of,
)
from tests.support.memory_fabric import HOME, LANE, event
from tests.support.subscribed_stream import SubscribedStream

DEAD = retry(permanent=[BAD_ORDER])


def with_dead(keys: int, durability: str = "replicated") -> SubscribedStream:
    """A world with so many dead keys."""
    world = world_of(Failing({f"{number}": 1 for number in range(keys)}), durability=durability, **DEAD)
    for first in range(0, keys, 100):
        world.put(*(event(f"{number}", key=f"k{number}") for number in range(first, min(first + 100, keys))))
        world.deliver(time_ms=10**9)
    assert len(world.parked()) == keys
    return world


@pytest.mark.parametrize("durability", ["replicated", "quorum"])
def test_a_doorbell_reads_no_dead_key_that_does_not_concern_it(durability: str) -> None:
    world, faults = with_dead(1_000, durability=durability), Faults()
    world.put(*named("a1"))
    table = world.cloud.regions[HOME].table(world.topology.ledger_of("orders").name)
    read, query = list[int](), table.query

    def metered(*arguments: object, **options: object) -> object:
        found = query(*arguments, **options)  # type: ignore[arg-type]  # whatever the ledger asks for
        read.append(sum(map(item_bytes, found[0])))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "query", metered)
        assert world.deliver(by=world.deliverer(faults=faults), tail=1_001).outcome is LaneOutcome.DELIVERED
    assert 0 < sum(read) < 8 * 1024  # four read units; each of the dead keys has some KB
    assert faults.count("ledger.look_up") == 0
    assert world.recorder.ids() == ["a1"]
    assert len(world.parked()) == 1_000


def test_an_event_of_a_dead_key_waits_there_with_one_key_read() -> None:
    world, faults = with_dead(20), Faults()
    world.put(event("late", key="k7"), event("other", key="k7"), event("new", key="new"))
    assert world.deliver(by=world.deliverer(faults=faults)).outcome is LaneOutcome.DELIVERED
    assert [place.sequence for place in world.parked()["k7"].waiting] == [7, 20, 21]
    assert faults.count("ledger.look_up") == 1
    assert world.recorder.ids() == ["new"]


def test_a_key_that_is_due_is_tried_and_others_stay_unread() -> None:
    world = world_of(Failing({"a1": 2, "b1": 99}), *named("a1", "b1"), **FEW)
    world.deliver()
    before = world.parked()["b"]
    world.clock.advance(max(0, world.parked()["a"].due_ms - world.clock.now_ms()) // 1000 + 1)
    drained(world)
    assert "a1" in world.recorder.ids()
    assert world.parked()["b"].first == before.first


@pytest.mark.parametrize("freed", ["k0", "k5"])
def test_a_cursor_says_exactly_what_stands_beside_it_whichever_key_is_freed(freed: str) -> None:
    world = with_dead(8)
    letter = next(letter for letter in dead_letters(world).find() if letter.parked.key == freed)
    dead_letters(world).redrive(letter)
    drained(world)
    left = {parked.id: parked for parked in world.parked().values()}
    assert len(left) == 7
    assert world.cursor().parked == digest_of(left)
    assert world.cursor().low == START.beside(left).low
    assert world.cursor().roster == Roster({}, tuple(sorted(digest_of_id(one)[:3] for one in left)))


def test_one_of_two_dead_keys_that_begin_alike_is_freed_and_the_other_stays_dead() -> None:
    world = with_dead(1)
    parked = the_dead_letter(world).parked
    twins = [replace(parked, id="k/x"), replace(parked, id="k/y")]
    roster = Roster().after([ParkedChange(None, parked) for parked in [twins[0], twins[0]]])
    assert roster.count == 2
    one_left = roster.after([ParkedChange(twins[0], None)])
    assert one_left.held([digest_of_id("k/x")]) == [digest_of_id("k/x")]
    assert one_left.after([ParkedChange(twins[0], None)]).count == 0


def test_a_roster_says_when_keys_are_due_and_comes_back_from_its_item() -> None:
    world = with_dead(3)
    dead = list(world.parked().values())
    tried = replace(dead[0], state=ParkedState.RETRYING, due_ms=5)
    noted = replace(dead[1], state=ParkedState.RETRYING, due_ms=9, attempting=True)
    roster = Roster().after([ParkedChange(None, parked) for parked in (tried, noted, dead[2])])
    assert set(roster.due(4)) == {digest_of_id(noted.id)}
    assert set(roster.due(5)) == {digest_of_id(noted.id), digest_of_id(tried.id)}
    assert unpacked_dead(packed_dead(roster)) == roster.dead
    cursor = replace(world.cursor(), roster=roster)
    item = cursor_item.to_item(world.key_of(LANE), HOME, cursor, token=bytes(16), now_ms=1)
    assert cursor_item.from_item(item).roster == roster
    with pytest.raises(ValueError, match="2 bytes are no dead keys"):
        unpacked_dead(b"ab")


def test_the_digest_of_what_changed_is_that_of_all_as_they_are_then() -> None:
    world = with_dead(4)
    keys = {parked.id: parked for parked in world.parked().values()}
    changes = [ParkedChange(keys["k/k2"], None), ParkedChange(keys["k/k3"], replace(keys["k/k3"], due_ms=7))]
    after: dict[str, Parked] = after_changes(keys, changes)
    assert world.cursor().beside_changed(world.cursor(), changes) == world.cursor().beside(after)


def test_a_lane_whose_dead_keys_are_all_handled_is_as_one_that_never_had_any() -> None:
    world = with_dead(3)
    for letter in list(dead_letters(world).find()):
        dead_letters(world).redrive(letter)
    drained(world)
    assert (world.cursor().roster.count, world.cursor().low, world.cursor().parked) == (0, None, b"")
    assert sorted(world.recorder.ids()) == ["0", "1", "2"]


def test_a_key_that_no_cursor_names_is_found_where_one_of_its_events_is_to_be_parked() -> None:
    """Without transactions, a process that stood still and then died may leave one."""
    world = world_of(Failing({"a2": 1}), *named("a1"), durability="quorum", **DEAD)
    world.deliver(tail=1)
    forgotten = replace(the_dead_letter(with_dead(1)).parked, id=key_parking_id("a"), key="a")
    item = parked_item.to_item(world.key_of(LANE), HOME, forgotten, token=bytes(16))
    world.cloud.regions[HOME].table(world.topology.ledger_of("orders").name).write("Put", {"Item": item})
    world.put(*named("b1"))
    assert world.deliver(tail=2).outcome is LaneOutcome.DELIVERED
    assert waiting(world, "a") == [0]
    world.put(*named("a2"))
    assert world.deliver(tail=3).outcome is LaneOutcome.DELIVERED
    assert waiting(world, "a") == [0, 2]
    assert world.cursor().sequence == 3
    assert world.recorder.ids() == ["a1", "b1"]


@pytest.mark.parametrize("verb", ["redrive", "discard"])
def test_a_decision_about_each_of_many_dead_letters_of_a_lane_reads_the_lane_once(verb: str) -> None:
    world, faults = with_dead(40), Faults()
    letters = letters_of(world, faults)
    dead_letters = sorted(letters.find(), key=lambda one: one.parked.first.sequence, reverse=True)
    before = faults.count("ledger.state")
    for letter in dead_letters:
        getattr(letters, verb)(letter)
    assert faults.count("ledger.look_up") == len(dead_letters) - 1
    assert faults.count("ledger.state") - before == len(dead_letters) + 1  # each the cursor, and once all
    left = {parked.id: parked for parked in world.parked().values()}
    assert len(left) == (len(dead_letters) if verb == "redrive" else 0)
    assert world.cursor() == world.cursor().beside(left)
