"""An error of a service is not a crash, costs no attempt, and ends a lane run only where it lasts."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import OutcomeUnknownError, PortError, ThrottledError
from eventfabric.model import Committed, Event, ParkedChange, ParkedState, Write
from eventfabric.ports import Attempt
from eventfabric.services.delivery.deliver import Deliverer
from eventfabric.services.delivery.lane_result import LaneOutcome, LaneResult
from eventfabric.testing.memory.faults import Fault, Faults, Rule, SimulatedCrash, at_random, nth
from eventfabric.testing.memory.refusals import CONFLICT, THROTTLE
from tests.support.crashing_handlers import Crashing
from tests.support.failing_handlers import Failing, fabric_of, named, retry
from tests.support.memory_fabric import LANE, event
from tests.support.recording_handler import EFFECTS, add_one
from tests.support.subscribed_stream import INVOCATION_MS, SubscribedStream
from tests.unit.services.delivery.test_breaker import operator


def always(name: str, fault: Fault) -> Rule:
    return at_random(1.0, [fault], seed=0, names=[name])


def run(fabric: SubscribedStream, by: Deliverer, *, received: int = 1, ended: int = 0) -> LaneResult:
    """One lane run for a doorbell that was received so often, and says where attempts are known to have ended."""
    bell = replace(fabric.bell(), ended=ended)
    return by.deliver(bell, deadline_ms=fabric.clock.now_ms() + INVOCATION_MS, receive_count=received)


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once", "exactly_once"])
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.LOST_REQUEST, Fault.LOST_REPLY])
def test_a_commit_that_fails_for_a_moment_is_made_again_and_no_event_is_handed_out_twice(
    guarantee: str, fault: Fault
) -> None:
    fabric = fabric_of(Failing({}), *named("a1", "b1"), guarantee=guarantee)
    faults = Faults(nth(1, fault, name="ledger.commit"))
    before_ms = fabric.clock.now_ms()
    assert run(fabric, fabric.deliverer(faults=faults)).outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a1", "b1"]
    assert fabric.cursor().sequence == 2
    assert fabric.clock.now_ms() - before_ms <= 1000


def test_a_commit_that_fails_for_longer_ends_the_run_within_seconds() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    before_ms = fabric.clock.now_ms()
    with pytest.raises(ThrottledError):
        run(fabric, fabric.deliverer(faults=Faults(always("ledger.commit", Fault.THROTTLED))))
    assert fabric.clock.now_ms() - before_ms <= 1000 * limits.LANE_PATIENCE_SECONDS


@pytest.mark.parametrize("tells", ["the same process", "the doorbell"])
def test_an_attempt_whose_end_could_not_be_noted_is_no_crash(tells: str) -> None:
    """However often: the process lived, and knows that its attempts ended."""
    fabric = fabric_of(Failing({}), *named("a1"))
    same, crashes = fabric.deliverer(faults=Faults()), 0
    for _ in range(3 * limits.CRASHES_MAX):
        # The note of the attempt goes through; what commits it does not.
        faults = Faults(
            lambda called, overall, of_name: Fault.THROTTLED if _commits(called, of_name) else None
        )
        by = fabric.deliverer(faults=faults)
        by._ended_at = same._ended_at if tells == "the same process" else by._ended_at
        with pytest.raises(ThrottledError):
            run(fabric, by, received=2, ended=crashes)
        assert fabric.cursor().running
        crashes = by.ended_at(fabric.bell().lane) if tells == "the doorbell" else 0
        assert fabric.cursor().crashes == 0
    assert run(
        fabric, fabric.deliverer(), received=2, ended=crashes or same.ended_at(fabric.bell().lane)
    ).done
    assert fabric.parked() == {}
    assert fabric.cursor().sequence == 1


def _commits(called: str, of_name: int) -> bool:
    return called == "ledger.commit" and of_name > 1


def test_an_attempt_of_a_parked_key_whose_end_could_not_be_noted_is_no_crash() -> None:
    failing = Failing({"a1": 99})
    fabric = fabric_of(failing, *named("a1"), **retry(attempts=100))
    fabric.deliver()
    crashes = 0
    for _ in range(3 * limits.CRASHES_MAX):
        fabric.clock.advance(3600)
        by = fabric.deliverer(
            faults=Faults(
                lambda called, overall, of_name: Fault.LOST_REQUEST if _commits(called, of_name) else None
            )
        )
        with pytest.raises(OutcomeUnknownError):
            run(fabric, by, received=2, ended=crashes)
        crashes = by.ended_at(fabric.bell().lane)
    assert fabric.cursor().running
    assert fabric.parked()["a"].failure.crashes == 0
    assert fabric.parked()["a"].state is ParkedState.RETRYING


def test_a_process_that_dies_after_all_is_still_counted() -> None:
    """Knowing that an earlier attempt ended says nothing about an attempt that was noted later."""
    fabric = fabric_of(Crashing({"a1": 1}), *named("a1"))
    fabric.run_dies()
    with pytest.raises(SimulatedCrash):
        run(fabric, fabric.deliverer(), received=2)
    noted = fabric.cursor()
    assert noted.attempting
    run(fabric, fabric.deliverer(), received=2, ended=noted.version - 2)
    assert fabric.recorder.ids() == ["a1"]
    crashing = Crashing({"b1": 1})
    other = fabric_of(crashing, *named("b1"))
    other.run_dies()
    with pytest.raises(SimulatedCrash):
        run(other, other.deliverer(), received=2)
    with pytest.raises(ThrottledError):
        run(other, other.deliverer(faults=Faults(always("ledger.commit", Fault.THROTTLED))), received=2)
    assert other.cursor().attempting


def test_an_attempt_is_noted_anew_even_where_the_last_one_is_known_to_have_ended() -> None:
    """Else a crash of it would be taken for the one that ended."""
    fabric = fabric_of(Failing({}), *named("a1"))
    by = fabric.deliverer(
        faults=Faults(lambda called, overall, of_name: Fault.THROTTLED if _commits(called, of_name) else None)
    )
    with pytest.raises(ThrottledError):
        run(fabric, by, received=2)
    ended, version = by.ended_at(fabric.bell().lane), fabric.cursor().version
    crashing = fabric.deliverer(handler=_crashing, faults=Faults())
    with pytest.raises(SimulatedCrash):
        run(fabric, crashing, received=2, ended=ended)
    assert fabric.cursor().running
    assert fabric.cursor().version > version


class _Crashing:
    batch_events_max = 1

    def attempt(self, *about: object) -> tuple[()]:
        raise SimulatedCrash("in the handler")


_crashing = _Crashing()


@pytest.mark.parametrize("code", [CONFLICT, THROTTLE])
def test_a_row_of_the_handlers_that_is_busy_costs_its_event_no_attempt_and_no_other_key_waits(
    code: str,
) -> None:
    fabric = fabric_of(Failing({}), *named("a1", "b1", "c1"), guarantee="exactly_once", **retry(attempts=2))
    effects = fabric.cloud.regions[fabric.region].table(EFFECTS)
    effects.refuser = lambda action, key: code if "b1" in str(key) else None
    for _ in range(10):
        run(fabric, fabric.deliverer())
        fabric.clock.advance(3600)
    assert fabric.effects() == {"a1": 1, "c1": 1}
    parked = fabric.parked()["b"]
    assert (parked.state, parked.failure.attempts) == (ParkedState.RETRYING, 0)
    effects.refuser = lambda action, key: None
    run(fabric, fabric.deliverer())
    assert fabric.effects() == {"a1": 1, "b1": 1, "c1": 1}
    assert fabric.parked() == {}


@pytest.mark.parametrize("name", ["ledger.state", "ledger.standing", "log.read", "ledger.commit"])
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.LOST_REQUEST])
def test_a_service_that_is_away_uses_up_nothing(name: str, fault: Fault) -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    for received in range(1, 3 * limits.CRASHES_MAX):
        with pytest.raises(PortError):
            run(fabric, fabric.deliverer(faults=Faults(always(name, fault))), received=received)
        fabric.clock.advance(600)
    assert run(fabric, fabric.deliverer()).done
    assert (fabric.cursor().sequence, fabric.cursor().crashes, fabric.parked()) == (1, 0, {})


def test_a_subscription_paused_between_a_lost_race_and_the_next_try_is_not_tried_again() -> None:
    fabric = fabric_of(Failing({}), *named("a1", "b1"))

    def lose_and_pause(called: str, overall: int, of_name: int) -> Fault | None:
        if (called, of_name) == ("ledger.commit", 1):
            cursor = fabric.cursor()
            fabric.cloud.ledger(fabric.region).commit(
                fabric.key_of(LANE), cursor, replace(cursor, crashes=1)
            )  # somebody else's
            assert operator(fabric).pause("maintenance")
        return None

    result = run(fabric, fabric.deliverer(faults=Faults(lose_and_pause)))
    assert result.outcome is LaneOutcome.WAITING
    assert fabric.recorder.ids() == ["a1", "b1"]


class Full:
    """A handler of which events of key b want as many writes as one commit takes."""

    batch_events_max = 1

    def __init__(self) -> None:
        self.fails = True

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Write]:
        if self.fails and events[0].key in "ab":
            raise KeyError(events[0].key)
        wanted = limits.TRANSACTION_WRITES_MAX if events[0].key == "b" else 1
        return [add_one(f"{events[0].id} {number}") for number in range(wanted)]


def test_the_note_of_an_attempt_that_ended_takes_no_room_from_the_writes_of_a_key_that_is_due() -> None:
    handler = Full()
    settings = {"guarantee": "exactly_once", **retry(immediate=0, attempts=2)}
    fabric = SubscribedStream(handler=handler, **settings)
    fabric.put(event("b1", key="b"), event("a1", key="a"))
    fabric.deliver()
    fabric.clock.advance(3600)
    # An attempt at a is noted, and that it ended is not: the ledger was away by then, and this run knows it.
    parked = fabric.parked()
    noted = replace(parked["a"], attempting=True)
    changes = [ParkedChange(parked["a"], noted)]
    cursor = fabric.cursor()
    moved = cursor.beside({**parked, "a": noted})
    assert isinstance(fabric.ledger.commit(fabric.key_of(LANE), cursor, moved, parked=changes), Committed)
    handler.fails = False
    run(fabric, fabric.deliverer())
    assert fabric.parked() == {}
