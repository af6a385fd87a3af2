"""A doorbell costs the same however many dead letters lie in its lane: only the keys that concern it are read."""

from dataclasses import replace

import pytest

from eventfabric.model import (
    START,
    Parked,
    ParkedChange,
    ParkedState,
    Roster,
    after_changes,
    digest_of,
    digest_of_id,
    key_parking_id,
    packed_dead,
    unpacked_dead,
)
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
    fabric_of,
    named,
    retry,
    the_dead_letter,
    waiting,
)
from tests.support.memory_fabric import HOME, LANE, event
from tests.support.subscribed_stream import SubscribedStream

DEAD = retry(permanent=[BAD_ORDER])


def with_dead(keys: int, durability: str = "replicated") -> SubscribedStream:
    """A fabric with so many dead keys."""
    fabric = fabric_of(Failing({f"{number}": 1 for number in range(keys)}), durability=durability, **DEAD)
    for first in range(0, keys, 100):
        fabric.put(*(event(f"{number}", key=f"k{number}") for number in range(first, min(first + 100, keys))))
        fabric.deliver(time_ms=10**9)
    assert len(fabric.parked()) == keys
    return fabric


@pytest.mark.parametrize("durability", ["replicated", "quorum"])
def test_a_doorbell_reads_no_dead_key_that_does_not_concern_it(durability: str) -> None:
    fabric, faults = with_dead(1_000, durability=durability), Faults()
    fabric.put(*named("a1"))
    table = fabric.cloud.regions[HOME].table(fabric.topology.ledger_of("orders").name)
    read, query = list[int](), table.query

    def metered(*arguments: object, **options: object) -> object:
        page = query(*arguments, **options)  # type: ignore[arg-type]  # whatever the ledger asks for
        read.append(sum(map(item_bytes, page[0])))
        return page

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "query", metered)
        assert fabric.deliver(by=fabric.deliverer(faults=faults), tail=1_001).outcome is LaneOutcome.DELIVERED
    assert 0 < sum(read) < 8 * 1024  # four read units; each of the dead keys has some KB
    assert faults.count("ledger.look_up") == 0
    assert fabric.recorder.ids() == ["a1"]
    assert len(fabric.parked()) == 1_000


def test_an_event_of_a_dead_key_waits_there_with_one_key_read() -> None:
    fabric, faults = with_dead(20), Faults()
    fabric.put(event("late", key="k7"), event("other", key="k7"), event("new", key="new"))
    assert fabric.deliver(by=fabric.deliverer(faults=faults)).outcome is LaneOutcome.DELIVERED
    assert [place.sequence for place in fabric.parked()["k7"].waiting] == [7, 20, 21]
    assert faults.count("ledger.look_up") == 1
    assert fabric.recorder.ids() == ["new"]


