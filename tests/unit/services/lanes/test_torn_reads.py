"""Torn reads: a read may show a part of a transaction for a moment, and nothing is decided by that."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import ThrottledError
from eventfabric.model import START, Committed, ParkedChange, Region, digest_of
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.testing.memory.faults import Faults
from eventfabric.testing.memory.region import MemoryRegion, Tear
from eventfabric.wire.keys import Item
from tests.support.failing_handlers import BAD_ORDER, Failing, dead_letters, drained, fabric_of, named, retry
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE
from tests.support.recording_handler import Recorder
from tests.support.replays import replay
from tests.support.subscribed_stream import SubscribedStream

DEAD = retry(immediate=0, attempts=1)
ONLY_THE_LAST = [0]
"""Hides the first item of a transaction of a parked key and its cursor: the key is seen late."""


@contextmanager
def torn(fabric: SubscribedStream, hides: list[int], *, lasts: bool = False) -> Iterator[None]:
    """Have the transactions that are made here stay half seen: until somebody waits, or for good."""
    region = fabric.cloud.regions[HOME]
    hidden: dict[tuple[object, ...], Item | None] = {}
    table = region.table(fabric.topology.ledger.name)
    transact, sleep = region.transact, fabric.clock.sleep

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
    fabric.clock.sleep = wait  # type: ignore[method-assign]  # for what is done next


def parked_and_torn(*, lasts: bool = False) -> SubscribedStream:
    """a1 is dead; then b1 fails: its cursor is seen, and b's key not yet."""
    fabric = fabric_of(Failing({"a1": 99, "b1": 99}), *named("a1"), **DEAD)
    fabric.deliver()
    fabric.put(*named("c1"))
    fabric.put(*named("b1", "b2"))
    fabric.put(*named("c2"))
    with torn(fabric, ONLY_THE_LAST, lasts=lasts):
        fabric.deliver()
    return fabric


def taken_over(fabric: SubscribedStream) -> SubscribedStream:
    """Let AWAY take the lane over when HOME is lost, and deliver it."""
    fabric.cloud.regions[HOME].table(fabric.topology.ledger.name).hidden.clear()
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY, handler=Recorder())
    hand_over(away)
    away.deliver()
    return away


def discard(fabric: SubscribedStream) -> None:
    letters = dead_letters(fabric)
    (letter,) = [letter for letter in letters.find() if letter.parked.key == "a"]
    letters.discard(letter)


def redrive(fabric: SubscribedStream) -> None:
    letters = dead_letters(fabric)
    (letter,) = [letter for letter in letters.find() if letter.parked.key == "a"]
    letters.redrive(letter)


def replay_a(fabric: SubscribedStream) -> None:
    replay(fabric, 1, key="c")


DECISIONS = pytest.mark.parametrize("decide", [discard, redrive, replay_a])
Decide = Callable[[SubscribedStream], None]


@DECISIONS
def test_a_decision_in_the_midst_of_a_commit_loses_no_key_that_the_commit_parks(decide: Decide) -> None:
    fabric = parked_and_torn()
    decide(fabric)
    assert fabric.cursor().parked == digest_of(fabric.parked())
    away = taken_over(fabric)
    assert "b" in away.parked()
    assert [place.sequence for place in away.parked()["b"].waiting] == [2, 3]


@DECISIONS
def test_nor_does_one_that_never_gets_to_see_that_key(decide: Decide) -> None:
    fabric = parked_and_torn(lasts=True)
    before = fabric.cursor()
    decide(fabric)
    after = fabric.cursor()
    assert before.low is not None
    assert after.low is not None
    assert after.low.sequence <= 2
    away = taken_over(fabric)
    assert "b" in away.parked() or "b1" in away.recorder.ids()


def test_an_event_whose_key_is_just_being_parked_waits_behind_it() -> None:
    fabric = fabric_of(
        Failing({"a1": 1}), *named("a1"), **retry(immediate=0, attempts=4, backoff_seconds=100)
    )
    with torn(fabric, ONLY_THE_LAST):
        fabric.deliver()
    fabric.put(*named("a2", "b1"))
    fabric.deliver()
    assert fabric.recorder.ids() == ["b1"]
    drained(fabric)
    assert fabric.recorder.ids() == ["b1", "a1", "a2"]


def test_so_it_does_where_that_one_is_dead() -> None:
    fabric = fabric_of(Failing({"a1": 1}), *named("a1"), **retry(permanent=[BAD_ORDER]))
    with torn(fabric, ONLY_THE_LAST):
        fabric.deliver()
    fabric.put(*named("a2", "b1"))
    fabric.deliver()
    assert fabric.recorder.ids() == ["b1"]
    assert [place.sequence for place in fabric.parked()["a"].waiting] == [0, 1]


def test_an_event_that_a_replay_takes_out_of_its_key_is_no_more_taken_to_wait_there() -> None:
    fabric = fabric_of(Failing({"a1": 99}), *named("a1", "a2", "b1", "a3"), **DEAD)
    fabric.deliver()
    assert [place.sequence for place in fabric.parked()["a"].waiting] == [0, 1, 3]
    with torn(fabric, ONLY_THE_LAST):
        replay(fabric, 1)
    assert fabric.cursor().sequence == 1
    fabric.deliver()
    fabric.cloud.regions[HOME].table(fabric.topology.ledger.name).hidden.clear()
    fabric.deliver()
    assert [place.sequence for place in fabric.parked()["a"].waiting] == [0, 1, 3]


