"""The promises of ports.Ledger about parked keys, decisions and circuits, with and without transactions."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import OutcomeUnknownError
from eventfabric.model import (
    START,
    Chain,
    Circuit,
    CircuitState,
    Committed,
    Cursor,
    Failure,
    LaneIndex,
    Mark,
    Marks,
    Owner,
    Parked,
    ParkedChange,
    ParkedState,
    Place,
    RaceLost,
    Roster,
    SequenceNumber,
    Settled,
    StreamName,
    SubscriptionName,
    after_changes,
    digest_of_id,
    part_of,
)
from eventfabric.model.pass_progress import PassProgress, PassTally, SubscriptionTally
from eventfabric.ports import Ledger
from eventfabric.wire import settled_item
from eventfabric.wire.keys import settled_key
from eventfabric.wire.progress_item import to_item
from tests.contract.test_ledger_contract import KEY, cursor_at, own, put
from tests.support.backends import AWAY, HOME, LEDGER_TABLE, Backend

FAILURE = Failure(
    "builtins:ValueError", "no\n☃", "trace", "hint", 3, 1, 5, 9, "7", "00-1", event_id="e", event_type="t"
)
PARKED = Parked(
    id="k/straße/1",
    key="straße/1",
    state=ParkedState.RETRYING,
    waiting=(
        Place(SequenceNumber(0), SequenceNumber(2)),
        Place(SequenceNumber(2**40), SequenceNumber(2**40 + 7)),
    ),
    due_ms=1_790_000_000_123,
    failure=FAILURE,
)
CIRCUIT = StreamName("orders"), SubscriptionName("billing")


@pytest.fixture(params=["transactions", "in order"])
def ledger(request: pytest.FixtureRequest, backend: Backend) -> Ledger:
    return backend.another_ledger(frozenset({"orders"} if request.param == "in order" else ()))


def parked(ledger: Ledger) -> dict[str, Parked]:
    return ledger.state(KEY).parked.get(HOME, {})


def commit(ledger: Ledger, read: Cursor, *changes: tuple[Parked | None, Parked | None]) -> Cursor:
    """Commit the changes; the cursor stays."""
    outcome = ledger.commit(KEY, read, replace(read), parked=[ParkedChange(*change) for change in changes])
    assert isinstance(outcome, Committed)
    return outcome.cursor


@pytest.mark.parametrize(
    "as_parked",
    [
        PARKED,
        replace(PARKED, attempting=True, replacement=b"\x00edited", due_ms=0),
        replace(PARKED, state=ParkedState.DEAD, id="s/2", key="k" * 1024),
    ],
    ids=["retrying", "attempting an edited event", "dead"],
)
def test_a_parked_key_comes_back_as_it_was(ledger: Ledger, as_parked: Parked) -> None:
    commit(ledger, START, (None, as_parked))
    assert parked(ledger) == {as_parked.id: replace(as_parked, version=1)}


def test_a_parked_key_changes_by_its_version_and_is_free_in_the_end(ledger: Ledger) -> None:
    cursor = commit(ledger, START, (None, PARKED))
    first = parked(ledger)[PARKED.id]
    cursor = commit(
        ledger, cursor, (first, first.joined_by(Place(SequenceNumber(2**41), SequenceNumber(2**41))))
    )
    second = parked(ledger)[PARKED.id]
    assert (len(second.waiting), second.version) == (3, 2)
    commit(ledger, cursor, (second, None))
    assert parked(ledger) == {}


@pytest.mark.parametrize("after", [PARKED, None])
def test_a_parked_key_that_somebody_changed_loses_the_race(ledger: Ledger, after: Parked | None) -> None:
    cursor = commit(ledger, START, (None, PARKED))
    first = parked(ledger)[PARKED.id]
    commit(ledger, cursor, (first, replace(first, due_ms=1)))
    now = ledger.state(KEY)
    for change in (ParkedChange(first, after), ParkedChange(None, PARKED)):
        read = ledger.state(KEY).cursor(HOME)
        assert ledger.commit(KEY, read, cursor_at(9), parked=[change]) == RaceLost()
    assert parked(ledger) == now.parked[HOME]
    left = ledger.state(KEY).cursor(HOME)
    assert replace(left, version=0) == replace(now.cursor(HOME), version=0)
    assert left.roster == now.cursor(HOME).roster


def test_a_cursor_that_somebody_moved_loses_the_race_with_its_parked_keys(backend: Backend) -> None:
    commit(backend.ledger, START)
    assert backend.ledger.commit(KEY, START, cursor_at(9), parked=[ParkedChange(None, PARKED)]) == RaceLost()
    assert parked(backend.ledger) == {}


def test_without_transactions_whoever_lost_the_race_for_the_cursor_writes_no_parked_key(
    backend: Backend,
) -> None:
    ledger = backend.another_ledger(frozenset({"orders"}))
    commit(ledger, START)
    assert ledger.commit(KEY, START, cursor_at(9), parked=[ParkedChange(None, PARKED)]) == RaceLost()
    assert ledger.state(KEY).cursor(HOME).sequence == 0
    assert parked(ledger) == {}


def test_without_transactions_a_commit_that_ended_in_the_middle_leaves_events_that_wait_and_come_again(
    backend: Backend,
) -> None:
    ledger = backend.another_ledger(frozenset({"orders"}))
    other = replace(PARKED, id="k/other", key="other")
    changes = [ParkedChange(None, PARKED), ParkedChange(replace(other, version=7), other)]
    assert ledger.commit(KEY, START, cursor_at(9), parked=changes) == RaceLost()
    glance = ledger.state(KEY, glance=True)
    assert glance.is_whole
    assert glance.cursor(HOME).sequence == 0
    assert list(glance.parked[HOME]) == [PARKED.id]
    assert glance.cursor(HOME).roster == Roster.of([PARKED])
    read = glance.cursor(HOME)
    assert isinstance(ledger.commit(KEY, read, read.beside(glance.parked[HOME])), Committed)
    assert ledger.state(KEY, glance=True).cursor(HOME).roster == Roster.of([PARKED])


def test_without_transactions_a_decision_stands_before_its_key_changes_and_goes_where_that_loses(
    backend: Backend,
) -> None:
    ledger = backend.another_ledger(frozenset({"orders"}))
    cursor = commit(ledger, START, (None, PARKED))
    stands = parked(ledger)[PARKED.id]
    note = Settled(SequenceNumber(2), "discarded", FAILURE, 17, "somebody")
    gone = ParkedChange(replace(stands, version=stands.version + 7), None)
    assert ledger.commit(KEY, cursor, cursor, parked=[gone], settled=[note]) == RaceLost()
    assert list(ledger.settled(KEY)) == []
    cursor = ledger.state(KEY).cursor(HOME)
    commits = ledger.commit(KEY, cursor, cursor, parked=[ParkedChange(stands, None)], settled=[note])
    assert isinstance(commits, Committed)
    assert (list(ledger.settled(KEY)), parked(ledger)) == ([note], {})


def test_parked_keys_and_writes_commit_together(backend: Backend) -> None:
    change = ParkedChange(None, PARKED)
    assert isinstance(
        backend.ledger.commit(KEY, START, cursor_at(3), parked=[change], writes=[put("a")]), Committed
    )
    assert own(backend, "a")
    assert backend.ledger.commit(KEY, START, cursor_at(4), parked=[change], writes=[put("b")]) == RaceLost()
    assert own(backend, "b") is None


@pytest.mark.parametrize("lost", [1, 2])
def test_a_commit_whose_reply_was_lost_is_recognised_as_its_own(
    backend: Backend, ledger: Ledger, lost: int
) -> None:
    backend.lose_replies(lost)
    outcome = ledger.commit(KEY, START, cursor_at(3), parked=[ParkedChange(None, PARKED)])
    assert isinstance(outcome, Committed)
    assert ledger.state(KEY).cursor(HOME) == outcome.cursor
    assert list(parked(ledger)) == [PARKED.id]


def test_a_commit_without_any_reply_says_so(backend: Backend) -> None:
    backend.lose_replies(3)
    with pytest.raises(OutcomeUnknownError):
        backend.ledger.commit(KEY, START, cursor_at(3), parked=[ParkedChange(None, PARKED)])
    assert list(parked(backend.ledger)) == [PARKED.id]


def test_a_decision_stays_on_record_and_out_of_the_state(backend: Backend, ledger: Ledger) -> None:
    settled = Settled(SequenceNumber(2), "discarded", FAILURE, 17, "somebody", b"copy")
    assert isinstance(ledger.commit(KEY, START, START, settled=[settled]), Committed)
    item = backend.get(LEDGER_TABLE, settled_key(KEY, HOME, SequenceNumber(2)))
    assert item is not None
    assert settled_item.from_item(item) == settled
    assert list(ledger.settled(KEY)) == [settled]
    assert parked(ledger) == {}


def test_decisions_are_read_of_all_regions_or_of_one_however_many_there_are(backend: Backend) -> None:
    many = [
        Settled(SequenceNumber(number), "edited", FAILURE, number, replacement=bytes(150_000))
        for number in range(9)
    ]
    cursor = START
    for decision in many:
        outcome = backend.ledger.commit(KEY, cursor, cursor, settled=[decision])
        assert isinstance(outcome, Committed)
        cursor = outcome.cursor
    theirs = Settled(SequenceNumber(4), "discarded", FAILURE, 17, "somebody")
    backend.put(LEDGER_TABLE, settled_item.to_item(KEY, AWAY, theirs))
    assert list(backend.ledger.settled(KEY, by=HOME)) == many
    assert list(backend.ledger.settled(KEY, by=AWAY)) == [theirs]
    assert sorted(decision.at_ms for decision in backend.ledger.settled(KEY)) == [*range(9), 17]


def test_a_lane_with_more_state_than_a_page_is_read_whole(backend: Backend) -> None:
    many = [
        replace(
            PARKED, id=f"k/{number}", key=f"{number}", replacement=bytes(150_000), waiting=PARKED.waiting[:1]
        )
        for number in range(9)
    ]
    cursor = START
    for parked in many:
        cursor = commit(backend.ledger, cursor, (None, parked))
    state = backend.ledger.state(KEY)
    assert set(state.parked[HOME]) == {parked.id for parked in many}
    assert state.cursor(HOME) == cursor


def test_a_circuit_is_closed_until_somebody_switches_it_and_only_one_does(backend: Backend) -> None:
    ledger = backend.ledger
    closed = ledger.standing(*CIRCUIT).circuit
    assert closed == Circuit()
    open_ = Circuit(CircuitState.OPEN, "5 keys failed", 1, 2, 3, 4, rings_owed=True)
    stands = ledger.switch(*CIRCUIT, closed, open_)
    assert stands == replace(open_, version=1) == backend.another_ledger().standing(*CIRCUIT).circuit
    assert ledger.switch(*CIRCUIT, closed, Circuit(CircuitState.PAUSED)) is None
    assert stands is not None
    assert ledger.switch(*CIRCUIT, stands, Circuit()) == Circuit(version=2)


def test_a_switch_whose_reply_was_lost_is_recognised_as_its_own(backend: Backend) -> None:
    backend.lose_replies(1)
    assert backend.ledger.switch(*CIRCUIT, Circuit(), Circuit(CircuitState.PAUSED, "why")) is not None


def test_handovers_of_all_regions_are_seen_and_each_region_replaces_its_own(backend: Backend) -> None:
    ledger, away = backend.another_ledger(), backend.another_ledger().acting_for(AWAY)
    to_away = Owner(HOME, AWAY, 1, AWAY, since_ms=5, reason="storm ☃")
    written = away.hand_over(*CIRCUIT, None, to_away)
    assert written == replace(to_away, version=1)
    assert away.hand_over(*CIRCUIT, None, replace(to_away, since_ms=6)) is None
    back = ledger.hand_over(*CIRCUIT, None, Owner(HOME, HOME, 2, HOME))
    again = away.hand_over(*CIRCUIT, written, replace(to_away, epoch=3))
    ledger.switch(*CIRCUIT, Circuit(), replace(Circuit(), reason="mine"))
    standing = ledger.standing(*CIRCUIT)
    assert set(standing.owners) == {back, again}
    assert (standing.owner(HOME), standing.owner(AWAY)) == (again, None)
    assert standing.written(HOME, HOME) == back
    assert standing.circuit.reason == "mine"
    assert away.standing(*CIRCUIT).circuit == Circuit()


def test_a_handover_whose_reply_was_lost_is_known_as_its_own(backend: Backend) -> None:
    backend.lose_replies(1)
    owner = Owner(HOME, AWAY, 1, HOME)
    assert backend.ledger.hand_over(*CIRCUIT, None, owner) == replace(owner, version=1)


@pytest.mark.parametrize(
    "low", [None, Place(SequenceNumber(3), SequenceNumber(30))], ids=["none parked", "parked"]
)
def test_a_cursor_keeps_what_it_says_of_the_parked_keys_beside_it(ledger: Ledger, low: Place | None) -> None:
    moved = replace(cursor_at(40), low=low, parked=b"digest" if low else b"")
    outcome = ledger.commit(KEY, START, moved)
    assert isinstance(outcome, Committed)
    assert ledger.state(KEY).cursors == {HOME: outcome.cursor}
    assert (outcome.cursor.low, outcome.cursor.parked) == (moved.low, moved.parked)


def test_a_lane_is_read_without_its_parked_keys_and_they_are_looked_up(ledger: Ledger) -> None:
    other = replace(PARKED, id="k/other", key="other", state=ParkedState.DEAD)
    changes = [ParkedChange(None, PARKED), ParkedChange(None, other)]
    outcome = ledger.commit(KEY, START, cursor_at(4).beside(after_changes({}, changes)), parked=changes)
    assert isinstance(outcome, Committed)
    glance = ledger.state(KEY, glance=True)
    assert (glance.parked, glance.is_whole, glance.cursors) == ({}, False, {HOME: outcome.cursor})
    roster = glance.cursor(HOME).roster
    assert roster.count == 2
    sought = [digest_of_id(id_) for id_ in (PARKED.id, other.id, "k/none")]
    whole = ledger.state(KEY)
    assert whole.cursor(HOME).roster == roster
    assert {parked.id: parked for parked in ledger.look_up(KEY, sought)} == whole.parked[HOME]
    assert whole.is_whole
    assert ledger.acting_for(AWAY).look_up(KEY, sought) == []


def test_marks_come_back_as_they_were_and_the_slower_of_two_passes_writes_nothing(backend: Backend) -> None:
    stream = CIRCUIT[0]
    assert backend.ledger.marks(stream, AWAY) == Marks()
    mark = Mark(
        SequenceNumber(9), Chain(b"c" * 16), SequenceNumber(4), 1_790_000_000_000, {"billing": (1, 7)}
    )
    marks = Marks({LaneIndex(0): mark, LaneIndex(63): Mark(SequenceNumber(2**40))})
    assert backend.ledger.mark(stream, AWAY, Marks(), marks)
    stored = backend.ledger.marks(stream, AWAY)
    assert stored == replace(marks, versions={"0000": 1, "0000/billing": 1})
    assert backend.ledger.marks(stream, HOME) == Marks()
    assert not backend.ledger.mark(stream, AWAY, Marks(), Marks({LaneIndex(0): Mark(SequenceNumber(1))}))
    backend.lose_replies(1)
    assert backend.ledger.mark(stream, AWAY, stored, Marks({LaneIndex(1): mark}))
    assert backend.ledger.marks(stream, AWAY).lanes == {LaneIndex(1): mark}


def test_a_part_of_the_marks_is_written_only_where_it_changed(backend: Backend) -> None:
    stream, last = CIRCUIT[0], LaneIndex(limits.LANES_MAX - 1)
    mark = Mark(SequenceNumber(9), Chain(b"c" * 16), cursors={"audit": (1, 7), "billing": (1, 7)})
    assert backend.ledger.mark(stream, AWAY, Marks(), Marks({LaneIndex(0): mark, last: mark}))
    stored = backend.ledger.marks(stream, AWAY)
    moved = replace(mark, cursors={"audit": (1, 7), "billing": (1, 8)})
    assert backend.ledger.mark(stream, AWAY, stored, Marks({LaneIndex(0): mark, last: moved}))
    after = backend.ledger.marks(stream, AWAY)
    assert after.lanes == {LaneIndex(0): mark, last: moved}
    changed = {part for part, version in after.versions.items() if version != stored.versions[part]}
    assert changed == {"0007/billing"}


def test_one_part_of_the_marks_is_read_with_its_cursors(backend: Backend) -> None:
    stream, last = CIRCUIT[0], LaneIndex(limits.LANES_MAX - 1)
    mark = Mark(SequenceNumber(9), Chain(b"c" * 16), cursors={"audit": (1, 7), "billing": (1, 7)})
    assert backend.ledger.mark(stream, AWAY, Marks(), Marks({LaneIndex(0): mark, last: mark}))
    whole, part = backend.ledger.marks(stream, AWAY), backend.ledger.marks(stream, AWAY, part=part_of(last))
    assert part.lanes == {last: mark}
    assert part.versions == {name: version for name, version in whole.versions.items() if name[:4] == "0007"}
    moved = replace(mark, sequence=SequenceNumber(10))
    assert backend.ledger.mark(stream, AWAY, part, Marks({last: moved}))
    assert backend.ledger.marks(stream, AWAY).lanes == {LaneIndex(0): mark, last: moved}


def test_progress_of_a_pass_comes_back_and_the_slower_of_two_notes_nothing(backend: Backend) -> None:
    stream, ledger = CIRCUIT[0], backend.ledger
    assert ledger.progress(stream) == PassProgress()
    tally = PassTally({"billing": SubscriptionTally(1_790_000_000_000, 1, 2)}, {"LanesBehind": 3}, 5, 7)
    first = PassProgress(
        "us-east-1/0003", is_full=True, began_ms=3, before_ms=1, until_ms=2, is_broken=True, tally=tally
    )
    noted = ledger.note_pass(stream, PassProgress(), first)
    assert noted == replace(first, version=1) == ledger.progress(stream)
    assert ledger.note_pass(stream, PassProgress(), PassProgress("eu-west-1/0000")) is None
    backend.lose_replies(1)
    assert ledger.note_pass(stream, noted, PassProgress()) == PassProgress(version=2)
    assert ledger.progress(stream) == PassProgress(version=2)
    assert ledger.marks(stream, HOME) == Marks(), "progress is no part of the marks"


def test_progress_that_cannot_be_read_is_none_and_is_written_anew(backend: Backend) -> None:
    stream, ledger = CIRCUIT[0], backend.ledger
    noted = ledger.note_pass(stream, PassProgress(), PassProgress("us-east-1/0003"))
    assert noted is not None
    item = to_item(stream, HOME, noted)
    backend.put(LEDGER_TABLE, {**item, "m": {"B": b"spoilt"}})
    spoilt = ledger.progress(stream)
    assert spoilt == PassProgress(version=None)
    assert ledger.note_pass(stream, spoilt, noted) == replace(noted, version=1)


def test_a_subscription_that_is_gone_from_the_marks_stays_away(backend: Backend) -> None:
    stream, index = CIRCUIT[0], LaneIndex(0)
    mark = Mark(SequenceNumber(9), cursors={"audit": (1, 7), "billing": (1, 7)})
    assert backend.ledger.mark(stream, HOME, Marks(), Marks({index: mark}))
    stored, alone = backend.ledger.marks(stream, HOME), replace(mark, cursors={"audit": (1, 7)})
    assert backend.ledger.mark(stream, HOME, stored, Marks({index: alone}))
    assert backend.ledger.marks(stream, HOME).lanes == {index: alone}


def test_a_region_notes_when_it_asked_the_others(backend: Backend) -> None:
    assert backend.ledger.standing(*CIRCUIT).seen_ms == 0
    backend.ledger.see(*CIRCUIT)
    backend.clock.advance(5)
    backend.ledger.see(*CIRCUIT)
    assert backend.ledger.standing(*CIRCUIT).seen_ms == backend.clock.now_ms()
    assert backend.ledger.acting_for(AWAY).standing(*CIRCUIT).seen_ms == 0
