"""Torn reads: a read may show a part of a transaction for a moment, and nothing is decided by that."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import ThrottledError
from eventfabric.model.commit import Committed
from eventfabric.model.cursor import START, digest_of
from eventfabric.model.identity import Region
from eventfabric.model.parked import ParkedChange
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.testing.memory.faults import Faults
from eventfabric.testing.memory.region import MemoryRegion, Tear
from eventfabric.wire.keys import Item
from tests.support.failing_handlers import BAD_ORDER, Failing, dead_letters, drained, named, retry, world_of
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE
from tests.support.recording_handler import Recorder
from tests.support.replays import replay
from tests.support.subscribed_stream import SubscribedStream

DEAD = retry(immediate=0, attempts=1)
ONLY_THE_LAST = [0]
"""Hides the first item of a transaction of a parked key and its cursor: the key is seen late."""


@contextmanager
def torn(world: SubscribedStream, hides: list[int], *, lasts: bool = False) -> Iterator[None]:
    """Have the transactions that are made here stay half seen: until somebody waits, or for good."""
    region = world.cloud.regions[HOME]
    hidden: dict[tuple[object, ...], Item | None] = {}
    table = region.table(world.topology.ledger.name)
    transact, sleep = region.transact, world.clock.sleep

    def torn_transact(actions: object, *, token: str) -> None:
        region.tear = Tear(lambda count: hides, lambda: hidden.update(table.hidden))
        transact(actions, token=token)  # type: ignore[arg-type]  # as it came

    def wait(seconds: float) -> None:
        if not lasts:
            table.hidden.clear()
        sleep(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(region, "transact", torn_transact)
        yield
    table.hidden.update(hidden)
    world.clock.sleep = wait  # type: ignore[method-assign]  # for what is done next


def parked_and_torn(*, lasts: bool = False) -> SubscribedStream:
    """a1 is dead; then b1 fails: its cursor is seen, and b's key not yet."""
    world = world_of(Failing({"a1": 99, "b1": 99}), *named("a1"), **DEAD)
    world.deliver()
    world.put(*named("c1"))
    world.put(*named("b1", "b2"))
    world.put(*named("c2"))
    with torn(world, ONLY_THE_LAST, lasts=lasts):
        world.deliver()
    return world


def taken_over(world: SubscribedStream) -> SubscribedStream:
    """Let AWAY take the lane over when HOME is lost, and deliver it."""
    world.cloud.regions[HOME].table(world.topology.ledger.name).hidden.clear()
    world.cloud.replicate()
    away = world.at(AWAY, handler=Recorder())
    hand_over(away)
    away.deliver()
    return away


def discard(world: SubscribedStream) -> None:
    letters = dead_letters(world)
    (letter,) = [letter for letter in letters.find() if letter.parked.key == "a"]
    letters.discard(letter)


def redrive(world: SubscribedStream) -> None:
    letters = dead_letters(world)
    (letter,) = [letter for letter in letters.find() if letter.parked.key == "a"]
    letters.redrive(letter)


def replay_a(world: SubscribedStream) -> None:
    replay(world, 1, key="c")


DECISIONS = pytest.mark.parametrize("decide", [discard, redrive, replay_a])
Decide = Callable[[SubscribedStream], None]


@DECISIONS
def test_a_decision_in_the_midst_of_a_commit_loses_no_key_that_the_commit_parks(decide: Decide) -> None:
    world = parked_and_torn()
    decide(world)
    assert world.cursor().parked == digest_of(world.parked())
    away = taken_over(world)
    assert "b" in away.parked()
    assert [place.sequence for place in away.parked()["b"].waiting] == [2, 3]


@DECISIONS
def test_nor_does_one_that_never_gets_to_see_that_key(decide: Decide) -> None:
    world = parked_and_torn(lasts=True)
    before = world.cursor()
    decide(world)
    after = world.cursor()
    assert before.low is not None
    assert after.low is not None
    assert after.low.sequence <= 2
    away = taken_over(world)
    assert "b" in away.parked() or "b1" in away.recorder.ids()


