"""Reconciliation while a fabric is at work: no alarm without a cause, in any order of things."""

from random import Random

import pytest

from eventfabric import limits
from eventfabric.model.finding import Finding
from eventfabric.services.reconciliation.reconcile import Reconciler
from tests.support.failing_handlers import Failing, fabric_of, retry
from tests.support.memory_fabric import AWAY, HOME, LANE, event, lane
from tests.support.subscribed_stream import SubscribedStream

UNSERVED_SECONDS_MAX = limits.UNRUNG_SECONDS // 2
"""For so long chance alone may leave a lane without its turn: well before that is a finding by its definition."""


def reconcile(fabric: SubscribedStream, *, repair: bool, full: bool = False) -> list[Finding]:
    """The alarms of a pass in the fabric's Region."""
    reconciler = Reconciler(
        fabric.stream, region=fabric.region, ports=fabric.ports(), telemetry=fabric.telemetry
    )
    return [finding for finding in reconciler.run(repair=repair, full=full) if finding.is_alarm]


def serve(fabric: SubscribedStream) -> None:
    """Have every poller of a Region run until it finds nothing."""
    fabric.relay_all()
    while messages := fabric.receive():
        fabric.answer(messages)


@pytest.mark.parametrize("deliver", ["origin", "everywhere"])
@pytest.mark.parametrize("seed", range(40))
def test_a_healthy_fabric_under_load_and_replication_delay_raises_no_alarm(seed: int, deliver: str) -> None:
    random = Random(f"{seed} {deliver}")
    names = [f"{key}{number}" for number in range(30) for key in "abc"]
    failing = Failing({name: random.choice([0, 0, 0, 0, 1, 2]) for name in names})
    home = fabric_of(failing, deliver=deliver, **retry(immediate=0, attempts=50))
    away = home.in_region(AWAY)
    fabrics = [home, away]
    unserved_seconds = 0.0
    while names:
        match random.randrange(7):
            case 0 | 1:
                some, names = names[:3], names[3:]
                home.put(*(event(name, key=name[0]) for name in some), of=lane(random.randrange(2)))
            case 2:
                home.cloud.replicate(random.randrange(1, 9), random.randrange)
            case 3:
                random.choice(fabrics).relay(random.randrange(1, 5), comes_again=random.random() < 0.2)
            case 4:
                fabric = random.choice(fabrics)
                fabric.answer(fabric.receive())
            case 5:
                seconds = random.choice([0.1, 1, 30])
                home.clock.advance(seconds)
                if seconds == 30:  # replication is late, but not for ever
                    home.cloud.replicate()
                    unserved_seconds += seconds
                for fabric in fabrics:  # as Lambda's pollers do, timers that are due come at once
                    while (body := fabric.timers.take()) is not None:
                        fabric.ring_body(body)
                if (
                    unserved_seconds >= UNSERVED_SECONDS_MAX
                ):  # nor do functions stand still in a healthy fabric
                    unserved_seconds = 0
                    for fabric in fabrics:
                        serve(fabric)
            case _:
                fabric = random.choice(fabrics)
                assert reconcile(fabric, repair=random.random() < 0.5, full=random.random() < 0.2) == []
    for _ in range(2):
        home.cloud.replicate()
        for fabric in fabrics:
            fabric.relay_all()
            fabric.deliver_all()
            assert reconcile(fabric, repair=False, full=True) == []
    assert home.log.tail(LANE) == away.log.tail(LANE)
    assert {HOME, AWAY} == {fabric.region for fabric in fabrics}
