"""ports.Steps and ports.Backfills against dictionaries: any operations in any order, on both adapters."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from eventfabric.model import SequenceNumber, StepKey, StepState, StreamName, SubscriptionName
from eventfabric.model.backfill import Backfill, BackfillState, SliceProgress
from tests.contract.test_backfills_contract import MADE, lane, progress
from tests.contract.test_log_stateful import Opened, in_memory
from tests.support.backends import aws_backend

IDS = ("20261114t093000-ab12", "20261115t000000-cd34")
keys = st.builds(
    StepKey,
    st.just(StreamName("orders")),
    st.sampled_from([SubscriptionName("billing"), SubscriptionName("shipping")]),
    st.sampled_from(["charge", "mail"]),
    st.sampled_from(["e1", "e/1"]),
)
ids, starts, lane_indexes = st.sampled_from(IDS), st.sampled_from([0, 100, 200]), st.sampled_from([1, 2, 11])


class StepsMachine(RuleBasedStateMachine):
    """`_kept` is what is known of each step, by key."""

    opened: Opened

    def __init__(self) -> None:
        super().__init__()
        self._context = type(self).opened()
        backend = self._context.__enter__()
        self._clock, self._steps = backend.clock, backend.steps
        self._kept: dict[StepKey, StepState] = {}

    def teardown(self) -> None:
        self._context.__exit__(None, None, None)

    @rule(key=keys)
    def begin(self, key: StepKey) -> None:
        assert self._steps.begin(key) == self._kept.get(key)
        self._kept.setdefault(key, StepState(done=False))

    @rule(key=keys, number=st.integers(0, 9))
    def finish(self, key: StepKey, number: int) -> None:
        if key in self._kept:
            self._steps.finish(key, str(number))
            self._kept[key] = StepState(True, str(number))

    @rule(key=keys)
    def forget(self, key: StepKey) -> None:
        self._steps.forget(key)
        self._kept.pop(key, None)

    @rule(key=keys)
    def look(self, key: StepKey) -> None:
        assert self._steps.look(key) == self._kept.get(key)

    @rule(days=st.integers(1, 400))
    def wait(self, days: int) -> None:
        """Time alone changes nothing: expiry is for the table to carry out."""
        self._clock.advance(86_400 * days)


class BackfillsMachine(RuleBasedStateMachine):
    """`_backfills` and `_slices` are what is noted, by id, and by id, lane and start."""

    opened: Opened

    def __init__(self) -> None:
        super().__init__()
        self._context = type(self).opened()
        self._port = self._context.__enter__().backfills
        self._backfills: dict[str, Backfill] = {}
        self._read: dict[str, Backfill] = {}
        self._slices: dict[tuple[str, int, int], SliceProgress] = {}

    def teardown(self) -> None:
        self._context.__exit__(None, None, None)

    @rule(id_=ids)
    def read(self, id_: str) -> None:
        """Read a backfill. Whoever read it may act on that much later."""
        backfill = self._port.find(id_)
        assert backfill == self._backfills.get(id_)
        if backfill is not None:
            self._read[id_] = backfill

    @rule(id_=ids, state=st.sampled_from(BackfillState))
    def replace(self, id_: str, state: BackfillState) -> None:
        """Replace the backfill that was read, whenever that was."""
        read = self._read.get(id_)
        to = replace(read or replace(MADE, id=id_), state=state)
        wins = (read.version if read else 0) == (
            self._backfills[id_].version if id_ in self._backfills else 0
        )
        stored_backfill = self._port.replace(read, to)
        assert (stored_backfill is not None) == wins
        if stored_backfill is not None:
            assert stored_backfill == replace(to, version=stored_backfill.version)
            self._backfills[id_] = self._read[id_] = stored_backfill

    @rule(id_=ids, index=lane_indexes, start=starts)
    def add(self, id_: str, index: int, start: int) -> None:
        made = progress(index, start)
        self._port.add(id_, [made])
        self._slices.setdefault((id_, index, start), made)

    @rule(id_=ids, index=lane_indexes, start=starts, further=st.integers(0, 100))
    def save(self, id_: str, index: int, start: int, further: int) -> None:
        place = (id_, index, start)
        if place not in self._slices:
            return
        to = progress(index, start, start_sequence=start + further)
        self._port.save(id_, to)
        if to.at.sequence >= self._slices[place].at.sequence:
            self._slices[place] = to

    @rule(id_=ids, index=lane_indexes, start=starts)
    def look_at_one(self, id_: str, index: int, start: int) -> None:
        progress = self._port.slice(id_, lane(index), SequenceNumber(start))
        assert progress == self._slices.get((id_, index, start))

    @rule(id_=ids, count=st.integers(1, 4))
    def look_at_all(self, id_: str, count: int) -> None:
        slices: list[SliceProgress] = []
        more, after = True, None
        while more:
            page, more = self._port.slices(id_, after=after, count=count)
            assert len(page) <= count
            slices += page
            if page:
                after = (page[-1].slice.lane, page[-1].slice.start.sequence)
        noted = [progress for (of, _, _), progress in self._slices.items() if of == id_]
        in_order = sorted(
            noted, key=lambda progress: (str(progress.slice.lane), progress.slice.start.sequence)
        )
        assert (
            sorted(slices, key=lambda progress: (str(progress.slice.lane), progress.slice.start.sequence))
            == in_order
        )
        assert len({progress.slice.lane for progress in slices}) <= 1 or _is_lane_by_lane(slices)

    @invariant()
    def all_are_listed(self) -> None:
        assert sorted(self._port.all(), key=lambda backfill: backfill.id) == sorted(
            self._backfills.values(), key=lambda backfill: backfill.id
        )


def _is_lane_by_lane(slices: list[SliceProgress]) -> bool:
    """Tell if the slices of each lane are together and in order."""
    lanes = [progress.slice.lane for progress in slices]
    together = sum(a != b for a, b in pairwise(lanes)) == len(set(lanes)) - 1
    return together and all(
        a.slice.start.sequence < b.slice.start.sequence
        for a, b in pairwise(slices)
        if a.slice.lane == b.slice.lane
    )


@pytest.mark.parametrize(("opened", "examples"), [(in_memory, 300), (aws_backend, 15)], ids=["memory", "aws"])
@pytest.mark.parametrize("machine", [StepsMachine, BackfillsMachine])
def test_what_is_noted_is_as_the_operations_say(
    machine: type[StepsMachine | BackfillsMachine], opened: Opened, examples: int
) -> None:
    made = type("Machine", (machine,), {"opened": staticmethod(opened)})
    run_state_machine_as_test(
        made,
        settings=settings(max_examples=examples, stateful_step_count=40, deadline=None, derandomize=True),
    )
