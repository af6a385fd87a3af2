"""`delivery.once`: what a handler sees of its steps, and what becomes of their events when they fail or crash."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from eventfabric import Delivery, Event, Step, limits
from eventfabric.errors import (
    HandlerError,
    NotUnknownError,
    OutcomeUnknownError,
    PortError,
    ThrottledError,
    UnknownStepError,
)
from eventfabric.model import ParkedState, SequenceNumber, StepKey, StreamName, SubscriptionName
from eventfabric.ports import Attempt
from eventfabric.sdk.operations import Operations
from eventfabric.sdk.step import StepMaker
from eventfabric.sdk.subscriber import SubscriberHandler
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, at_random, nth
from tests.support.charging_handler import EVENT, KEY, SOURCE, ChargingHandler
from tests.support.failing_handlers import retry
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, STREAM, event
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def raise_(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_a_step_is_done_once_and_its_result_is_there_again() -> None:
    shop = ChargingHandler()
    shop.attempt(EVENT)
    shop.attempt(EVENT)
    assert (shop.charged, shop.results) == ([KEY], ["charge e1", "charge e1"])


def test_events_of_two_sources_that_gave_the_same_id_have_steps_of_their_own() -> None:
    shop = ChargingHandler()
    for source in ("/till", "/web", "/till"):
        shop.set_to = f"charge of {source}"
        shop.attempt(Event(id="1", type="placed", key="k", source=source))
    assert len(set(shop.charged)) == len(shop.charged) == 2
    assert shop.results == ["charge of /till", "charge of /web", "charge of /till"]


def test_a_step_costs_two_writes_and_one_where_it_is_done() -> None:
    shop = ChargingHandler()
    shop.attempt(EVENT)
    assert shop.faults.calls == ["steps.begin", "steps.finish"]
    shop.attempt(EVENT)
    assert shop.faults.calls[2:] == ["steps.begin"]


@pytest.mark.parametrize("result", [None, 0, "", [1, {"a": None}], "☃"], ids=repr)
def test_results_come_back_as_they_were(result: object) -> None:
    shop = ChargingHandler()
    shop.set_to = result
    for _ in range(2):
        shop.attempt(EVENT)
    assert shop.results == ["charge e1" if result is None else result] * 2


@pytest.mark.parametrize(
    "result",
    [(1, 2), {1: "a"}, object(), float("nan"), b"bytes", "x" * limits.STEP_RESULT_BYTES_MAX],
    ids=["tuple", "integer key", "object", "nan", "bytes", "long"],
)
def test_a_result_that_cannot_come_back_is_refused_and_the_effect_stays_noted(result: object) -> None:
    shop = ChargingHandler()
    shop.set_to = result
    with pytest.raises(HandlerError, match=r"step 'charge': result: found .*, allowed: plain JSON"):
        shop.attempt(EVENT)
    shop.attempt(EVENT)
    assert (shop.charged, shop.results) == ([KEY], [None])


def test_a_step_whose_block_raised_begins_again() -> None:
    shop = ChargingHandler()
    shop.before = raise_(TimeoutError("no answer"))
    with pytest.raises(TimeoutError):
        shop.attempt(EVENT)
    shop.before = lambda: None
    shop.attempt(EVENT)
    assert shop.charged == [KEY]


def test_a_raised_error_is_not_replaced_by_that_of_a_lost_note() -> None:
    shop = ChargingHandler(faults=Faults(nth(1, Fault.THROTTLED, name="steps.forget")))
    shop.before = raise_(TimeoutError("no answer"))
    with pytest.raises(TimeoutError):
        shop.attempt(EVENT)
    with pytest.raises(UnknownStepError):
        shop.attempt(EVENT)


def test_with_verify_an_error_leaves_it_in_doubt_too() -> None:
    shop = ChargingHandler(verify=lambda step: step.key in shop.charged)
    shop.after = raise_(TimeoutError("no answer, and charged all the same"))
    with pytest.raises(TimeoutError):
        shop.attempt(EVENT)
    shop.after = lambda: None
    shop.attempt(EVENT)
    assert shop.charged == [KEY]


@pytest.mark.parametrize("charged", [False, True], ids=["before the charge", "after the charge"])
def test_verify_decides_what_a_crash_left(charged: bool) -> None:
    def was_charged(step: Step) -> bool:
        if step.key in shop.charged:
            step.result = "found"
            return True
        return False

    shop = ChargingHandler(verify=was_charged)
    crash = raise_(SimulatedCrash())
    shop.before, shop.after = (shop.before, crash) if charged else (crash, shop.after)
    with pytest.raises(SimulatedCrash):
        shop.attempt(EVENT)
    shop.before = shop.after = lambda: None
    shop.attempt(EVENT)
    shop.attempt(EVENT)
    assert shop.charged == [KEY]
    assert shop.results == ["found" if charged else "charge e1"] * 2


def test_verify_that_raises_is_asked_again_and_one_that_shrugs_is_named() -> None:
    asked: list[Any] = [None, PermissionError("not now"), True]

    def answer(step: Step) -> bool:
        outcome = asked.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[no-any-return]  # no bool, on purpose

    shop = ChargingHandler(faults=Faults(nth(1, Fault.LOST_REPLY, name="steps.begin")), verify=answer)
    for expected in (OutcomeUnknownError, HandlerError, PermissionError):
        with pytest.raises(expected):
            shop.attempt(EVENT)
    shop.attempt(EVENT)
    assert (shop.charged, asked) == ([], [])


def test_a_block_that_does_not_ask_is_named_at_its_first_attempt() -> None:
    def careless(event: Event, delivery: Delivery) -> None:
        with delivery.once("charge"):
            shop.charged.append("again and again")

    shop = ChargingHandler()
    shop.handler._function = careless
    with pytest.raises(HandlerError, match=r"must ask step\.done"):
        shop.attempt(EVENT)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda d: d.once(""), "step '': allowed: 1 to 64"),
        (lambda d: d.once("a/b"), "step 'a/b': allowed"),
        (lambda d: d.once("x" * 65), "allowed: 1 to 64"),
        (lambda d: d.once(7), "step 7: allowed"),
        (lambda d: d.once("charge").done, "only inside its with block"),
    ],
    ids=["empty", "slash", "long", "number", "outside"],
)
def test_wrong_use_is_named(use: Callable[[Any], object], message: str) -> None:
    shop = ChargingHandler()
    shop.handler._function = lambda event, delivery: use(delivery)
    with pytest.raises(HandlerError, match=message):
        shop.attempt(EVENT)
    assert shop.faults.calls == []


def test_a_step_after_its_delivery_is_refused() -> None:
    deliveries: list[Delivery] = []
    shop = ChargingHandler()
    shop.handler._function = lambda event, delivery: deliveries.append(delivery)
    shop.attempt(EVENT)
    with pytest.raises(HandlerError, match="its delivery has ended"):
        deliveries[0].once("charge")


def test_handlers_of_several_events_say_whose_step_it_is() -> None:
    def charge_all(events: list[Event], delivery: Delivery) -> None:
        for next_event in events:
            with delivery.once("charge", event=next_event) as step:
                if not step.done:
                    shop.charged.append(step.key)
        if shop.charged[-1].endswith("e3"):
            delivery.once("charge")

    shop = ChargingHandler()
    maker = shop.handler._steps
    shop.handler = SubscriberHandler(charge_all, clock=shop.fabric.clock, transactional=False, steps=maker)
    attempt = Attempt(SUBSCRIPTION, 1, 10**15)
    shop.handler.attempt([event("e1"), event("e2")], attempt)
    assert shop.charged == [KEY, KEY.replace("e1", "e2")]
    with pytest.raises(HandlerError, match="event: found none"):
        shop.handler.attempt([event("e3")], attempt)


def test_a_crash_in_a_step_without_verify_makes_a_dead_letter_of_that_event_alone() -> None:
    shop = ChargingHandler(faults=Faults(nth(1, Fault.CRASH_AFTER, name="steps.begin")))
    shop.fabric.put(*(event(f"e{n}", key=f"k{n}") for n in range(4)))
    with pytest.raises(SimulatedCrash):
        shop.fabric.deliver()
    shop.fabric.relay_all()
    shop.fabric.deliver_all()
    assert [key.rpartition("/")[2] for key in shop.charged] == ["e1", "e2", "e3"]
    (dead,) = shop.fabric.parked().values()
    assert (dead.key, dead.state) == ("k0", ParkedState.DEAD)
    assert dead.failure.error_type == "eventfabric.errors:UnknownStepError"
    assert f"orders/billing/step/charge/{SOURCE}/e0" in dead.failure.message
    assert "steps settle" in dead.failure.hint


@pytest.mark.parametrize("seed", range(8))
def test_with_verify_each_of_many_charges_happens_once_whatever_crashes(seed: int) -> None:
    kinds = [Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST_REPLY, Fault.LOST_REQUEST, Fault.THROTTLED]
    faults = Faults(at_random(0.05, kinds, seed=seed))
    shop = ChargingHandler(faults=faults, verify=lambda step: step.key in shop.charged, **retry(attempts=100))
    names = [f"e{n}" for n in range(200)]
    for start in range(0, 200, 10):
        shop.fabric.put(*(event(name, key=name) for name in names[start : start + 10]))
    deliverer, receive_count, crashes = shop.fabric.deliverer(faults=faults), 1, 0
    for _ in range(2_000):
        if shop.fabric.cursor().sequence == SequenceNumber(200) and not shop.fabric.parked():
            break
        shop.fabric.clock.advance(120)
        try:
            deliverer.deliver(
                shop.fabric.bell(),
                deadline_ms=shop.fabric.clock.now_ms() + 100_000,
                receive_count=receive_count,
            )
            receive_count = 1
        except PortError:
            receive_count = 2
        except SimulatedCrash:
            receive_count, crashes = 2, crashes + 1
    assert Counter(shop.charged) == dict.fromkeys((KEY.replace("e1", name) for name in names), 1)
    assert shop.fabric.parked() == {}
    assert crashes > 10


def test_a_step_that_could_not_be_noted_is_not_begun() -> None:
    shop = ChargingHandler(faults=Faults(nth(1, Fault.THROTTLED, name="steps.begin")))
    with pytest.raises(ThrottledError):
        shop.attempt(EVENT)
    assert shop.charged == []
    shop.attempt(EVENT)
    assert shop.charged == [KEY]


@pytest.mark.parametrize("done", [True, False], ids=["done", "in doubt"])
def test_what_a_former_owner_did_is_not_done_again(done: bool) -> None:
    shop = ChargingHandler()
    ours = shop.fabric.cloud.steps(STREAM, HOME)
    theirs = shop.fabric.cloud.steps(STREAM, AWAY)
    key = StepKey(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), "charge", "/t", "e1")
    theirs.begin(key)
    if done:
        theirs.finish(key, '"theirs"')
    shop.fabric.cloud.replicate()
    shop.handler._steps = StepMaker(key.stream, key.subscription, lambda: ours, (AWAY,))
    taken_over = Attempt(SUBSCRIPTION, 1, 10**15, epoch=1)
    if done:
        shop.handler.attempt([EVENT], taken_over)
        assert (shop.charged, shop.results) == ([], ["theirs"])
    else:
        with pytest.raises(UnknownStepError):
            shop.handler.attempt([EVENT], taken_over)
        assert shop.charged == []


@pytest.mark.parametrize("happened", [True, False])
def test_what_a_former_owner_left_in_doubt_is_settled_as_the_handler_sees_it(happened: bool) -> None:
    shop = ChargingHandler()
    fabric = shop.fabric
    ours = fabric.cloud.steps(STREAM, HOME)
    theirs = fabric.cloud.steps(STREAM, AWAY)
    key = StepKey(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), "charge", "/t", "e1")
    operations = Operations(fabric.topology, HOME, fabric.ports(HOME))
    theirs.begin(key)
    fabric.cloud.replicate()
    hand_over(fabric)
    shop.handler._steps = StepMaker(key.stream, key.subscription, lambda: ours, (AWAY,))
    taken_over = Attempt(SUBSCRIPTION, 1, 10**15, epoch=1)
    with pytest.raises(UnknownStepError):
        shop.handler.attempt([EVENT], taken_over)
    operations.settle_step(
        SUBSCRIPTION, "e1", "charge", happened=happened, result="found" if happened else None, source="/t"
    )
    shop.handler.attempt([EVENT], taken_over)
    assert shop.charged == ([] if happened else [KEY])
    with pytest.raises(NotUnknownError):
        operations.settle_step(SUBSCRIPTION, "e1", "charge", happened=True, source="/t")
    # Whatever the former owner's record says when it comes late, what it did is not done again.
    theirs.finish(key, '"theirs"')
    fabric.cloud.replicate()
    shop.handler.attempt([EVENT], taken_over)
    assert shop.charged == ([] if happened else [KEY])


def test_without_a_handover_other_regions_records_are_their_own() -> None:
    fabric = SubscribedStream()
    key = StepKey(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), "charge", "/t", "e1")
    fabric.cloud.steps(STREAM, AWAY).begin(key)
    fabric.cloud.replicate()
    operations = Operations(fabric.topology, HOME, fabric.ports(HOME))
    assert operations.step(SUBSCRIPTION, "e1", "charge", source="/t") is None
    with pytest.raises(NotUnknownError, match="never began"):
        operations.settle_step(SUBSCRIPTION, "e1", "charge", happened=False, source="/t")
