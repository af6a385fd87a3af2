"""Decisions about a dead letter: what they do to its key, and what stays on record of them."""

from collections.abc import Sequence

import pytest

from eventfabric import limits
from eventfabric.errors import NotDeadError, OutcomeUnknownError
from eventfabric.model import Event, ParkedState, Settled
from eventfabric.model.finding import FindingKind
from eventfabric.services.operations.dead_letters import DeadLetterFilter
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.telemetry import Metric, NoTelemetry
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.wire.keys import record_key
from eventfabric.wire.payload_codec import unpack_one
from tests.support.dead_letters import letters_of, mended_fabric, overtaken, settled
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
from tests.support.memory_fabric import HOME, LANE, event, lane
from tests.support.subscribed_stream import SubscribedStream

OF_KEYS = ["at_least_once", "exactly_once"]


def of_key(fabric: SubscribedStream, key: str) -> list[str]:
    """The events of a key in the order in which they were first handled."""
    return list(dict.fromkeys(name for name in fabric.recorder.ids() if name[0] == key))


class TestRedrive:
    """The key goes on from its dead event, in order."""

    @pytest.mark.parametrize("guarantee", OF_KEYS)
    @pytest.mark.parametrize("moment", ["before", "redriving", "redriven", "a1", "a2"])
    def test_redrive_keeps_key_order_while_new_events_arrive(self, guarantee: str, moment: str) -> None:
        fabric = mended_fabric("a1", behind=["a2"], guarantee=guarantee)

        def arrive() -> None:
            for next_event in named("a3", "b1", "a4"):
                fabric.put(next_event)
            fabric.relay_all()

        def arrive_during(events: Sequence[Event]) -> None:
            if events[0].id == moment and "a3" not in fabric.logged_ids():
                arrive()

        fabric.recorder.before = arrive_during
        if moment == "before":
            arrive()

        def arrive_and_wait() -> None:
            arrive()
            fabric.deliver()

        overtakes = overtaken(1, by=arrive_and_wait)
        letters_of(fabric, overtakes if moment == "redriving" else Faults()).redrive(the_dead_letter(fabric))
        if moment == "redriven":
            arrive()
        fabric.deliver_all()
        assert of_key(fabric, "a") == ["a1", "a2", "a3", "a4"]
        assert (of_key(fabric, "b"), fabric.parked()) == (["b1"], {})
        if guarantee == "exactly_once":
            assert fabric.effects() == dict.fromkeys(["z1", "a1", "a2", "a3", "a4", "b1"], 1)

    def test_a_delivery_that_adds_to_the_key_first_costs_the_redrive_one_more_read(self) -> None:
        fabric = mended_fabric("a1", behind=["a2"])
        letter = the_dead_letter(fabric)
        fabric.put(*named("a3"))
        overtakes = overtaken(1, by=fabric.deliver)
        letters_of(fabric, overtakes).redrive(letter)
        assert overtakes.count("ledger.commit") == 2
        assert fabric.parked()["a"].state is ParkedState.RETRYING
        assert waiting(fabric, "a") == [0, 1, 3]

    @pytest.mark.parametrize("guarantee", OF_KEYS)
    def test_a_redrive_in_the_middle_of_a_run_costs_the_run_its_commit_and_nothing_its_order(
        self, guarantee: str
    ) -> None:
        fabric = mended_fabric("a1", behind=["a2"], guarantee=guarantee)
        letter = the_dead_letter(fabric)
        for next_event in named("b1", "a3"):
            fabric.put(next_event)

        def redrive_meanwhile(events: Sequence[Event]) -> None:
            if events[0].id == "b1" and "b1" not in fabric.recorder.ids():
                dead_letters(fabric).redrive(letter)

        fabric.recorder.before = redrive_meanwhile
        fabric.deliver()
        assert fabric.telemetry.totals[Metric.COMMITS_LOST] == 1
        fabric.deliver_all()
        assert (of_key(fabric, "a"), fabric.parked()) == (["a1", "a2", "a3"], {})
        if guarantee == "exactly_once":
            assert fabric.effects() == dict.fromkeys(["z1", "b1", "a1", "a2", "a3"], 1)

    def test_what_fails_again_has_all_its_attempts_once_more_and_stays_the_first_of_its_key(self) -> None:
        failing = Failing({"a1": 99})
        fabric = drained(fabric_of(failing, *named("a1", "a2"), **retry(immediate=1, attempts=3)))
        dead_letters(fabric).redrive(the_dead_letter(fabric))
        fabric.deliver_all()
        assert failing.tried == ["a1"] * 6
        letter = the_dead_letter(fabric)
        assert (letter.place, letter.parked.failure.attempts) == (f"{LANE}@0", 3)
        assert waiting(fabric, "a") == [0, 1]

    def test_dead_letters_redriven_one_by_one_leave_the_others_as_they_were(self) -> None:
        keys = "abcd"
        fabric = mended_fabric(*(f"{key}1" for key in keys), behind=[f"{key}2" for key in keys])
        letters = dead_letters(fabric)
        for done, letter in enumerate(list(letters.find()), start=1):
            letters.redrive(letter)
            fabric.put(event(f"{letter.parked.key}3", key=letter.parked.key))
            drained(fabric)
            fabric.clock.advance(0.1)
            assert [letter.parked.key for letter in letters.find()] == list(keys[done:])
        for key in keys:
            assert of_key(fabric, key) == [f"{key}1", f"{key}2", f"{key}3"]

    def test_without_order_a_redrive_is_of_one_event_whatever_else_of_its_key_is_dead(self) -> None:
        fabric = mended_fabric("a1", "a2", behind=["a3"], order="none")
        first, second = dead_letters(fabric).find()
        dead_letters(fabric).redrive(second)
        fabric.deliver_all()
        assert fabric.recorder.ids() == ["a3", "z1", "a2"]
        assert list(dead_letters(fabric).find()) == [first]

    def test_a_redrive_whose_ring_is_lost_is_done_with_the_next_doorbell_of_its_lane(self) -> None:
        fabric = mended_fabric("a1", behind=["a2"])
        lost = Faults(nth(1, Fault.LOST_REQUEST, name="doorbells.ring"))
        letters_of(fabric, lost).redrive(the_dead_letter(fabric))
        assert (lost.count("doorbells.ring"), fabric.queue.bodies) == (1, [])
        fabric.put(*named("b1"))
        drained(fabric)
        assert (fabric.recorder.ids(), fabric.parked()) == (["z1", "a1", "a2", "b1"], {})

    def test_a_redrive_whose_ring_is_lost_is_found_by_reconciliation_where_nothing_else_comes(self) -> None:
        fabric = mended_fabric("a1")
        letters_of(fabric, Faults(nth(1, Fault.LOST_REQUEST, name="doorbells.ring"))).redrive(
            the_dead_letter(fabric)
        )
        fabric.clock.advance(limits.UNRUNG_SECONDS + 1)
        reconciler = Reconciler(fabric.stream, region=HOME, ports=fabric.ports(), telemetry=NoTelemetry())
        assert FindingKind.PARKED_OVERDUE in {finding.kind for finding in reconciler.run(repair=True)}
        fabric.deliver_all()
        assert (fabric.recorder.ids(), fabric.parked()) == (["z1", "a1"], {})

    def test_a_redrive_without_a_reply_may_have_happened_and_says_so(self) -> None:
        fabric = mended_fabric("a1")
        letter, silent = the_dead_letter(fabric), Faults(nth(1, Fault.LOST_REPLY, name="ledger.commit"))
        with pytest.raises(OutcomeUnknownError) as raised:
            letters_of(fabric, silent).redrive(letter)
        assert not raised.value.no_effect
        with pytest.raises(NotDeadError):
            dead_letters(fabric).redrive(letter)


