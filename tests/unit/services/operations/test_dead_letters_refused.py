"""Refused decisions about a dead letter: nothing is changed then, in no Region."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import ContendedCommitError, NotDeadError, ThrottledError
from eventfabric.model import Event
from eventfabric.services.operations.dead_letters import DeadLetter, DeadLetters
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from tests.support.dead_letters import letters_of, mended_fabric, overtaken, settled
from tests.support.failing_handlers import Failing, dead_letters, the_dead_letter
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, LANE, event, lane
from tests.support.messages import raises_with
from tests.support.subscribed_stream import INVOCATION_MS, SubscribedStream

Decision = Callable[[DeadLetters, DeadLetter], None]


def redrive(letters: DeadLetters, letter: DeadLetter) -> None:
    letters.redrive(letter)


def redrive_edited(letters: DeadLetters, letter: DeadLetter) -> None:
    letters.redrive(letter, replacement=event("mended", key=letter.parked.key), by="jo")


def discard(letters: DeadLetters, letter: DeadLetter) -> None:
    letters.discard(letter, by="jo")


DECISIONS = pytest.mark.parametrize("decide", [redrive, redrive_edited, discard])


def everything(fabric: SubscribedStream) -> tuple[object, ...]:
    """All that a decision could change: the ledger of each Region, and the doorbells here."""
    name = fabric.topology.ledger.name
    return *(region.table(name).items for region in fabric.cloud.regions.values()), fabric.queue.bodies


def in_another_lane(fabric: SubscribedStream, letter: DeadLetter) -> DeadLetter:
    return replace(letter, lane=lane(1))


def of_another_subscription(fabric: SubscribedStream, letter: DeadLetter) -> DeadLetter:
    return replace(letter, subscription=replace(letter.subscription, name="audit"))


def handled_meanwhile(fabric: SubscribedStream, letter: DeadLetter) -> DeadLetter:
    dead_letters(fabric).redrive(letter)
    fabric.deliver_all()
    return letter


def redriven_meanwhile(fabric: SubscribedStream, letter: DeadLetter) -> DeadLetter:
    dead_letters(fabric).redrive(letter)
    return letter


def attempted_when_the_process_died(fabric: SubscribedStream, letter: DeadLetter) -> DeadLetter:
    dead_letters(fabric).redrive(letter)
    by = fabric.deliverer(faults=Faults(nth(1, Fault.CRASH_BEFORE, name="handler.attempt")))
    fabric.run_dies()
    with pytest.raises(SimulatedCrash):
        by.deliver(fabric.bell(LANE), deadline_ms=fabric.clock.now_ms() + INVOCATION_MS, receive_count=2)
    assert fabric.parked()["a"].attempting
    return letter


def another_is_first_now(fabric: SubscribedStream, letter: DeadLetter) -> DeadLetter:
    fabric.recorder.before = Failing({"a2": 99})
    dead_letters(fabric).discard(letter)
    fabric.deliver_all()
    assert the_dead_letter(fabric).parked.first.sequence == 1
    return letter


def handed_over_meanwhile(fabric: SubscribedStream, letter: DeadLetter) -> DeadLetter:
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    fabric.cloud.replicate()
    return letter


class TestRefused:
    """A decision that cannot be carried out changes nothing."""

    @DECISIONS
    @pytest.mark.parametrize(
        "prepare",
        [
            in_another_lane,
            of_another_subscription,
            handled_meanwhile,
            redriven_meanwhile,
            attempted_when_the_process_died,
            another_is_first_now,
            handed_over_meanwhile,
        ],
    )
    def test_what_is_no_dead_letter_any_more_is_refused_and_nothing_is_changed(
        self, prepare: Callable[[SubscribedStream, DeadLetter], DeadLetter], decide: Decision
    ) -> None:
        fabric = mended_fabric("a1", behind=["a2"])
        letter = prepare(fabric, the_dead_letter(fabric))
        before = everything(fabric)
        with pytest.raises(
            NotDeadError, match=f"^{letter.place} of {letter.subscription.name} is "
        ) as raised:
            decide(dead_letters(fabric), letter)
        assert raised.value.no_effect
        assert everything(fabric) == before

    @DECISIONS
    def test_an_event_that_is_being_handled_is_refused_and_the_delivery_goes_on(
        self, decide: Decision
    ) -> None:
        fabric = mended_fabric("a1", behind=["a2"])
        letter = the_dead_letter(fabric)
        dead_letters(fabric).redrive(letter)
        refusals: list[NotDeadError] = []

        def decide_meanwhile(events: Sequence[Event]) -> None:
            before = everything(fabric)
            with pytest.raises(NotDeadError) as raised:
                decide(dead_letters(fabric), letter)
            refusals.append(raised.value)
            assert everything(fabric) == before

        fabric.recorder.before = decide_meanwhile
        fabric.deliver_all()
        assert len(refusals) == 2
        assert (fabric.recorder.ids(), fabric.parked(), settled(fabric)) == (["z1", "a1", "a2"], {}, [])

    @DECISIONS
    def test_a_lane_where_others_are_always_faster_is_given_up_and_nothing_is_changed(
        self, decide: Decision
    ) -> None:
        fabric = mended_fabric("a1", behind=["a2"])
        letter, parked = the_dead_letter(fabric), fabric.parked()
        busy = overtaken(
            *range(1, 100),
            by=lambda: (fabric.put(event(f"b{len(fabric.logged_ids())}", key="b")), fabric.deliver()),
        )
        with raises_with(ContendedCommitError, f"lane {LANE} of billing", "busy") as raised:
            decide(letters_of(fabric, busy), letter)
        assert (raised.value.retryable, raised.value.no_effect) == (True, True)
        assert busy.count("ledger.commit") == limits.LANE_RACES_MAX
        assert (fabric.parked(), settled(fabric), fabric.queue.bodies) == (parked, [], [])

    @DECISIONS
    def test_a_throttled_decision_changes_nothing_and_may_be_made_again(self, decide: Decision) -> None:
        fabric = mended_fabric("a1")
        letter, before = the_dead_letter(fabric), everything(fabric)
        throttled = Faults(nth(1, Fault.THROTTLED, name="ledger.commit"))
        with pytest.raises(ThrottledError):
            decide(letters_of(fabric, throttled), letter)
        assert everything(fabric) == before
        decide(letters_of(fabric, throttled), letter)
        assert everything(fabric) != before

    def test_an_edited_event_of_another_key_is_refused_and_nothing_is_changed(self) -> None:
        fabric = mended_fabric("a1")
        before = everything(fabric)
        with pytest.raises(NotDeadError, match="another key"):
            dead_letters(fabric).redrive(the_dead_letter(fabric), replacement=event("a1", key="b"))
        assert everything(fabric) == before


def letters_that_ask(fabric: SubscribedStream, faults: Faults) -> DeadLetters:
    """The dead letters of the fabric, whose decisions ask the other Region, by a ledger that fails."""
    return DeadLetters(
        fabric.subscription,
        [LANE],
        log=fabric.log,
        ledger=fabric.ledger,
        doorbells=fabric.cloud.doorbells(fabric.region),
        clock=fabric.clock,
        elsewhere=lambda region: faults.ledger(fabric.cloud.ledger(region)),
    )


@DECISIONS
def test_a_handover_that_is_not_replicated_yet_is_asked_for(decide: Decision) -> None:
    fabric = mended_fabric("a1", "b1")
    hand_over(fabric.in_region(AWAY), epoch=2)
    letters, before = letters_that_ask(fabric, Faults()), everything(fabric)
    for letter in letters.find():
        with raises_with(
            NotDeadError,
            f"{LANE}@{letter.parked.first.sequence} of {letter.subscription.name}",
            f"not delivered by {fabric.region}",
        ):
            decide(letters, letter)
    assert everything(fabric) == before


@DECISIONS
def test_where_the_other_region_gives_no_reply_it_is_decided_by_what_is_known_here(decide: Decision) -> None:
    fabric = mended_fabric("a1")
    silent = Faults(lambda name, number, of_name: Fault.LOST_REQUEST)
    letters, before = letters_that_ask(fabric, silent), everything(fabric)
    decide(letters, the_dead_letter(fabric))
    assert everything(fabric) != before
