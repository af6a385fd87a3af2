"""Publishers that race for a lane and lose their replies: each event stands in the log once, without a hole."""

from collections.abc import Callable, Sequence
from random import Random
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventfabric.errors import ContendedAppendError, IndeterminateAppendError
from eventfabric.model import EMPTY_TAIL, Batch, Record
from eventfabric.services.publishing.append import Appender
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, at_random, nth
from tests.simulation.turns import Turns
from tests.support.memory_fabric import LANE, batch_of, event
from tests.support.subscribed_stream import SubscribedStream

NO_REPLY = (Fault.LOST_REPLY, Fault.LOST_REQUEST, Fault.THROTTLED)


def append_until_settled(appender: Appender, batch: Batch) -> Record:
    """Append a batch as a publisher does that wants it in the log, whatever the replies are."""
    unsettled: Record | None = None
    while True:
        try:
            return appender.append(LANE, batch, unsettled=unsettled)
        except IndeterminateAppendError as error:
            unsettled = cast(Record, error.record)
        except ContendedAppendError:
            unsettled = None


def publisher(
    appender: Appender, name: str, sizes: Sequence[int], receipts: dict[str, Record]
) -> Callable[[], None]:
    def publish() -> None:
        for number, size in enumerate(sizes):
            ids = [f"{name}{number}.{index}" for index in range(size)]
            batch = batch_of([event(id_) for id_ in ids], f"{name}{number}".encode().ljust(16))
            receipts[f"{name}{number}"] = append_until_settled(appender, batch)

    return publish


def assert_log_is_whole(fabric: SubscribedStream) -> None:
    """Sequences without holes, every record on the chain of the one before, no event twice, time never back."""
    expected = EMPTY_TAIL
    for record in fabric.records():
        assert record.sequence == expected.sequence
        assert record.extends(expected.chain)
        assert record.time > expected.time
        expected = record.tail
    ids = fabric.logged_ids()
    assert len(ids) == len(set(ids)) == expected.sequence


@settings(max_examples=250, deadline=None)
@given(
    sizes=st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=4), min_size=2, max_size=3),
    rate=st.sampled_from([0, 0.3, 0.7]),
    timeout=st.sampled_from([0.001, 0.02, 30]),
    seed=st.integers(0, 2**16),
)
def test_racing_publishers_with_lost_replies_put_each_event_into_the_log_once_and_in_their_order(
    sizes: list[list[int]], rate: float, timeout: float, seed: int
) -> None:
    fabric, turns = SubscribedStream(seed=seed), Turns()
    receipts: dict[str, Record] = {}
    jobs = []
    for number, of_one in enumerate(sizes):
        faults = Faults(turns.rule, at_random(rate, NO_REPLY, seed=seed + number))
        appender = fabric.appender(faults=faults, timeout_seconds=timeout)
        jobs.append(publisher(appender, "abc"[number], of_one, receipts))
    turns.run(Random(seed).randrange, *jobs)

    assert_log_is_whole(fabric)
    ids = fabric.logged_ids()
    for number, of_one in enumerate(sizes):
        name = "abc"[number]
        wanted = [f"{name}{batch}.{index}" for batch, size in enumerate(of_one) for index in range(size)]
        assert [id_ for id_ in ids if id_.startswith(name)] == wanted
    for batch, receipt in receipts.items():
        assert ids[receipt.sequence] == f"{batch}.0"


@settings(max_examples=60, deadline=None)
@given(
    lost=st.sampled_from([Fault.LOST_REPLY, Fault.LOST_REQUEST]),
    others=st.lists(st.integers(1, 3), max_size=3),
    again=st.integers(0, 2),
)
def test_an_indeterminate_batch_settles_to_one_place_whatever_others_wrote_meanwhile(
    lost: Fault, others: list[int], again: int
) -> None:
    fabric = SubscribedStream()
    fabric.put(event("before"))
    mine = batch_of([event("mine")], b"mine".ljust(16))
    appender = fabric.appender(faults=Faults(nth(1, lost, name="log.append")), timeout_seconds=0)
    with pytest.raises(IndeterminateAppendError) as raised:
        appender.append(LANE, mine)
    unsettled = cast(Record, raised.value.record)
    for number, size in enumerate(others):
        fabric.put(*(event(f"other{number}.{index}") for index in range(size)))
    settled = fabric.appender().append(LANE, mine, unsettled=unsettled)
    for _ in range(again):
        # Settled in another process, by hand, twice: the record that may have landed still tells.
        if lost is Fault.LOST_REPLY:
            assert fabric.appender().append(LANE, mine, unsettled=unsettled) == settled
    assert fabric.logged_ids().count("mine") == 1
    assert fabric.logged_ids()[settled.sequence] == "mine"
    assert_log_is_whole(fabric)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([Fault.CRASH_BEFORE, Fault.CRASH_AFTER]), max_size=4))
def test_publishers_that_crash_leave_a_whole_log(crashes: list[Fault]) -> None:
    fabric = SubscribedStream()
    for number, crash in enumerate(crashes):
        appender = fabric.appender(faults=Faults(nth(1, crash, name="log.append")))
        try:
            appender.append(LANE, batch_of([event(f"crashed{number}")], bytes([number]) * 16))
        except SimulatedCrash:
            continue
    fabric.appender().append(LANE, batch_of([event("after")], b"z" * 16))
    assert_log_is_whole(fabric)
    kept = [f"crashed{number}" for number, crash in enumerate(crashes) if crash is Fault.CRASH_AFTER]
    assert fabric.logged_ids() == [*kept, "after"]