def test_nor_is_one_behind_a_key_that_lists_just_now_what_the_log_had_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PARKED_PLACES_MAX", 2)
    failing = Failing({"a1": 99})
    fabric = fabric_of(failing, *named("a1", "a2", "a3"), **retry(permanent=[BAD_ORDER]))
    fabric.deliver()
    assert fabric.parked()["a"].rest is not None
    failing.times = {"a3": 99}
    dead_letters(fabric).redrive(next(dead_letters(fabric).find()))
    with torn(fabric, ONLY_THE_LAST):
        fabric.deliver(tail=2**40)
    hidden = dict(fabric.cloud.regions[HOME].table(fabric.topology.ledger.name).hidden)
    assert hidden
    fabric.put(*named("a4"))
    fabric.deliver()
    fabric.cloud.regions[HOME].table(fabric.topology.ledger.name).hidden.clear()
    fabric.deliver()
    assert fabric.parked()["a"].failure.event_id == "a3"
    assert [place.sequence for place in fabric.parked()["a"].waiting] == [2, 3]


def test_no_event_of_a_key_is_handed_out_that_somebody_frees_behind_the_visits_back() -> None:
    fabric = fabric_of(Failing({"a1": 99}), *named("a1", "a2"), **DEAD)
    fabric.deliver()
    fabric.put(*named("a3"))
    table = fabric.cloud.regions[HOME].table(fabric.topology.ledger.name)
    with torn(fabric, [1]):  # the cursor is seen late
        replay(fabric, 0)
    hidden = dict(table.hidden)
    assert [key[1] for key in hidden] == [f"{HOME}/cursor"]
    with pytest.raises(ThrottledError, match="written meanwhile"):
        fabric.deliver()
    assert fabric.recorder.ids() == []
    fabric.deliver()
    assert [place.sequence for place in fabric.parked()["a"].waiting] == [0, 1, 2]


def test_a_state_that_fits_together_is_read_once_and_one_that_never_does_a_few_times() -> None:
    fabric, faults = fabric_of(Failing({"a1": 99}), *named("a1"), **DEAD), Faults()
    fabric.deliver()
    ledger = faults.ledger(fabric.ledger)
    state = whole_state(ledger, fabric.key_of(LANE), clock=fabric.clock)
    assert (state.fits(Region(HOME)), faults.count("ledger.state")) == (True, 1)
    table = fabric.cloud.regions[HOME].table(fabric.topology.ledger.name)
    parked = [item for item in table.items if "parked" in item["sk"]["S"]]
    table.write("Delete", {"Key": {"pk": parked[0]["pk"], "sk": parked[0]["sk"]}})
    began_ms = fabric.clock.now_ms()
    state = whole_state(ledger, fabric.key_of(LANE), clock=fabric.clock)
    assert not state.fits(Region(HOME))
    assert faults.count("ledger.state") == 2 + len(limits.TORN_READ_PAUSES_SECONDS)
    assert fabric.clock.now_ms() - began_ms == 1000 * sum(limits.TORN_READ_PAUSES_SECONDS)


def test_what_was_not_seen_beside_a_cursor_counts_beside_the_next() -> None:
    fabric = fabric_of(Failing({"a1": 99, "b1": 99}), *named("a1", "b1"), **DEAD)
    fabric.deliver()
    read, a, b = fabric.cursor(), fabric.parked()["a"], fabric.parked()["b"]
    freed = ParkedChange(a, None)
    assert read.beside_after(read, {a.id: a, b.id: b}, [freed]) == read.beside({b.id: b})
    unseen = read.beside_after(read, {a.id: a}, [freed])
    assert unseen.parked == digest_of({b.id: b})
    assert unseen.low == read.low
    assert START.beside_after(START, {}) == START


def test_a_read_sees_the_items_of_a_transaction_one_by_one_and_all_when_it_is_over() -> None:
    fabric = SubscribedStream()
    region: MemoryRegion = fabric.cloud.regions[HOME]
    rows = region.create_table("rows")

    def item(number: int, value: str) -> Item:
        return {"pk": {"S": "p"}, "sk": {"N": str(number)}, "v": {"S": value}}

    for number in (1, 2):
        rows.write("Put", {"Item": item(number, "old")})
    seen: list[object] = []

    def look() -> None:
        seen.append([item["v"]["S"] for item in rows.query({"S": "p"}, consistent=True)[0]])
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
    assert [item["v"]["S"] for item in rows.query({"S": "p"}, consistent=True)[0]] == ["new", "new", "new"]
    assert rows.hidden == {}


def test_a_later_commit_that_is_seen_in_parts_is_waited_for_like_the_first() -> None:
    fabric = parked_and_torn(lasts=True)
    table = fabric.cloud.regions[HOME].table(fabric.topology.ledger.name)
    pauses: list[float] = []

    def commit_at_last(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) != len(limits.TORN_READ_PAUSES_SECONDS):
            return
        table.hidden.clear()
        parked, cursor = {parked.id: parked for parked in fabric.parked().values()}, fabric.cursor()
        before = parked["k/b"]
        changes = [ParkedChange(before, replace(before, due_ms=before.due_ms + 1))]
        with torn(fabric, [1]):  # the cursor is seen late
            moved = cursor.beside_after(cursor, parked, changes)
            assert isinstance(
                fabric.ledger.commit(fabric.key_of(LANE), cursor, moved, parked=changes), Committed
            )

    fabric.clock.sleep = commit_at_last  # type: ignore[method-assign]  # what happens while it is waited
    state = whole_state(fabric.ledger, fabric.key_of(LANE), clock=fabric.clock)
    assert state.fits(HOME)
