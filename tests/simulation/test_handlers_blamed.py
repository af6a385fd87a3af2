"""Who is not to be blamed: handlers that go by order of arrival, that two Regions run, or that refuse what they may."""

from collections.abc import Callable
from typing import Any

import pytest

from eventfabric.errors import HandlersFailError
from eventfabric.testing.idempotency.trials import HandlerTrials
from eventfabric.testing.simulation import history
from tests.simulation import wrong_handlers
from tests.simulation.test_handlers import EVENTS, RIGHT_SEEDS, definition, trials

DEAD_AND_HANDED_OVER = 173
"""A seed in which an outage makes an event dead, and its lane is handed over then."""
HANDED_OVER = 21
"""A seed with a handover, in which two Regions handle an event."""


@pytest.mark.parametrize(
    ("handler", "guarantee", "regions"),
    [
        (wrong_handlers.numbers_by_order_of_arrival, "exactly_once", 2),
        (wrong_handlers.mails_whoever_is_first, "at_least_once", 1),
    ],
)
def test_what_goes_by_order_of_arrival_is_not_blamed(
    handler: Callable[..., Any], guarantee: str, regions: int
) -> None:
    of = trials(handler, guarantee, regions=regions)
    outcomes = [of.try_seed(seed) for seed in range(RIGHT_SEEDS)]
    assert {
        outcome.seed: sorted(outcome.signature) for outcome in outcomes if outcome.signature or outcome.error
    } == {}


def test_what_depends_on_the_order_of_keys_or_on_the_time_is_not_judged() -> None:
    for handler in (wrong_handlers.notes_the_last_of_all, wrong_handlers.notes_the_second):
        of = trials(handler)
        outcomes = [of.try_seed(seed) for seed in range(RIGHT_SEEDS)]
        assert {
            outcome.seed: sorted(outcome.signature)
            for outcome in outcomes
            if outcome.signature or outcome.error
        } == {}


def test_a_dead_letter_that_another_region_took_over_and_handled_is_none() -> None:
    of = HandlerTrials(
        definition(regions=2),
        events=EVENTS,
        handlers={"taker": wrong_handlers.charges_by_key},
        setup=wrong_handlers.make,
        failover=True,
    )
    assert of.try_seed(DEAD_AND_HANDED_OVER).signature == frozenset()


def found_where_two_regions_handle_an_event(handler: Callable[..., Any]) -> frozenset[str]:
    of = HandlerTrials(
        definition(regions=2),
        events=EVENTS,
        handlers={"taker": handler},
        setup=wrong_handlers.make,
        failover=True,
    )
    outcome, kept = of.tried(of.plan(HANDED_OVER))
    tried = {
        (entry.events[0].id, entry.region)
        for entry in kept.entries
        if isinstance(entry, history.AttemptBegan)
    }
    assert len({event for event, _ in tried}) < len(tried)
    return outcome.signature


def test_a_key_is_known_again_in_whichever_region_the_handler_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventfabric.testing.idempotency.outside._FORGETS_MS", {})  # a handover takes longer
    for handler in (wrong_handlers.charges_by_key, wrong_handlers.sends_to_one_region):
        assert found_where_two_regions_handle_an_event(handler) == frozenset()
    # The queue of another Region is another, and knows nothing of it.
    effect_name = "taker: sqs SendMessage mails.fifo"
    assert found_where_two_regions_handle_an_event(wrong_handlers.sends_in_order) == {effect_name}


@pytest.mark.parametrize(
    ("declared", "is_taken"),
    [
        ("tests.simulation.wrong_handlers:Refused", True),
        ("tests.simulation.wrong_handlers:RefusedCard", True),
        ("elsewhere:RefusedCard", False),
    ],
)
def test_what_is_declared_permanent_is_taken_as_the_fabric_takes_it(declared: str, *, is_taken: bool) -> None:
    """An error is recognised by its type and base types, and not by its bare name."""
    more = f"""
        [subscriptions.taker.retry]
        permanent = ["{declared}"]
    """
    of = trials(wrong_handlers.refuses_some, more=more)
    if is_taken:
        of.check()
    else:
        with pytest.raises(HandlersFailError, match="raises RefusedCard for event"):
            of.check()
