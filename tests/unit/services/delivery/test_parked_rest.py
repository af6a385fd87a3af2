"""A parked key with more waiting events than it lists: the log has the others, and they come in order."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.model import Parked, ParkedState, Place, Rest, SequenceNumber
from eventfabric.model.proof import ExceptionKind
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.wire import parked_item
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.keys import record_key
from tests.support.failing_handlers import (
    BAD_ORDER,
    Failing,
    dead_letters,
    drained,
    fabric_of,
    named,
    retry,
    the_dead_letter,
    waiting,
)
from tests.support.memory_fabric import LANE, event
from tests.support.replays import replay
from tests.support.subscribed_stream import SubscribedStream, topology
from tests.support.tampered_logs import log_table, proof

DEAD = retry(permanent=[BAD_ORDER])


_LATEST_MS, _LAST = limits.MILLISECONDS_MAX, limits.SEQUENCE_MAX


@pytest.fixture(autouse=True)
def _few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PARKED_PLACES_MAX", 2)


def dead_with(behind: int, **settings: Any) -> SubscribedStream:
    """A fabric with a dead letter of key a, and events of keys a and b behind it."""
    fabric = fabric_of(Failing({"a0": 1}), **{**DEAD, **settings})
    for number in range(behind + 1):
        fabric.put(*named(f"a{number}", f"b{number}"))
    fabric.deliver()
    return fabric


def of_key_a(fabric: SubscribedStream) -> list[str]:
    return [id_ for id_ in fabric.recorder.ids() if id_[0] == "a"]


@pytest.mark.parametrize("behind", [1, 2, 3, 4, 5, 9])
def test_all_that_waits_comes_in_order_once_the_dead_letter_is_redriven(behind: int) -> None:
    fabric = dead_with(behind)
    assert fabric.cursor().sequence == 2 * behind + 2
    assert len(waiting(fabric, "a")) == 2
    dead_letters(fabric).redrive(the_dead_letter(fabric))
    fabric.put(*named("a99"))
    drained(fabric)
    assert of_key_a(fabric) == [*(f"a{number}" for number in range(behind + 1)), "a99"]
    assert fabric.parked() == {}


def test_events_that_come_to_wait_unlisted_change_nothing_that_is_stored() -> None:
    fabric = dead_with(3)
    before = fabric.parked()["a"]
    fabric.clock.advance(limits.TORN_READ_DOUBT_SECONDS)
    fabric.put(*named("a7", "a8"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.parked()["a"] == before


def test_they_write_their_key_once_a_visit_where_the_cursor_is_so_new_that_it_may_be_ahead_of_the_key() -> (
    None
):
    fabric = dead_with(3)
    before = fabric.parked()["a"]
    fabric.put(*named("a7", "a8"))
    fabric.put(*named("a9"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.parked()["a"] == replace(before, version=before.version + 1)


def test_what_the_subscription_does_not_want_is_not_handed_out() -> None:
    fabric = fabric_of(Failing({"a0": 1}), types=["paid"], **DEAD)
    for number in range(6):
        fabric.put(event(f"a{number}", key="a", type="paid" if number % 2 == 0 else "sent"))
    fabric.deliver()
    dead_letters(fabric).redrive(the_dead_letter(fabric))
    drained(fabric)
    assert of_key_a(fabric) == ["a0", "a2", "a4"]


def test_one_visit_reads_a_bounded_part_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    fabric = fabric_of(Failing({"a0": 1}), **DEAD)
    fabric.put(*named("a0", "a1", "a2"))
    for number in range(9):
        fabric.put(*named(f"b{number}"))
    fabric.put(*named("a9"))
    fabric.deliver()
    monkeypatch.setattr(limits, "WAITING_RECORDS_MAX", 2)
    dead_letters(fabric).redrive(the_dead_letter(fabric))
    fabric.put(*named("c1"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    parked = fabric.parked()["a"]
    assert (parked.waiting, parked.state) == ((), ParkedState.RETRYING)
    assert of_key_a(fabric) == ["a0", "a1", "a2"]
    assert "c1" in fabric.recorder.ids()
    drained(fabric)
    assert (of_key_a(fabric), fabric.parked()) == (["a0", "a1", "a2", "a9"], {})


def test_what_expired_unlisted_is_one_dead_letter_and_what_is_behind_it_comes() -> None:
    fabric = dead_with(5)
    for sequence in (4, 6):
        log_table(fabric).write("Delete", {"Key": record_key(LANE, sequence)})
    dead_letters(fabric).redrive(the_dead_letter(fabric))
    drained(fabric)
    letter = the_dead_letter(fabric)
    assert (letter.parked.failure.error_type, letter.parked.first.sequence) == ("RecordExpired", 4)
    dead_letters(fabric).discard(letter)
    drained(fabric)
    assert (of_key_a(fabric), fabric.parked()) == (["a0", "a1", "a4", "a5"], {})


def test_a_replay_behind_what_waits_unlisted_repeats_nothing_twice() -> None:
    fabric = dead_with(5)
    replay(fabric, 8)
    drained(fabric)
    assert (waiting(fabric, "a"), fabric.parked()["a"].first.sequence) == ([0, 2], 0)
    dead_letters(fabric).redrive(the_dead_letter(fabric))
    drained(fabric)
    assert of_key_a(fabric) == [f"a{number}" for number in range(6)]
    assert [pair for pair in fabric.recorder.handled() if pair[0] == "a5"] == [("a5", True)]


def test_a_replay_before_what_waits_unlisted_has_it_come_again_with_the_cursor() -> None:
    fabric = dead_with(5)
    replay(fabric, 2)
    assert (waiting(fabric, "a"), fabric.parked()["a"].rest) == ([0], None)
    drained(fabric)
    dead_letters(fabric).redrive(the_dead_letter(fabric))
    drained(fabric)
    assert of_key_a(fabric) == [f"a{number}" for number in range(6)]


def test_a_proof_excepts_what_waits_unlisted_and_what_was_dropped_with_its_dead_letter() -> None:
    fabric = dead_with(4)
    exemptions = proof(fabric).exceptions
    of = {exemption.sequence: exemption.kind for exemption in exemptions}
    assert of == {0: ExceptionKind.DEAD} | dict.fromkeys((2, 4, 6, 8), ExceptionKind.WAITING)
    dead_letters(fabric).discard(the_dead_letter(fabric), all_waiting=True, by="ann")
    fabric.put(*named("a9"))
    drained(fabric)
    assert (of_key_a(fabric), fabric.parked()) == (["a9"], {})
    exemptions = proof(fabric).exceptions
    assert {exemption.sequence: exemption.kind for exemption in exemptions} == dict.fromkeys(
        (0, 2, 4, 6, 8), ExceptionKind.DISCARDED
    )
    assert {exemption.by for exemption in exemptions} == {"ann"}


def test_keys_of_when_order_was_kept_stay_together_where_it_is_kept_no_more() -> None:
    fabric = dead_with(4)
    fabric.topology = topology(2, "replicated", 0, order="none", **DEAD)
    fabric.put(*named("a5", "b5"))
    fabric.deliver()
    assert of_key_a(fabric) == []
    dead_letters(fabric).redrive(the_dead_letter(fabric))
    drained(fabric)
    fabric.put(*named("a6"))
    drained(fabric)
    assert of_key_a(fabric) == [f"a{number}" for number in range(7)]


def test_the_largest_parked_key_is_within_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    fabric = dead_with(0)
    text = "\x00" * 5_000
    failure = replace(
        fabric.parked()["a"].failure,
        error_type=text,
        message=text,
        trace=text,
        hint=text,
        code_version=text,
        trace_id=text,
        event_id=text,
        event_type=text,
        first_ms=_LATEST_MS,
        last_ms=_LATEST_MS,
    )
    key, last = (
        "\U0001f600" * (limits.KEY_BYTES_MAX // 4),
        _LAST - limits.RECORD_EVENTS_MAX * 100,
    )
    waiting_ = tuple(
        Place(SequenceNumber(last + number), SequenceNumber(last + number), number % 2 == 1)
        for number in range(limits.PARKED_PLACES_MAX)
    )
    end = SequenceNumber(_LAST)
    parked = Parked(
        f"k/{key}",
        key,
        ParkedState.RETRYING,
        waiting_,
        _LATEST_MS,
        failure,
        attempting=True,
        version=_LAST,
        rest=Rest(end, end, end, end),
    )
    item = parked_item.to_item(fabric.key_of(LANE), LANE.origin, parked, token=bytes(16))
    assert item_bytes(item) <= limits.PARKED_BYTES_MAX
    assert parked_item.from_item(item) == parked


def test_what_was_dropped_of_a_record_begins_with_the_first_event_that_waits_there() -> None:
    fabric = dead_with(1)
    (parked,) = fabric.parked().values()
    within_a_record = replace(parked, rest=Rest(SequenceNumber(8), SequenceNumber(10)))
    dropped = within_a_record.dropped(SequenceNumber(20))
    assert dropped is not None
    assert (dropped.sequences, dropped.since, dropped.until) == ((2,), 10, 20)
