"""A step's notes are made again in place, so that no event pays for a reply that was lost."""

import pytest

from eventfabric.errors import LastingError, OutcomeUnknownError
from eventfabric.model import StepKey, StepState, StreamName, SubscriptionName
from eventfabric.services.delivery.patient_steps import PatientSteps
from eventfabric.testing.memory.faults import Fault, Faults, nth
from tests.support.memory_fabric import HOME, STREAM
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

KEY = StepKey(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), "charge", "/t", "e1")


def patient(fabric: SubscribedStream, faults: Faults) -> PatientSteps:
    steps = faults.steps(fabric.cloud.steps(STREAM, HOME))
    return PatientSteps(steps, clock=fabric.clock, entropy=fabric.entropy)


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.LOST_REQUEST, Fault.LOST_REPLY])
@pytest.mark.parametrize("number", range(1, 5))
def test_one_call_that_fails_is_not_noticed(fault: Fault, number: int) -> None:
    steps = patient(SubscribedStream(), Faults(nth(number, fault)))
    assert steps.begin(KEY) is None
    steps.finish(KEY, '"x"')
    assert steps.look(KEY) == steps.begin(KEY) == StepState(True, '"x"')


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.LOST_REPLY])
def test_what_is_taken_back_is_taken_back_though_a_call_fails(fault: Fault) -> None:
    steps = patient(SubscribedStream(), Faults(nth(2, fault), nth(4, fault)))
    assert steps.begin(KEY) is None
    steps.forget(KEY)
    assert steps.begin(KEY) is None
    steps.release(KEY)
    assert steps.begin(KEY) is None
    assert steps.begin(KEY) == StepState(False)


def test_a_service_that_is_away_for_longer_is_reported_after_seconds() -> None:
    fabric = SubscribedStream()
    began_ms = fabric.clock.now_ms()
    with pytest.raises(OutcomeUnknownError):
        patient(fabric, Faults(lambda *call: Fault.LOST_REQUEST)).begin(KEY)
    assert 1_000 < fabric.clock.now_ms() - began_ms < 5_000


def test_what_somebody_has_to_mend_is_reported_at_once() -> None:
    fabric = SubscribedStream()
    began_ms = fabric.clock.now_ms()
    with pytest.raises(LastingError):
        patient(fabric, Faults(lambda *call: Fault.DENIED)).begin(KEY)
    assert fabric.clock.now_ms() == began_ms