def test_an_event_whose_key_is_just_being_parked_waits_behind_it() -> None:
    world = world_of(Failing({"a1": 1}), *named("a1"), **retry(immediate=0, attempts=4, backoff_seconds=100))
    with torn(world, ONLY_THE_LAST):
        world.deliver()
    world.put(*named("a2", "b1"))
    world.deliver()
    assert world.recorder.ids() == ["b1"]
    drained(world)
    assert world.recorder.ids() == ["b1", "a1", "a2"]


def test_so_it_does_where_that_one_is_dead() -> None:
    world = world_of(Failing({"a1": 1}), *named("a1"), **retry(permanent=[BAD_ORDER]))
    with torn(world, ONLY_THE_LAST):
        world.deliver()
    world.put(*named("a2", "b1"))
    world.deliver()
    assert world.recorder.ids() == ["b1"]
    assert [place.sequence for place in world.parked()["a"].waiting] == [0, 1]


def test_an_event_that_a_replay_takes_out_of_its_key_is_no_more_taken_to_wait_there() -> None:
    world = world_of(Failing({"a1": 99}), *named("a1", "a2", "b1", "a3"), **DEAD)
    world.deliver()
    assert [place.sequence for place in world.parked()["a"].waiting] == [0, 1, 3]
    with torn(world, ONLY_THE_LAST):
        replay(world, 1)
    assert world.cursor().sequence == 1
    world.deliver()
    world.cloud.regions[HOME].table(world.topology.ledger.name).hidden.clear()
    world.deliver()
    assert [place.sequence for place in world.parked()["a"].waiting] == [0, 1, 3]


def test_nor_is_one_behind_a_key_that_lists_just_now_what_the_log_had_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PARKED_PLACES_MAX", 2)
    failing = Failing({"a1": 99})
    world = world_of(failing, *named("a1", "a2", "a3"), **retry(permanent=[BAD_ORDER]))
    world.deliver()
    assert world.parked()["a"].rest is not None
    failing.times = {"a3": 99}
    dead_letters(world).redrive(next(dead_letters(world).find()))
    with torn(world, ONLY_THE_LAST):
        world.deliver(tail=2**40)
    hidden = dict(world.cloud.regions[HOME].table(world.topology.ledger.name).hidden)
    assert hidden
    world.put(*named("a4"))
    world.deliver()
    world.cloud.regions[HOME].table(world.topology.ledger.name).hidden.clear()
    world.deliver()
    assert world.parked()["a"].failure.event_id == "a3"
    assert [place.sequence for place in world.parked()["a"].waiting] == [2, 3]


def test_no_event_of_a_key_is_handed_out_that_somebody_frees_behind_the_visits_back() -> None:
    world = world_of(Failing({"a1": 99}), *named("a1", "a2"), **DEAD)
    world.deliver()
    world.put(*named("a3"))
    table = world.cloud.regions[HOME].table(world.topology.ledger.name)
    with torn(world, [1]):  # the cursor is seen late
        replay(world, 0)
    hidden = dict(table.hidden)
    assert [key[1] for key in hidden] == [f"{HOME}/cursor"]
    with pytest.raises(ThrottledError, match="written meanwhile"):
        world.deliver()
    assert world.recorder.ids() == []
    world.deliver()
    assert [place.sequence for place in world.parked()["a"].waiting] == [0, 1, 2]


