"""Later events: of the same key, published later elsewhere, and handed out here."""

from typing import Any

import pytest

from eventfabric.limits import LATE_AFTER_SECONDS
from eventfabric.model import Region
from eventfabric.services.operations.failover import Failover
from tests.support.memory_fabric import AWAY, HOME, STREAM, event, lane
from tests.support.subscribed_stream import SubscribedStream
from tests.unit.services.delivery.test_late import late_of, publish


def lost(**settings: Any) -> SubscribedStream:
    """HOME is lost with a1 and b1, which it alone has; its lanes are AWAY's, as which the fabric looks."""
    home = SubscribedStream(**settings)
    home.cloud.cut(HOME)
    publish(home, "a1", "b1")
    if home.subscription.definition.deliver == "origin":
        Failover(home.topology, source=HOME, target=AWAY, ports=home.ports(AWAY)).hand_over()
    home.clock.advance(1)
    return home.in_region(AWAY)


def back(away: SubscribedStream, *, seconds: float = LATE_AFTER_SECONDS) -> dict[str, str | None]:
    """Return the later events of a1 and b1 when HOME is back, `seconds` after they were published."""
    published_ms = away.cloud.log(STREAM, HOME).tail(lane(0)).time >> 16
    away.clock.advance(published_ms / 1000 + seconds - away.clock.now_ms() / 1000)
    away.cloud.heal(HOME)
    away.cloud.replicate()
    away.deliver(lane(0))
    said = late_of(away)
    return {name: said[name] for name in ("a1", "b1")}


def deliver_there(away: SubscribedStream, *names: str) -> None:
    """Publish these in AWAY, and deliver all that it has of its own."""
    publish(away, *names, origin=AWAY)
    away.deliver(lane(0, AWAY))


@pytest.mark.parametrize(("milliseconds", "later"), [(0, None), (1, "a2")])
def test_only_an_event_that_is_old_is_asked_about(milliseconds: int, later: str | None) -> None:
    away = lost()
    deliver_there(away, "a2")
    assert back(away, seconds=LATE_AFTER_SECONDS + milliseconds / 1000) == {"a1": later, "b1": None}


def test_of_several_later_ones_it_is_the_last() -> None:
    away = lost()
    for names in (["a2", "b2"], ["a3"], ["c3"]):
        deliver_there(away, *names)
        away.clock.advance(1)
    assert back(away, seconds=LATE_AFTER_SECONDS + 60) == {"a1": "a3", "b1": "b2"}


def test_one_that_was_not_handed_out_yet_does_not_count() -> None:
    away = lost()
    deliver_there(away, "a2")
    publish(away, "b2", "a3", origin=AWAY)
    assert back(away, seconds=LATE_AFTER_SECONDS + 60) == {"a1": "a2", "b1": None}


def test_one_that_was_published_before_does_not_count() -> None:
    home = SubscribedStream()
    away = home.in_region(AWAY)
    deliver_there(away, "a0")
    home.clock.advance(1)
    home.cloud.cut(HOME)
    publish(home, "a1", "b1")
    Failover(home.topology, source=HOME, target=AWAY, ports=home.ports(AWAY)).hand_over()
    home.clock.advance(1)
    deliver_there(away, "b2")
    assert back(away, seconds=LATE_AFTER_SECONDS + 60) == {"a1": None, "b1": "b2"}


def test_one_that_the_subscription_does_not_want_does_not_count() -> None:
    away = lost(types=["placed"])
    of = lane(0, AWAY)
    log = away.cloud.log(STREAM, AWAY)
    unwanted = event("a2", key="a", type="viewed")
    assert log.append(away.record(log.tail(of), unwanted, event("b2", key="b"), of=of)) is None
    away.deliver(of)
    assert back(away, seconds=LATE_AFTER_SECONDS + 60) == {"a1": None, "b1": "b2"}


@pytest.mark.parametrize("region", [HOME, AWAY])
def test_where_every_region_delivers_all_only_what_was_handed_out_in_this_one_counts(region: Region) -> None:
    away = lost(deliver="everywhere")
    publish(away, "a2", origin=AWAY)
    away.cloud.heal(HOME)
    away.cloud.replicate()
    away.cloud.cut(HOME)
    away.in_region(region).deliver(lane(0, AWAY))
    away.cloud.heal(HOME)
    away.cloud.replicate()
    later = "a2" if region == AWAY else None
    away.clock.advance(LATE_AFTER_SECONDS + 60)
    away.deliver(lane(0))
    assert late_of(away)["a1"] == later
