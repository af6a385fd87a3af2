"""Dead letters with a step in doubt are not redriven by mistake: they would only be dead again."""

from dataclasses import replace

import pytest

from eventfabric.errors import UnsettledStepError
from eventfabric.model import Owner, ParkedState, StepKey, StreamName, SubscriptionName
from eventfabric.ports import Steps
from eventfabric.sdk.operations import Operations
from eventfabric.services.operations.dead_letters import DeadLetter, DeadLetters
from tests.support.charging_handler import ChargingHandler
from tests.support.memory_fabric import AWAY, HOME, STREAM, event
from tests.support.subscribed_stream import SUBSCRIPTION


def dies_in_the_middle() -> None:
    raise SystemExit


def in_doubt() -> tuple[ChargingHandler, DeadLetters, DeadLetter]:
    """A charge that began, of which nobody knows whether it happened; then tried again: dead."""
    shop = ChargingHandler()
    shop.fabric.put(event("e1"), event("e2"))
    steps = steps_of(shop)
    assert steps.begin(key_of("e1")) is None
    shop.fabric.deliver()
    letters = Operations(shop.fabric.topology, HOME, shop.fabric.ports()).dead_letters(SUBSCRIPTION)
    (letter,) = letters.find()
    return shop, letters, letter


def steps_of(shop: ChargingHandler) -> Steps:
    return shop.fabric.cloud.steps(STREAM, HOME)


def key_of(event_id: str) -> StepKey:
    return StepKey(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), "charge", "/t", event_id)


def test_a_dead_letter_says_which_step_is_in_doubt() -> None:
    _, _, letter = in_doubt()
    assert letter.parked.failure.step == "charge"


def test_it_is_refused_with_what_to_do_first_and_nothing_is_changed() -> None:
    shop, letters, letter = in_doubt()
    with pytest.raises(UnsettledStepError, match=r"steps settle billing us-east-1/0\.0@0 charge --done"):
        letters.redrive(letter)
    with pytest.raises(UnsettledStepError):
        letters.check_settled(letter)
    assert shop.fabric.parked()["k"].state is ParkedState.DEAD
    assert shop.fabric.parked()["k"] == letter.parked


@pytest.mark.parametrize("happened", [True, False])
def test_it_is_redriven_once_somebody_has_settled_it(happened: bool) -> None:
    shop, letters, letter = in_doubt()
    operations = Operations(shop.fabric.topology, HOME, shop.fabric.ports())
    operations.settle_step(SUBSCRIPTION, letter.place, "charge", happened=happened)
    letters.redrive(letter)
    shop.fabric.deliver()
    assert shop.fabric.parked() == {}
    assert len(shop.charged) == (1 if happened else 2)


def test_it_is_redriven_as_it_is_where_that_is_asked_for() -> None:
    shop, letters, letter = in_doubt()
    letters.redrive(letter, unsettled=True)
    assert shop.fabric.parked()["k"].state is ParkedState.RETRYING


def test_another_event_in_its_place_has_steps_of_its_own() -> None:
    shop, letters, letter = in_doubt()
    with pytest.raises(UnsettledStepError):
        letters.redrive(letter, replacement=event("e1", type="amended"))
    letters.redrive(letter, replacement=event("e9"))
    assert shop.fabric.parked()["k"].state is ParkedState.RETRYING


def test_a_former_owners_doubt_counts_as_well() -> None:
    shop, letters, letter = in_doubt()
    steps_of(shop).forget(key_of("e1"))
    letters.check_settled(letter)
    away = shop.fabric.cloud.steps(STREAM, AWAY)
    assert away.begin(key_of("e1")) is None
    shop.fabric.cloud.replicate()
    letters.check_settled(letter)  # nobody else has delivered its lane
    new_owner = Owner(HOME, HOME, 1, HOME)
    names = StreamName(STREAM), SubscriptionName(SUBSCRIPTION)
    first = shop.fabric.ledger.standing(*names).written(HOME, HOME)
    assert shop.fabric.ledger.hand_over(*names, first, new_owner)
    with pytest.raises(UnsettledStepError):
        letters.check_settled(letter)


def test_a_dead_letter_for_another_reason_is_looked_at_no_further() -> None:
    _, letters, letter = in_doubt()
    failure = replace(letter.parked.failure, step="")
    letters.check_settled(replace(letter, parked=replace(letter.parked, failure=failure)))
