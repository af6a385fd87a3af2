"""The promises of ports.Steps, with and without transactions, on every backend."""

import pytest

from eventfabric import limits
from eventfabric.errors import OutcomeUnknownError
from eventfabric.model import StepKey, StepState, StreamName, SubscriptionName
from eventfabric.wire.keys import step_key
from tests.support.backends import AWAY, HOME, LEDGER_TABLE, RETENTION_SECONDS, Backend

KEY = StepKey(StreamName("orders"), SubscriptionName("billing"), "charge", "/s", "straße 1/☃")
BEGUN = StepState(done=False)


def test_a_step_begins_once_and_is_in_doubt_until_it_is_finished(backend: Backend) -> None:
    assert backend.steps.look(KEY) is None
    assert backend.steps.begin(KEY) is None
    assert backend.steps.begin(KEY) == backend.steps.look(KEY) == BEGUN


def test_a_finished_step_keeps_its_result(backend: Backend) -> None:
    backend.steps.begin(KEY)
    backend.steps.finish(KEY, '{"id":"ch_☃"}')
    assert backend.steps.begin(KEY) == backend.steps.look(KEY) == StepState(True, '{"id":"ch_☃"}')


def test_a_forgotten_step_begins_again(backend: Backend) -> None:
    backend.steps.begin(KEY)
    backend.steps.forget(KEY)
    assert backend.steps.look(KEY) is None
    assert backend.steps.begin(KEY) is None


def test_steps_of_other_names_events_and_subscriptions_are_others(backend: Backend) -> None:
    backend.steps.begin(KEY)
    stream, name = KEY.stream, SubscriptionName("billing")
    for other in (
        StepKey(stream, name, "mail", "/s", KEY.event_id),
        StepKey(stream, name, "charge", "/s", "straße 1/"),
        StepKey(stream, name, "charge", "/s", "straße%201/☃"),
        StepKey(stream, name, "charge", "/s/straße 1", "☃"),
        StepKey(stream, name, "charge", "/another", KEY.event_id),
        StepKey(stream, SubscriptionName("shipping"), "charge", "/s", KEY.event_id),
    ):
        assert backend.steps.begin(other) is None


def test_a_begin_whose_reply_was_lost_knows_itself(backend: Backend) -> None:
    backend.lose_replies(1)
    assert backend.steps.begin(KEY) is None


def test_a_begin_knows_what_an_earlier_try_of_it_wrote_seconds_ago(backend: Backend) -> None:
    token = b"12345"
    backend.lose_replies(3)
    with pytest.raises(OutcomeUnknownError):
        backend.steps.begin(KEY, token=token)
    backend.clock.advance(5)
    assert backend.steps.begin(KEY, token=token) is None
    assert backend.steps.begin(KEY, token=b"67890") == BEGUN


def test_a_begin_that_was_never_answered_says_so(backend: Backend) -> None:
    backend.lose_replies(3)
    with pytest.raises(OutcomeUnknownError):
        backend.steps.begin(KEY)
    assert backend.steps.look(KEY) == BEGUN


def test_no_time_that_passes_makes_a_step_begin_again(backend: Backend) -> None:
    backend.steps.begin(KEY)
    backend.clock.advance(RETENTION_SECONDS)
    assert backend.steps.begin(KEY) == BEGUN


@pytest.mark.parametrize("finished", [False, True], ids=["begun", "finished"])
def test_the_item_expires_a_year_after_its_event(backend: Backend, finished: bool) -> None:
    begun_seconds = backend.clock.now_ms() // 1000
    backend.steps.begin(KEY)
    if finished:
        backend.steps.finish(KEY, "null")
    item = backend.get(LEDGER_TABLE, step_key(str(KEY), HOME))
    assert item is not None
    assert item["pk"] == {
        "S": "orders/billing/step/charge/56a1335ea1ee5fbd5d480831967a83e2/stra%C3%9Fe%201/%E2%98%83"
    }
    assert int(item["expiration"]["N"]) == begun_seconds + RETENTION_SECONDS + limits.STEP_KEPT_SECONDS


def test_what_another_region_noted_is_seen_and_is_another_record(backend: Backend) -> None:
    backend.steps.begin(KEY)
    backend.steps.finish(KEY, "1")
    assert backend.steps.look(KEY, region=HOME) == StepState(True, "1")
    assert backend.steps.look(KEY, region=AWAY) is None
    item = backend.get(LEDGER_TABLE, step_key(str(KEY), HOME))
    assert item is not None
    backend.put(LEDGER_TABLE, {**item, **step_key(str(KEY), AWAY), "data": {"S": "2"}})
    assert backend.steps.look(KEY, region=AWAY) == StepState(True, "2")
    assert backend.steps.look(KEY) == StepState(True, "1")


def test_a_released_step_begins_again_once(backend: Backend) -> None:
    steps = backend.steps
    steps.release(KEY)
    assert steps.look(KEY) == StepState(False, released=True)
    assert steps.begin(KEY) is None
    assert steps.begin(KEY) == StepState(False)


def test_a_step_that_was_released_and_then_finished_is_done_for_good(backend: Backend) -> None:
    steps = backend.steps
    steps.release(KEY)
    steps.finish(KEY, '"x"')
    assert steps.begin(KEY) == StepState(True, '"x"')