class TestRecord:
    """Records of decisions: what was decided, by whom, about which failure."""

    def test_an_edited_event_is_handled_in_place_of_the_original_and_both_stay_on_record(self) -> None:
        fabric = mended_fabric("a1", behind=["a2"])
        letter = the_dead_letter(fabric)
        mended = event("a1", key="a", type="mended")
        dead_letters(fabric).redrive(letter, replacement=mended, by="jo")
        at_ms = fabric.clock.now_ms()
        fabric.deliver_all()
        handled = fabric.recorder.events[1]
        assert (handled.id, handled.type, fabric.recorder.ids()) == ("a1", "mended", ["z1", "a1", "a2"])
        (record,) = settled(fabric)
        assert (record.sequence, record.action, record.by, record.at_ms) == (0, "edited", "jo", at_ms)
        assert record.failure == letter.parked.failure
        assert record.replacement is not None
        assert unpack_one(record.replacement, LANE, record.sequence).type == "mended"
        original = dead_letters(fabric).event(letter)
        assert original is not None
        assert original.type == "placed"

    def test_an_edited_event_that_is_discarded_after_all_stays_on_record(self) -> None:
        fabric = mended_fabric("a1")
        fabric.recorder.before = Failing({"mended": 99})
        dead_letters(fabric).redrive(the_dead_letter(fabric), replacement=event("mended", key="a"), by="jo")
        fabric.deliver_all()
        dead_letters(fabric).discard(the_dead_letter(fabric), by="flo")
        (record,) = settled(fabric)
        assert (record.action, record.by, record.failure.event_id) == ("discarded", "flo", "mended")
        assert record.replacement is not None
        assert unpack_one(record.replacement, LANE, record.sequence).id == "mended"

    def test_a_discarded_event_stays_on_record_and_its_key_is_free(self) -> None:
        fabric = mended_fabric("a1")
        letter = the_dead_letter(fabric)
        dead_letters(fabric).discard(letter, by="jo")
        assert fabric.parked() == {}
        assert settled(fabric) == [
            Settled(
                letter.parked.first.sequence, "discarded", letter.parked.failure, fabric.clock.now_ms(), "jo"
            )
        ]
        fabric.put(*named("a2"))
        drained(fabric)
        assert (fabric.recorder.ids(), fabric.logged_ids()) == (["z1", "a2"], ["a1", "z1", "a2"])

    def test_a_discard_loses_none_of_what_a_delivery_adds_to_the_key_meanwhile(self) -> None:
        fabric = mended_fabric("a1")
        letter = the_dead_letter(fabric)
        fabric.put(*named("a2"))
        letters_of(fabric, overtaken(1, by=fabric.deliver)).discard(letter)
        fabric.deliver_all()
        assert (fabric.recorder.ids(), fabric.parked(), len(settled(fabric))) == (["z1", "a2"], {}, 1)


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        (None, "abc"),
        (DeadLetterFilter(key="b"), "b"),
        (DeadLetterFilter(key="d"), ""),
        (DeadLetterFilter(type="paid"), "bc"),
        (DeadLetterFilter(type="pai"), ""),
        (DeadLetterFilter(error=BAD_ORDER), "ab"),
        (DeadLetterFilter(error="KeyErr"), "c"),
        (DeadLetterFilter(older_than_ms=0), "abc"),
        (DeadLetterFilter(older_than_ms=3000), "ab"),
        (DeadLetterFilter(older_than_ms=3001), "a"),
        (DeadLetterFilter(type="paid", error="BadOrder"), "b"),
        (DeadLetterFilter(key="a", older_than_ms=4001), ""),
    ],
    ids=str,
)
def test_dead_letters_are_found_by_key_type_error_and_age_in_the_order_of_their_lanes(
    wanted: DeadLetterFilter | None, keys: str
) -> None:
    failing = Failing({"a1": 99, "b1": 99, "c1": 99, "d1": 1})
    fabric = fabric_of(failing, **retry(immediate=0, permanent=[BAD_ORDER, "builtins:KeyError"]))
    errors: dict[str, type[Exception]] = {"c1": KeyError, "d1": ValueError}
    default = failing.error
    failing.error = lambda name: errors[name](name) if name in errors else default(name)
    for name, kind in (("a1", "placed"), ("b1", "paid"), ("c1", "paid"), ("d1", "paid")):
        fabric.put(event(name, key=name[0], type=kind), of=lane(int(name == "c1")))
        fabric.deliver(lane(int(name == "c1")))
        fabric.clock.advance(1)
    assert set(fabric.parked()) == {"a", "b", "d"}
    assert [letter.parked.key for letter in dead_letters(fabric).find(wanted)] == list(keys)


