"""The checker of what handlers publish, on histories made by hand."""

import pytest

from eventfabric.definition.guarantee import Guarantee
from eventfabric.model import Lane, SequenceNumber
from eventfabric.testing.simulation import history as h
from eventfabric.testing.simulation.plan import PlannedSubscription
from eventfabric.testing.simulation.verdict import Result
from eventfabric.wire.published import published_id
from tests.simulation.checkers import wrong_publish
from tests.simulation.hand_made import HOME, LANE, SUB, Hand, plan_of


def hand(guarantee: Guarantee, *, once: bool = False) -> Hand:
    """A history of two events of one key, e0 and e1."""
    subscription = PlannedSubscription(SUB, guarantee=guarantee, publishes=True, once=once)
    made = Hand(plan_of(subscription, invoices=1))
    return made.appended("e0", 0).appended("e1", 1)


def attempted(of: Hand, number: int, *, replay: bool = False, effect: bool = False) -> None:
    places = (h.EventPlace(f"e{number}", "k", LANE, number),)
    of.tell(h.AttemptEnded, region=HOME, subscription=SUB, events=places, replay=replay)
    if effect:
        of.tell(h.EffectMade, region=HOME, subscription=SUB, id=f"e{number}", count=1)


def published(of: Hand, number: int, sequence: int, *, edit: str = "") -> None:
    id_ = published_id(SUB, "orders", Lane.parse(LANE), SequenceNumber(number), edit=edit, name=0)
    of.tell(
        h.Published,
        region=HOME,
        subscription=SUB,
        id=f"e{number}",
        published=id_,
        lane=LANE,
        sequence=sequence,
    )


def anomalies_of(of: Hand) -> list[str]:
    verdict = wrong_publish.check(of.ended())
    assert (verdict.result is Result.INVALID) == bool(verdict.anomalies)
    return [anomaly.what for anomaly in verdict.anomalies]


def test_one_for_each_event_in_their_order_is_right() -> None:
    of = hand(Guarantee.EXACTLY_ONCE)
    for number in (0, 1):
        attempted(of, number, effect=True)
        published(of, number, number)
    assert anomalies_of(of) == []


def test_two_for_an_event_are_wrong_exactly_once_and_right_for_two_attempts_at_least_once() -> None:
    for guarantee, once, wrong in (
        (Guarantee.EXACTLY_ONCE, False, True),
        (Guarantee.AT_LEAST_ONCE, False, False),
        (Guarantee.AT_LEAST_ONCE, True, True),
    ):
        of = hand(guarantee, once=once)
        for sequence in (0, 1):
            attempted(of, 0, effect=guarantee.transactional)
            published(of, 0, sequence)
        assert any("2 events for e0, allowed: 1" in what for what in anomalies_of(of)) is wrong


@pytest.mark.parametrize("guarantee", [Guarantee.AT_LEAST_ONCE, Guarantee.EXACTLY_ONCE])
def test_what_a_replay_publishes_is_wrong(guarantee: Guarantee) -> None:
    of = hand(guarantee)
    attempted(of, 0, replay=True, effect=guarantee.transactional)
    published(of, 0, 0)
    assert anomalies_of(of) == [f"{SUB} published 1 events for e0, allowed: 0"]


def test_an_event_that_was_handled_must_have_published() -> None:
    of = hand(Guarantee.EXACTLY_ONCE)
    attempted(of, 0, effect=True)
    assert anomalies_of(of) == [f"{SUB} handled e0 and published nothing"]


def test_the_order_of_a_key_counts_exactly_once() -> None:
    of = hand(Guarantee.EXACTLY_ONCE)
    for number in (1, 0):
        attempted(of, number, effect=True)
        published(of, number, 1 - number)
    assert anomalies_of(of) == [f"{SUB} published for e0 after a later event of k"]


def test_an_id_must_be_that_of_the_place_unless_somebody_edited_the_event() -> None:
    for is_edited in (False, True):
        of = hand(Guarantee.AT_LEAST_ONCE)
        if is_edited:
            of.tell(h.Settled, region=HOME, subscription=SUB, lane=LANE, sequence=0, action="edited")
        attempted(of, 0)
        published(of, 0, 0, edit="another")
        assert bool(anomalies_of(of)) is not is_edited