def test_a_key_that_is_due_is_tried_and_others_stay_unread() -> None:
    fabric = fabric_of(Failing({"a1": 2, "b1": 99}), *named("a1", "b1"), **FEW)
    fabric.deliver()
    before = fabric.parked()["b"]
    fabric.clock.advance(max(0, fabric.parked()["a"].due_ms - fabric.clock.now_ms()) // 1000 + 1)
    drained(fabric)
    assert "a1" in fabric.recorder.ids()
    assert fabric.parked()["b"].first == before.first


@pytest.mark.parametrize("freed", ["k0", "k5"])
def test_a_cursor_says_exactly_what_stands_beside_it_whichever_key_is_freed(freed: str) -> None:
    fabric = with_dead(8)
    letter = next(letter for letter in dead_letters(fabric).find() if letter.parked.key == freed)
    dead_letters(fabric).redrive(letter)
    drained(fabric)
    left = {parked.id: parked for parked in fabric.parked().values()}
    assert len(left) == 7
    assert fabric.cursor().parked == digest_of(left)
    assert fabric.cursor().low == START.beside(left).low
    assert fabric.cursor().roster == Roster({}, tuple(sorted(digest_of_id(id_)[:3] for id_ in left)))


def test_one_of_two_dead_keys_that_begin_alike_is_freed_and_the_other_stays_dead() -> None:
    fabric = with_dead(1)
    parked = the_dead_letter(fabric).parked
    twins = [replace(parked, id="k/x"), replace(parked, id="k/y")]
    roster = Roster().after([ParkedChange(None, parked) for parked in [twins[0], twins[0]]])
    assert roster.count == 2
    one_left = roster.after([ParkedChange(twins[0], None)])
    assert one_left.held([digest_of_id("k/x")]) == [digest_of_id("k/x")]
    assert one_left.after([ParkedChange(twins[0], None)]).count == 0


def test_a_roster_says_when_keys_are_due_and_comes_back_from_its_item() -> None:
    fabric = with_dead(3)
    dead = list(fabric.parked().values())
    tried = replace(dead[0], state=ParkedState.RETRYING, due_ms=5)
    noted = replace(dead[1], state=ParkedState.RETRYING, due_ms=9, attempting=True)
    roster = Roster().after([ParkedChange(None, parked) for parked in (tried, noted, dead[2])])
    assert set(roster.due(4)) == {digest_of_id(noted.id)}
    assert set(roster.due(5)) == {digest_of_id(noted.id), digest_of_id(tried.id)}
    assert unpacked_dead(packed_dead(roster)) == roster.dead
    cursor = replace(fabric.cursor(), roster=roster)
    item = cursor_item.to_item(fabric.key_of(LANE), HOME, cursor, token=bytes(16), now_ms=1)
    assert cursor_item.from_item(item).roster == roster
    with pytest.raises(ValueError, match="2 bytes are no dead keys"):
        unpacked_dead(b"ab")


def test_the_digest_of_what_changed_is_that_of_all_as_they_are_then() -> None:
    fabric = with_dead(4)
    keys = {parked.id: parked for parked in fabric.parked().values()}
    changes = [ParkedChange(keys["k/k2"], None), ParkedChange(keys["k/k3"], replace(keys["k/k3"], due_ms=7))]
    after: dict[str, Parked] = after_changes(keys, changes)
    assert fabric.cursor().beside_changed(fabric.cursor(), changes) == fabric.cursor().beside(after)


def test_a_lane_whose_dead_keys_are_all_handled_is_as_one_that_never_had_any() -> None:
    fabric = with_dead(3)
    for letter in list(dead_letters(fabric).find()):
        dead_letters(fabric).redrive(letter)
    drained(fabric)
    assert (fabric.cursor().roster.count, fabric.cursor().low, fabric.cursor().parked) == (0, None, b"")
    assert sorted(fabric.recorder.ids()) == ["0", "1", "2"]


def test_a_key_that_no_cursor_names_is_found_where_one_of_its_events_is_to_be_parked() -> None:
    """Without transactions, a process that stood still and then died may leave one."""
    fabric = fabric_of(Failing({"a2": 1}), *named("a1"), durability="quorum", **DEAD)
    fabric.deliver(tail=1)
    forgotten = replace(the_dead_letter(with_dead(1)).parked, id=key_parking_id("a"), key="a")
    item = parked_item.to_item(fabric.key_of(LANE), HOME, forgotten, token=bytes(16))
    fabric.cloud.regions[HOME].table(fabric.topology.ledger_of("orders").name).write("Put", {"Item": item})
    fabric.put(*named("b1"))
    assert fabric.deliver(tail=2).outcome is LaneOutcome.DELIVERED
    assert waiting(fabric, "a") == [0]
    fabric.put(*named("a2"))
    assert fabric.deliver(tail=3).outcome is LaneOutcome.DELIVERED
    assert waiting(fabric, "a") == [0, 2]
    assert fabric.cursor().sequence == 3
    assert fabric.recorder.ids() == ["a1", "b1"]


@pytest.mark.parametrize("verb", ["redrive", "discard"])
def test_a_decision_about_each_of_many_dead_letters_of_a_lane_reads_the_lane_once(verb: str) -> None:
    fabric, faults = with_dead(40), Faults()
    letters = letters_of(fabric, faults)
    dead_letters = sorted(letters.find(), key=lambda letter: letter.parked.first.sequence, reverse=True)
    before = faults.count("ledger.state")
    for letter in dead_letters:
        getattr(letters, verb)(letter)
    assert faults.count("ledger.look_up") == len(dead_letters) - 1
    assert faults.count("ledger.state") - before == len(dead_letters) + 1  # each the cursor, and once all
    left = {parked.id: parked for parked in fabric.parked().values()}
    assert len(left) == (len(dead_letters) if verb == "redrive" else 0)
    assert fabric.cursor() == fabric.cursor().beside(left)
