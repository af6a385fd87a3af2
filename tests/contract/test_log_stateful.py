"""ports.Log against a dictionary: any operations in any order, on both adapters."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from eventfabric.model import EMPTY_TAIL, Generation, Lane, LaneIndex, Record, SequenceNumber, Tail
from tests.contract.test_log_contract import record
from tests.support.backends import HOME, Backend, MemoryBackend, aws_backend

LANES = [Lane(HOME, Generation(0), LaneIndex(number)) for number in (1, 11)]
lanes, sequences = st.sampled_from(LANES), st.integers(0, 8)
Opened = Callable[[], AbstractContextManager[Backend]]


class LogMachine(RuleBasedStateMachine):
    """`_kept` is what stands in the log, by lane and first sequence."""

    opened: Opened

    def __init__(self) -> None:
        super().__init__()
        self._context = type(self).opened()
        self._log = self._context.__enter__().log
        self._kept: dict[Lane, dict[int, Record]] = {lane: {} for lane in LANES}
        self._batches = 0

    def teardown(self) -> None:
        self._context.__exit__(None, None, None)

    @initialize()
    def nothing_stands_there(self) -> None:
        assert [self._log.tail(lane) for lane in LANES] == [EMPTY_TAIL] * len(LANES)

    def _newest(self, lane: Lane, before: int | None) -> Tail:
        starts = [start for start in self._kept[lane] if before is None or start < before]
        return self._kept[lane][max(starts)].tail if starts else EMPTY_TAIL

    @rule(lane=lanes, sequence=sequences, count=st.integers(1, 3))
    def append(self, lane: Lane, sequence: int, count: int) -> None:
        self._batches += 1
        made = record(sequence, count=count, batch=str(self._batches).encode(), lane=lane)
        assert self._log.append(made) == self._kept[lane].get(sequence)
        self._kept[lane].setdefault(sequence, made)

    @rule(lane=lanes, before=st.none() | sequences)
    def tail(self, lane: Lane, before: int | None) -> None:
        read_tail = self._log.tail(lane, before=None if before is None else SequenceNumber(before))
        assert read_tail == self._newest(lane, before)

    @rule(lane=lanes, start=sequences, records_max=st.integers(1, 4), before=st.none() | sequences)
    def read(self, lane: Lane, start: int, records_max: int, before: int | None) -> None:
        page = self._log.read(
            lane,
            SequenceNumber(start),
            records_max=records_max,
            before=None if before is None else SequenceNumber(before),
        )
        starts = sorted(
            begin for begin in self._kept[lane] if begin >= start and (before is None or begin < before)
        )
        assert [record.sequence for record in page.records] == starts[:records_max]
        assert list(page.records) == [self._kept[lane][begin] for begin in starts[:records_max]]
        assert page.more or len(starts) <= records_max

    @rule(lane=lanes)
    def hold_the_place(self, lane: Lane) -> None:
        newest = self._newest(lane, None)
        if newest != EMPTY_TAIL:
            self._log.hold_place(lane, newest)
            place = self._log.place(lane)
            assert place is not None
            assert place.sequence >= newest.sequence

    @invariant()
    def each_lane_ends_where_its_newest_record_does(self) -> None:
        for lane in LANES:
            assert self._log.tail(lane) == self._newest(lane, None)


def in_memory() -> AbstractContextManager[Backend]:
    return nullcontext(MemoryBackend())


@pytest.mark.parametrize(("opened", "examples"), [(in_memory, 400), (aws_backend, 20)], ids=["memory", "aws"])
def test_a_log_is_as_its_operations_say(opened: Opened, examples: int) -> None:
    class Machine(LogMachine):
        pass

    Machine.opened = staticmethod(opened)
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=examples, stateful_step_count=40, deadline=None, derandomize=True),
    )
