"""A model check of append and delivery with their fences: the real code, in every schedule up to a bound."""

from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from eventfabric.errors import IndeterminateAppendError
from eventfabric.model import EMPTY_TAIL, Owner, Region
from eventfabric.services.delivery.deliver import Deliverer
from eventfabric.services.publishing.append import Appender
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.wire.payload_codec import unpack
from tests.simulation.explorer import Schedule, explore
from tests.simulation.planted_bugs import BUGS
from tests.simulation.planting import planted
from tests.support.failing_handlers import FEW, Failing
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, batch_of, event
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SubscribedStream


def stored(fabric: SubscribedStream, *others: object) -> str:
    """All that deliveries change: items, messages, and `others`, such as what a handler remembers."""
    regions = fabric.cloud.regions.values()
    tables = {id(table): table for region in regions for table in region.tables.values()}
    items = [sorted(map(repr, table.items)) for table in tables.values()]
    queues = [(queue._messages, queue._sent) for region in regions for queue in region.queues.values()]
    timers = [queue._timers for region in regions for queue in region.timers.values()]
    return repr((items, queues, timers, others))


def appends(schedule: Schedule, producers: int = 2) -> None:
    """Producers append to one lane: what was acknowledged stands there once, in an unbroken chain."""
    fabric = SubscribedStream()
    acknowledged: list[str] = []

    def producer(number: int) -> Callable[[], None]:
        log = schedule.faults().log(fabric.origin_log)
        appender = Appender(log, stream=STREAM, clock=fabric.clock, entropy=SeededEntropy(number))
        batch = batch_of([event(f"e{number}")], number.to_bytes(16, "big"))

        def run() -> None:
            try:
                appender.append(LANE, batch)
            except IndeterminateAppendError as error:
                appender.append(LANE, batch, unsettled=error.record)  # type: ignore[arg-type]  # a Record here
            acknowledged.append(f"e{number}")

        return run

    schedule.run(
        *(producer(number) for number in range(producers)),
        clock=fabric.clock,
        stored=lambda: stored(fabric, acknowledged),
        alike=True,
    )
    chain, sequence, logged = EMPTY_TAIL.chain, 0, list[str]()
    for record in fabric.records():
        assert record.sequence == sequence
        assert record.extends(chain)
        chain, sequence = record.chain, record.tail.sequence
        logged += [str(event.id) for event in unpack(record)]
    assert max(Counter(logged).values(), default=1) == 1
    assert set(acknowledged) <= set(logged)


def deliveries(guarantee: str, failing: dict[str, int]) -> Callable[[Schedule], None]:
    """Two consumers of one lane: every event once, or in order again, and nothing left behind."""

    def scenario(schedule: Schedule) -> None:
        fabric = SubscribedStream(guarantee=guarantee, **FEW)
        fabric.put(event("a1", key="a"), event("b1", key="b"))
        fabric.put(event("a2", key="a"))
        fails = Failing(dict(failing))
        recorder = Recorder(effects=guarantee == "exactly_once", before=fails)
        consumers = [fabric.deliverer(handler=recorder, faults=schedule.faults()) for _ in range(2)]
        runs = (one_run(fabric, consumer) for consumer in consumers)
        schedule.run(
            *runs,
            clock=fabric.clock,
            stored=lambda: stored(fabric, recorder.handled(), fails.times),
            alike=True,
        )
        fabric.handler = recorder
        fabric.ring_all([LANE])
        fabric.deliver_all()
        assert fabric.cursor().sequence == 3
        assert fabric.parked() == {}
        seen = list(dict.fromkeys(recorder.ids()))
        assert set(seen) == {"a1", "a2", "b1"}
        assert seen.index("a1") < seen.index("a2")
        if guarantee == "exactly_once":
            assert fabric.effects() == {"a1": 1, "a2": 1, "b1": 1}

    return scenario


def handover(schedule: Schedule) -> None:
    """A lane of shared state is handed to another Region while its owner delivers: nothing is lost, order holds."""
    memory_fabric = SubscribedStream(durability="quorum", **FEW)
    memory_fabric.put(event("a1", key="a"), event("b1", key="b"))
    memory_fabric.put(event("a2", key="a"))
    fails = Failing({"a1": 1})
    recorder = Recorder(before=fails)
    away = memory_fabric.in_region(AWAY, handler=recorder)
    former = memory_fabric.deliverer(handler=recorder, faults=schedule.faults())
    new = away.deliverer(handler=recorder, faults=schedule.faults())

    def take_over() -> None:
        key = away.key_of(LANE)
        away.ledger.hand_over(key.stream, key.subscription, None, Owner(HOME, AWAY, 1, AWAY))
        away.deliver(by=new)

    schedule.run(
        one_run(memory_fabric, former),
        take_over,
        clock=memory_fabric.clock,
        stored=lambda: stored(memory_fabric, recorder.handled(), fails.times),
    )
    for fabric in (away, memory_fabric):
        fabric.handler = recorder
        fabric.clock.advance(1000)
        fabric.ring_all([LANE])
        fabric.deliver_all()
    key = away.key_of(LANE)
    state = away.ledger.acting_for(Region(HOME)).state(key)
    assert state.cursor(HOME).sequence == 3
    assert state.parked.get(HOME, {}) == {}
    seen = list(dict.fromkeys(recorder.ids()))
    assert set(seen) == {"a1", "a2", "b1"}
    assert seen.index("a1") < seen.index("a2")


def one_run(fabric: SubscribedStream, by: Deliverer) -> Callable[[], object]:
    return lambda: fabric.deliver(by=by)


@pytest.mark.parametrize(("producers", "faults_max"), [(3, 1), (2, 2)])
def test_appends_in_every_schedule_with_faults(producers: int, faults_max: int) -> None:
    scenario = partial(appends, producers=producers)
    assert explore(scenario, preemptions_max=2, faults_max=faults_max) > 300


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("failing", [{}, {"a1": 1}], ids=["all is well", "one event fails"])
def test_two_consumers_in_every_schedule_with_a_fault(guarantee: str, failing: dict[str, int]) -> None:
    assert explore(deliveries(guarantee, failing), preemptions_max=2, faults_max=1) > 300


def test_a_handover_of_shared_state_in_every_schedule_with_a_fault() -> None:
    assert explore(handover, preemptions_max=2, faults_max=1) > 300


@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        ("retry at another sequence", appends),
        ("own batch not recognised", appends),
        ("unconditional append", appends),
        ("cursor without condition", deliveries("exactly_once", {})),
        ("waiting forgotten", deliveries("at_least_once", {"a1": 1})),
    ],
)
def test_planted_bugs_break_a_schedule(name: str, scenario: Callable[[Schedule], None]) -> None:
    (bug,) = [bug for bug in BUGS if bug.name == name]
    with planted(bug), pytest.raises(AssertionError, match="schedule"):
        explore(scenario, preemptions_max=2, faults_max=1)