class TestExpired:
    """A dead letter whose record is no longer in the log."""

    def test_it_is_still_found_without_its_event_and_a_redrive_of_it_is_dead_again(self) -> None:
        fabric = mended_fabric("a1", behind=["a2"])
        fabric.table.write("Delete", {"Key": record_key(LANE, 0)})
        letter = the_dead_letter(fabric)
        assert dead_letters(fabric).event(letter) is None
        dead_letters(fabric).redrive(letter)
        fabric.deliver_all()
        failure = the_dead_letter(fabric).parked.failure
        assert (failure.error_type, failure.event_id, failure.event_type) == ("RecordExpired", "a1", "placed")
        assert (fabric.recorder.ids(), waiting(fabric, "a")) == (["z1"], [0, 1])

    def test_after_its_discard_what_waits_behind_it_is_handled_or_dead_as_expired_too(self) -> None:
        fabric = mended_fabric("a1", behind=["a2", "a3"])
        for sequence in (0, 1):
            fabric.table.write("Delete", {"Key": record_key(LANE, sequence)})
        for place in (0, 1):
            letter = the_dead_letter(fabric)
            assert letter.parked.first.sequence == place
            # Nobody has read the one behind it, so it is not named for the one before.
            assert letter.parked.failure.event_id == ("a1" if place == 0 else "")
            dead_letters(fabric).discard(letter, by="jo")
            fabric.deliver_all()
        assert (fabric.recorder.ids(), fabric.parked()) == (["z1", "a3"], {})
        assert [(decision.sequence, decision.action) for decision in settled(fabric)] == [
            (0, "discarded"),
            (1, "discarded"),
        ]


def test_what_a_lane_comes_to_after_all_that_waited_was_discarded_is_handed_out() -> None:
    fabric = fabric_of(Failing({"a1": 99}), *named("a1", "a2"), **retry(immediate=0, attempts=1))
    fabric.deliver()
    fabric.put(*named("a3"))  # the lane is behind
    dead_letters(fabric).discard(the_dead_letter(fabric), all_waiting=True)
    (note,) = fabric.ledger.settled(fabric.key_of(LANE))
    assert note.dropped is not None
    assert (note.dropped.sequences, note.dropped.until) == ((1,), 2)
    drained(fabric)
    assert fabric.recorder.ids() == ["a3"]