def test_a_state_that_fits_together_is_read_once_and_one_that_never_does_a_few_times() -> None:
    world, faults = world_of(Failing({"a1": 99}), *named("a1"), **DEAD), Faults()
    world.deliver()
    ledger = faults.ledger(world.ledger)
    state = whole_state(ledger, world.key_of(LANE), clock=world.clock)
    assert (state.fits(Region(HOME)), faults.count("ledger.state")) == (True, 1)
    table = world.cloud.regions[HOME].table(world.topology.ledger.name)
    parked = [item for item in table.items if "parked" in item["sk"]["S"]]
    table.write("Delete", {"Key": {"pk": parked[0]["pk"], "sk": parked[0]["sk"]}})
    began_ms = world.clock.now_ms()
    state = whole_state(ledger, world.key_of(LANE), clock=world.clock)
    assert not state.fits(Region(HOME))
    assert faults.count("ledger.state") == 2 + len(limits.TORN_READ_PAUSES_SECONDS)
    assert world.clock.now_ms() - began_ms == 1000 * sum(limits.TORN_READ_PAUSES_SECONDS)


def test_what_was_not_seen_beside_a_cursor_counts_beside_the_next() -> None:
    world = world_of(Failing({"a1": 99, "b1": 99}), *named("a1", "b1"), **DEAD)
    world.deliver()
    read, a, b = world.cursor(), world.parked()["a"], world.parked()["b"]
    freed = ParkedChange(a, None)
    assert read.beside_after(read, {a.id: a, b.id: b}, [freed]) == read.beside({b.id: b})
    unseen = read.beside_after(read, {a.id: a}, [freed])
    assert unseen.parked == digest_of({b.id: b})
    assert unseen.low == read.low
    assert START.beside_after(START, {}) == START


def test_a_read_sees_the_items_of_a_transaction_one_by_one_and_all_when_it_is_over() -> None:
    world = SubscribedStream()
    region: MemoryRegion = world.cloud.regions[HOME]
    rows = region.create_table("rows")

    def item(number: int, value: str) -> Item:
        return {"pk": {"S": "p"}, "sk": {"N": str(number)}, "v": {"S": value}}

    for number in (1, 2):
        rows.write("Put", {"Item": item(number, "old")})
    seen: list[object] = []

    def look() -> None:
        seen.append([one["v"]["S"] for one in rows.query({"S": "p"}, consistent=True)[0]])
        seen.append(rows.get({"pk": {"S": "p"}, "sk": {"N": "3"}}, consistent=True))

    region.tear = Tear(lambda count: [0, 1, 3], look)
    region.transact(
        [
            ("Put", {"TableName": "rows", "Item": item(1, "new")}),
            ("Delete", {"TableName": "rows", "Key": {"pk": {"S": "p"}, "sk": {"N": "2"}}}),
            ("Put", {"TableName": "rows", "Item": item(4, "new")}),
            ("Put", {"TableName": "rows", "Item": item(3, "new")}),
        ],
        token="t",
    )
    assert seen == [["old", "old", "new"], None]
    assert [one["v"]["S"] for one in rows.query({"S": "p"}, consistent=True)[0]] == ["new", "new", "new"]
    assert rows.hidden == {}


def test_a_later_commit_that_is_seen_in_parts_is_waited_for_like_the_first() -> None:
    world = parked_and_torn(lasts=True)
    table = world.cloud.regions[HOME].table(world.topology.ledger.name)
    pauses: list[float] = []

    def commit_at_last(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) != len(limits.TORN_READ_PAUSES_SECONDS):
            return
        table.hidden.clear()
        parked, cursor = {parked.id: parked for parked in world.parked().values()}, world.cursor()
        before = parked["k/b"]
        changes = [ParkedChange(before, replace(before, due_ms=before.due_ms + 1))]
        with torn(world, [1]):  # the cursor is seen late
            moved = cursor.beside_after(cursor, parked, changes)
            assert isinstance(
                world.ledger.commit(world.key_of(LANE), cursor, moved, parked=changes), Committed
            )

    world.clock.sleep = commit_at_last  # type: ignore[method-assign]  # what happens while it is waited
    state = whole_state(world.ledger, world.key_of(LANE), clock=world.clock)
    assert state.fits(HOME)
