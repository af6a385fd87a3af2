"""Settings of a subscription that change while something of it is parked: in which order it comes, and what comes."""

from typing import Any

import pytest

from eventfabric import limits
from eventfabric.model import ParkedState
from tests.support.failing_handlers import Failing, dead_letters, drained, fabric_of, named, retry
from tests.support.memory_fabric import event
from tests.support.subscribed_stream import SubscribedStream, topology

SLOW = retry(immediate=0, attempts=5, backoff_seconds=100)
DEAD = retry(immediate=0, attempts=1)


def changed(failing: Failing, *names: str, before: dict[str, Any], after: dict[str, Any]) -> SubscribedStream:
    """A fabric that delivered these with some settings, and has others now."""
    fabric = fabric_of(failing, *named(*names), **before)
    fabric.deliver()
    fabric.topology = topology(**after)
    return fabric


def test_a_key_whose_event_was_parked_when_no_order_was_kept_waits_behind_it() -> None:
    failing = Failing({"a1": 1})
    fabric = changed(failing, "a1", "b1", before={"order": "none", **SLOW}, after={"order": "key", **SLOW})
    fabric.put(*named("a2", "b2"))
    fabric.deliver()
    assert failing.tried == ["a1", "b1", "b2"]
    fabric.put(*named("a3"))
    drained(fabric)
    assert failing.tried == ["a1", "b1", "b2", "a1", "a2", "a3"]
    assert fabric.parked() == {}


@pytest.mark.parametrize("dead", [True, False])
def test_of_several_events_parked_alone_the_first_of_a_key_is_first(dead: bool) -> None:
    failing = Failing({"a1": 1, "a2": 1, "a3": 1})
    before = {"order": "none", **(DEAD if dead else SLOW)}
    fabric = changed(failing, "a1", "a2", "b1", "a3", before=before, after={"order": "key", **SLOW})
    fabric.put(*named("a4"))
    fabric.deliver()
    assert failing.tried == ["a1", "a2", "b1", "a3"]
    if dead:
        for letter in sorted(dead_letters(fabric).find(), key=lambda letter: -letter.parked.first.sequence):
            dead_letters(fabric).redrive(letter)
            drained(fabric)
        assert [parked.state for parked in fabric.parked().values()] == []
    drained(fabric)
    assert failing.tried == ["a1", "a2", "b1", "a3", "a1", "a2", "a3", "a4"]


def test_a_dead_letter_that_was_parked_alone_holds_its_key_from_then_on() -> None:
    failing = Failing({"a1": 1})
    fabric = changed(failing, "a1", "a2", before={"order": "none", **DEAD}, after={"order": "key", **SLOW})
    fabric.put(*named("a3", "b1"))
    drained(fabric)
    assert failing.tried == ["a1", "a2", "b1"]
    (parked,) = fabric.parked().values()
    assert (parked.state, [place.sequence for place in parked.waiting]) == (ParkedState.DEAD, [0, 2])


def test_where_order_is_given_up_what_waits_in_a_key_stays_in_order() -> None:
    failing = Failing({"a1": 1})
    fabric = changed(failing, "a1", "a2", before={"order": "key", **SLOW}, after={"order": "none", **SLOW})
    fabric.put(*named("a3"))
    fabric.deliver()
    assert failing.tried == ["a1", "a3"]
    drained(fabric)
    assert failing.tried == ["a1", "a3", "a1", "a2"]


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("before", ["at_least_once", "exactly_once"])
def test_another_guarantee_goes_on_with_a_parked_key_in_order(before: str, guarantee: str) -> None:
    failing = Failing({"a1": 1})
    fabric = changed(
        failing, "a1", "b1", before={"guarantee": before, **SLOW}, after={"guarantee": guarantee, **SLOW}
    )
    fabric.put(*named("a2"))
    drained(fabric)
    assert failing.tried == ["a1", "b1", "a1", "a2"]


def test_fewer_attempts_count_those_that_were_made() -> None:
    failing = Failing({"a1": 9})
    fabric = fabric_of(failing, *named("a1"), **retry(immediate=0, attempts=9))
    for _ in range(3):
        fabric.deliver()
        fabric.clock.advance(3600)
    fabric.topology = topology(**retry(immediate=0, attempts=2))
    drained(fabric)
    assert failing.tried == ["a1"] * 4
    assert [parked.state for parked in fabric.parked().values()] == [ParkedState.DEAD]


@pytest.mark.parametrize("wider", [True, False])
def test_types_hold_for_what_waits_unlisted_and_not_for_what_is_listed(
    wider: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PARKED_PLACES_MAX", 2)
    few, many = ["paid"], ["paid", "placed"]
    before, after = (few, many) if wider else (many, few)
    failing = Failing({"a1": 1})
    fabric = fabric_of(failing, types=before, **SLOW)
    for number, kind in enumerate(["paid", "paid", "paid", "placed", "paid"], start=1):
        fabric.put(event(f"a{number}", key="a", type=kind))
    fabric.deliver()
    assert failing.tried == ["a1"]
    fabric.topology = topology(types=after, **SLOW)
    drained(fabric)
    assert failing.tried == ["a1", "a1", "a2", "a3", *(["a4"] if wider else []), "a5"]
