"""Events as a subscription sees them: each lane exactly as in the log, despite doorbells, replication and crashes."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventfabric import limits
from eventfabric.errors import PortError
from eventfabric.model import Region
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.testing.memory.faults import Fault, Faults, Rule, SimulatedCrash, at_random, nth
from eventfabric.wire.payload_codec import unpack
from tests.simulation.turns import Turns
from tests.support.memory_fabric import AWAY, HOME, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SubscribedStream

GUARANTEES = ["at_most_once", "at_least_once", "exactly_once"]
LANES = [lane(0), lane(1)]
ALL_FAULTS = tuple(Fault)

Publish = tuple[int, list[str]]
publishes = st.tuples(st.integers(0, 1), st.lists(st.sampled_from("xyz"), min_size=1, max_size=3))


def publish(fabric: SubscribedStream, names: Counter[str], where: Publish) -> None:
    """Append one record to a lane, with an event of each key."""
    index, keys = where
    names["event"] += 1
    events = [event(f"{index}.{names['event']}.{n}", key=f"{key}{index}") for n, key in enumerate(keys)]
    fabric.put(*events, of=lane(index))


def chooser(data: st.DataObject) -> Callable[[int], int]:
    return lambda count: data.draw(st.integers(0, count - 1)) if count > 1 else 0


@settings(max_examples=200, deadline=None)
@given(
    guarantee=st.sampled_from(GUARANTEES),
    region=st.sampled_from([HOME, AWAY]),
    batch_events_max=st.sampled_from([1, 2, 1000]),
    steps=st.lists(
        st.one_of(
            publishes,
            st.sampled_from(
                ["replicate", "relay", "relay, comes again", "deliver", "lose doorbells", "wait"]
            ),
        ),
        min_size=4,
        max_size=40,
    ),
    data=st.data(),
)
def test_permuted_repeated_and_lost_doorbells_and_records_change_nothing_of_what_is_seen(
    guarantee: str,
    region: Region,
    batch_events_max: int,
    steps: list[Publish | str],
    data: st.DataObject,
) -> None:
    handler = Recorder(
        batch_events_max=batch_events_max, effects=guarantee == "exactly_once" and batch_events_max == 1
    )
    fabric = SubscribedStream(
        guarantee=guarantee, deliver="one", delivered_in=region, handler=handler, region=region
    )
    choose = chooser(data)
    names: Counter[str] = Counter()
    for step in steps:
        match step:
            case "replicate":
                fabric.cloud.replicate(data.draw(st.integers(1, 3)), choose)
            case "relay" | "relay, comes again":
                fabric.relay(data.draw(st.integers(1, 4)), choose, comes_again=step != "relay")
            case "deliver":
                fabric.answer(fabric.receive(choose))
            case "lose doorbells":
                for message in fabric.receive(choose):
                    fabric.queue.delete(message.receipt_handle)
            case "wait":
                fabric.clock.advance(data.draw(st.sampled_from([1, 400, 1000])))
            case (_, _):
                publish(fabric, names, step)
    fabric.cloud.replicate()
    fabric.relay_all()
    fabric.deliver_all()
    fabric.ring_all(LANES)
    fabric.deliver_all()
    for checked_lane in LANES:
        assert handler.ids(checked_lane) == fabric.logged_ids(checked_lane)
        assert fabric.cursor(checked_lane).sequence == len(fabric.logged_ids(checked_lane))
    if handler.effects:
        assert fabric.effects() == dict.fromkeys(handler.ids(), 1)


def five_events_in_two_lanes(guarantee: str) -> SubscribedStream:
    fabric = SubscribedStream(guarantee=guarantee)
    fabric.put(event("a", key="x"), event("b", key="y"))
    fabric.put(event("c", key="x"))
    fabric.put(event("d", key="z"), event("e", key="y"))
    fabric.put(event("f"), of=lane(1))
    return fabric


def one_invocation(fabric: SubscribedStream) -> None:
    """Relay, then deliver all that is in the queue once."""
    fabric.relay()
    fabric.answer(fabric.receive())


def calls_of_one_invocation(guarantee: str) -> int:
    fabric = five_events_in_two_lanes(guarantee)
    one_invocation(fabric)
    return len(fabric.faults.calls)


CRASHES = [
    pytest.param(guarantee, number, fault, id=f"{guarantee}-{fault.name.lower()}-{number}")
    for guarantee in GUARANTEES
    for number in range(1, calls_of_one_invocation(guarantee) + 1)
    for fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
]


def recover(fabric: SubscribedStream) -> None:
    """Faults are over: the stream's batch comes again, doorbells come back, in time."""
    fabric.faults.heal()
    fabric.relay_all()
    fabric.deliver_all()


