"""Replays on the local fabric: they reach the subscription and the Region that they name, and no other."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from eventfabric import Delivery, Event
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition
from eventfabric.errors import ReplayRefusedError, SettingError, UnknownNameError
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.testing.local.handled import Handled

US, EU = "us-east-1", "eu-west-1"
SUBSCRIPTIONS = ("billing", "shipping", "analytics")


def definition(**billing: str) -> Definition:
    settings = "\n".join(f"{name} = {value}" for name, value in billing.items())
    return parse_definition(f"""
        [fabric]
        name = "shop"
        regions = ["{US}", "{EU}"]
        [streams.orders]
        lanes = 4
        [streams.other]
        [subscriptions.billing]
        stream = "orders"
        handler = "subscribers.any:handle"
        {settings}
        [subscriptions.shipping]
        stream = "orders"
        handler = "subscribers.any:handle"
        guarantee = "exactly_once"
        [subscriptions.analytics]
        stream = "orders"
        handler = "subscribers.any:handle"
        deliver = "everywhere"
        [subscriptions.late]
        stream = "orders"
        handler = "subscribers.any:handle"
        [subscriptions.elsewhere]
        stream = "other"
        handler = "subscribers.any:handle"
    """)


class Handlers:
    """One for each subscription: notes whether events are replays; some events fail, as long as they stand here."""

    def __init__(self) -> None:
        self.handled: dict[str, list[tuple[str, bool]]] = {}
        self.fails: set[tuple[str, str]] = set()

    def of(self, name: str) -> object:
        def handle(event: Event, delivery: Delivery) -> None:
            if (name, str(event.id)) in self.fails:
                raise ValueError(event.id)
            self.handled.setdefault(name, []).append((str(event.id), delivery.is_replay))

        return handle


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


@pytest.fixture
def fabric(handlers: Handlers) -> Iterator[LocalFabric]:
    """Twenty events of each Region, handled by all but one subscription, which is paused."""
    names = (*SUBSCRIPTIONS, "late", "elsewhere")
    of: dict[str, object] = {name: handlers.of(name) for name in names}
    with LocalFabric(definition(), handlers=of) as fabric:  # type: ignore[arg-type]  # made by name
        for region in (US, EU):
            fabric.subscription("late").pause(region)
        publish(fabric, range(20))
        fabric.settle()
        yield fabric


def publish(fabric: LocalFabric, numbers: range) -> None:
    for number in numbers:
        for region in (US, EU):
            fabric.region(region).publish(
                "orders", key=f"k{number % 7}", type="Placed", id=f"{region}-{number}"
            )
        fabric.clock.advance(seconds=1)


def handled(fabric: LocalFabric) -> dict[tuple[str, str], list[Handled]]:
    """Return the events that each subscription handled in each Region, in that order."""
    names = (*SUBSCRIPTIONS, "late")
    return {
        (name, region): fabric.subscription(name).handled(region) for name in names for region in (US, EU)
    }


def ids(entries: list[Handled]) -> list[str | None]:
    return [entry.event.id for entry in entries]


@pytest.mark.parametrize("start", [0, 2])
def test_a_replay_of_one_of_three_leaves_the_other_two_untouched(fabric: LocalFabric, start: int) -> None:
    for replayed in SUBSCRIPTIONS:
        before = handled(fabric)
        count = fabric.subscription(replayed).replay(US, start)
        fabric.settle(timers=True)
        after = handled(fabric)
        for pair in after:
            if pair != (replayed, US):
                assert after[pair] == before[pair]
        again = after[replayed, US][len(before[replayed, US]) :]
        assert len(again) == count > 0
        wanted = Counter(e.event.id for e in before[replayed, US] if (e.event.sequence or 0) >= start)
        assert Counter(ids(again)) == wanted
        assert all(entry.is_replay for entry in again)
        for place in {(entry.event.key, entry.event.lane) for entry in again}:
            of_key = [e.event.sequence or 0 for e in again if (e.event.key, e.event.lane) == place]
            assert of_key == sorted(of_key)


def test_new_events_come_behind_a_replay_and_are_none(fabric: LocalFabric, handlers: Handlers) -> None:
    fabric.subscription("billing").replay(US, 0)
    handlers.handled.clear()
    publish(fabric, range(20, 25))
    fabric.settle()
    handled = handlers.handled["billing"]
    assert {name for name, is_replay in handled if is_replay} == {f"{US}-{number}" for number in range(20)}
    assert {name for name, is_replay in handled if not is_replay} == {
        f"{region}-{number}" for region in (US, EU) for number in range(20, 25)
    }
    assert not any(is_replay for _, is_replay in handlers.handled["shipping"])


def test_from_a_time_on(fabric: LocalFabric) -> None:
    before = len(fabric.subscription("billing").handled(US))
    now = fabric.clock.now_ms()
    # One was published each second, the last a second ago.
    moment = datetime.fromtimestamp((now - 7_000) / 1000, UTC).isoformat()
    assert fabric.subscription("billing").replay(US, moment) == 7
    fabric.settle()
    again = ids(fabric.subscription("billing").handled(US)[before:])
    assert set(again) == {f"{US}-{number}" for number in range(13, 20)}


def test_one_key_and_what_fails_of_it(fabric: LocalFabric, handlers: Handlers) -> None:
    handlers.handled.clear()
    handlers.fails.add(("billing", f"{US}-10"))
    assert fabric.subscription("billing").replay(US, 0, key="k3") == 3
    publish(fabric, range(24, 25))
    fabric.settle(timers=True)
    of_us = [handled for handled in handlers.handled["billing"] if handled[0].startswith(US)]
    assert of_us == [(f"{US}-3", True)]
    (letter,) = fabric.subscription("billing").dead_letters(US)
    assert (letter.parked.key, len(letter.parked.waiting)) == ("k3", 3)
    handlers.fails.clear()
    a_letter_for_a_key: Any = letter
    for decide in (fabric.subscription("billing").redrive, fabric.subscription("billing").discard):
        with pytest.raises(SettingError, match="key: found 'DeadLetter', allowed: the key"):
            decide(a_letter_for_a_key)
    fabric.subscription("billing").redrive("k3")
    fabric.settle(timers=True)
    of_us = [handled for handled in handlers.handled["billing"] if handled[0].startswith(US)]
    assert of_us == [(f"{US}-3", True), (f"{US}-10", True), (f"{US}-17", True), (f"{US}-24", False)]
    assert "shipping" not in handlers.handled or not any(replay for _, replay in handlers.handled["shipping"])


def test_another_subscription_is_fed_from_what_this_one_was_handed(fabric: LocalFabric) -> None:
    before = handled(fabric)
    late = fabric.subscription("late")
    fabric.subscription("billing").replay(US, 2, into="late")
    fabric.settle()
    assert late.handled() == []  # it is paused: the replay waits with everything else
    for region in (US, EU):
        late.resume(region)
    fabric.settle()
    after = handled(fabric)
    assert all(after[pair] == before[pair] for pair in before if pair[0] != "late")
    in_us = late.handled(US)
    assert Counter(ids(in_us)) == Counter(
        entry.event.id
        for entry in fabric.subscription("billing").handled(US)
        if (entry.event.sequence or 0) >= 2
    )
    assert not any(entry.is_replay for entry in in_us)  # it had none of them
    assert len(late.handled(EU)) == 20
    assert not any(entry.is_replay for entry in late.handled(EU))


def test_a_replay_waits_for_a_paused_subscription(fabric: LocalFabric) -> None:
    billing = fabric.subscription("billing")
    before = len(billing.handled(US))
    billing.pause(US)
    fabric.clock.advance(seconds=10)  # warm functions trust for a while what they know
    billing.replay(US, 0)
    fabric.settle()
    assert len(billing.handled(US)) == before
    billing.resume(US)
    fabric.settle()
    assert len(billing.handled(US)) == 2 * before


def test_what_cannot_be_done_is_refused_and_nothing_comes_again(fabric: LocalFabric) -> None:
    before, billing = handled(fabric), fabric.subscription("billing")
    refusals: list[tuple[Callable[[], int], type[Exception], str]] = [
        (lambda: billing.replay(US, 10_000), ReplayRefusedError, "sequence 10000 is beyond the tail"),
        (lambda: billing.replay(US, "2999-01-01T00:00:00Z"), ReplayRefusedError, "is in the future"),
        (lambda: billing.replay(US, "yesterday"), SettingError, "found 'yesterday'"),
        (lambda: billing.replay(US, 0, key=cast(Any, 7)), SettingError, "key: found 'int'"),
        (
            lambda: billing.replay(US, 0, lane="0.1"),
            SettingError,
            "lane: found '0.1', allowed: a lane as it is",
        ),
        (lambda: billing.replay(US, 0, lane=f"{US}/0.9"), SettingError, f"found '{US}/0.9'"),
        (lambda: billing.replay(US, 0, key="nobody"), ReplayRefusedError, "has no delivered events"),
        (lambda: billing.replay(US, 0, into="billing"), ReplayRefusedError, "cannot be fed from itself"),
        (lambda: billing.replay(US, 0, into="elsewhere"), ReplayRefusedError, "is of stream other"),
        (lambda: billing.replay(US, 0, into="nobody"), UnknownNameError, "no subscription is named 'nobody'"),
    ]
    for ask, error, complaint in refusals:
        with pytest.raises(error, match=complaint):
            ask()
    fabric.settle(timers=True)
    assert handled(fabric) == before


def test_a_subscription_may_refuse() -> None:
    with (
        LocalFabric(definition(replay="false"), handlers={"billing": lambda event, delivery: None}) as fabric,
        pytest.raises(ReplayRefusedError, match="billing has replay = false"),
    ):
        fabric.subscription("billing").replay(US, 0)
