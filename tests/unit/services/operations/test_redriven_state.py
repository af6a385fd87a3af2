"""The state of a key after somebody's decision, and where its dead letters are found."""

from collections.abc import Callable

import pytest

from eventfabric.errors import InvalidEventError
from eventfabric.model import Event, ParkedState
from eventfabric.services.operations.dead_letters import DeadLetter, DeadLetters
from tests.support.crashing_handlers import Crashing, until_it_drains
from tests.support.dead_letters import mended_fabric
from tests.support.expiry import reconciled
from tests.support.failing_handlers import dead_letters, fabric_of, named, the_dead_letter
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY
from tests.support.subscribed_stream import SubscribedStream


def redrive(letters: DeadLetters, letter: DeadLetter) -> None:
    letters.redrive(letter)


def discard(letters: DeadLetters, letter: DeadLetter) -> None:
    letters.discard(letter)


@pytest.mark.parametrize("decide", [redrive, discard])
def test_it_is_due_from_the_moment_of_the_decision_and_not_overdue(
    decide: Callable[[DeadLetters, DeadLetter], None],
) -> None:
    fabric = mended_fabric("a1", behind=["a2"])
    fabric.clock.advance(3600)
    decide(dead_letters(fabric), the_dead_letter(fabric))
    parked = fabric.parked()["a"]
    assert (parked.state, parked.due_ms) == (ParkedState.RETRYING, fabric.clock.now_ms())
    assert reconciled(fabric, repair=False) == []


def test_an_event_that_crashed_too_often_has_all_its_crashes_once_more() -> None:
    fabric = fabric_of(Crashing({"a1": 999}), *named("a1"))
    first = until_it_drains(fabric)
    letters = dead_letters(fabric)
    letters.redrive(the_dead_letter(fabric))
    parked = fabric.parked()["a"]
    assert (parked.failure.attempts, parked.failure.crashes) == (0, 0)
    assert until_it_drains(fabric) == first
    assert the_dead_letter(fabric).parked.failure.error_type == "Crashed"


def test_headers_that_could_not_be_published_replace_nothing() -> None:
    fabric = mended_fabric("a1")
    letter = the_dead_letter(fabric)
    wrong = Event(key="a", type="mended", id="m", source="/t", headers={"Not A Name": "x"})
    with pytest.raises(InvalidEventError, match="Not A Name"):
        dead_letters(fabric).redrive(letter, replacement=wrong)
    assert the_dead_letter(fabric) == letter


def test_they_are_found_where_their_lane_is_delivered_and_nowhere_else() -> None:
    fabric: SubscribedStream = mended_fabric("a1")
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    fabric.cloud.replicate()
    assert [letter.place for letter in dead_letters(fabric).find()] == []
    assert set(away.parked()) == {"a"}