def assert_seen_as_promised(fabric: SubscribedStream, guarantee: str) -> None:
    handler = fabric.recorder
    for checked_lane in LANES:
        logged, seen = fabric.logged_ids(checked_lane), handler.ids(checked_lane)
        first_seen = list(dict.fromkeys(seen))
        assert fabric.cursor(checked_lane).sequence == len(logged)
        if guarantee == "at_most_once":
            assert first_seen == seen
            assert seen == [id_ for id_ in logged if id_ in set(seen)]
        else:
            # A handler's call that fails parks its key, and the others go on: the order is that of each key.
            keys = {
                str(event.id): event.key
                for record in fabric.records(checked_lane)
                for event in unpack(record)
            }
            assert sorted(first_seen, key=keys.__getitem__) == sorted(logged, key=keys.__getitem__)
    if guarantee == "exactly_once":
        assert fabric.effects() == dict.fromkeys(handler.ids(), 1)


@pytest.mark.parametrize(("guarantee", "number", "fault"), CRASHES)
def test_a_crash_before_or_after_any_call_loses_nothing_that_is_promised(
    guarantee: str, number: int, fault: Fault
) -> None:
    fabric = five_events_in_two_lanes(guarantee)
    fabric.faults.rules.append(nth(number, fault))
    with pytest.raises(SimulatedCrash):
        one_invocation(fabric)
    recover(fabric)
    assert_seen_as_promised(fabric, guarantee)


def test_enough_calls_are_crashed_to_mean_something() -> None:
    assert {guarantee: calls_of_one_invocation(guarantee) for guarantee in GUARANTEES} == {
        # relay's ring; the circuit, and the note of the first delivery; two lanes of state, read and commit; six
        # attempts; at_most_once commits one event by itself first, exactly_once commits before x comes again
        "at_most_once": 1 + 2 + 2 * 3 + 6 + 1,
        "at_least_once": 1 + 2 + 2 * 3 + 6,
        "exactly_once": 1 + 2 + 2 * 3 + 6 + 1,
    }


@settings(max_examples=200, deadline=None)
@given(
    guarantee=st.sampled_from(GUARANTEES),
    log=st.lists(publishes, min_size=1, max_size=8),
    seed=st.integers(0, 2**16),
    rate=st.sampled_from([0.05, 0.2, 0.5]),
    invocations=st.integers(1, 8),
)
@example(
    guarantee="at_least_once", log=[(0, ["x", "x"]), (0, ["x", "x", "y"])], seed=8192, rate=0.2, invocations=1
)
def test_any_faults_of_any_calls_leave_what_is_promised(
    guarantee: str, log: list[Publish], seed: int, rate: float, invocations: int
) -> None:
    fabric = SubscribedStream(seed=seed, guarantee=guarantee)
    names: Counter[str] = Counter()
    for record in log:
        publish(fabric, names, record)
    fabric.faults.rules.append(at_random(rate, ALL_FAULTS, seed=seed))
    for _ in range(invocations):
        with suppress(SimulatedCrash):
            one_invocation(fabric)
        fabric.clock.advance(limits.VISIBILITY_TIMEOUT_SECONDS)
    recover(fabric)
    assert_seen_as_promised(fabric, guarantee)


@settings(max_examples=200, deadline=None)
@given(
    guarantee=st.sampled_from(["at_most_once", "exactly_once"]),
    log=st.lists(publishes, min_size=1, max_size=6),
    consumers=st.integers(2, 3),
    rate=st.sampled_from([0, 0.2]),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_consumers_of_one_lane_at_once_never_double_an_effect(
    guarantee: str,
    log: list[Publish],
    consumers: int,
    rate: float,
    seed: int,
    data: st.DataObject,
) -> None:
    fabric, turns = SubscribedStream(guarantee=guarantee), Turns()
    names: Counter[str] = Counter()
    for _, keys in log:
        publish(fabric, names, (0, keys))

    def consumer(number: int) -> Callable[[], None]:
        rules: list[Rule] = [turns.rule, at_random(rate, ALL_FAULTS, seed=seed + number)]
        deliverer = fabric.deliverer(faults=Faults(*rules))

        def deliver() -> None:
            with suppress(SimulatedCrash, PortError):
                fabric.deliver(lane(0), by=deliverer)

        return deliver

    turns.run(chooser(data), *(consumer(number) for number in range(consumers)))
    assert fabric.deliver(lane(0)).outcome in (LaneOutcome.DELIVERED, LaneOutcome.DUPLICATE)
    assert fabric.cursor().sequence == len(fabric.logged_ids())
    if guarantee == "exactly_once":
        assert fabric.effects() == dict.fromkeys(fabric.logged_ids(), 1)
    else:
        assert max(Counter(fabric.recorder.ids()).values(), default=1) == 1
