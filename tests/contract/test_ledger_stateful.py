"""ports.Ledger against a dictionary: cursors and parked keys, read now and then, written by whoever read whenever."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from eventfabric.model import (
    START,
    Chain,
    Committed,
    Cursor,
    Failure,
    Generation,
    Lane,
    LaneIndex,
    LaneKey,
    Parked,
    ParkedChange,
    ParkedState,
    Place,
    RaceLost,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)
from tests.support.backends import HOME, Backend, MemoryBackend, aws_backend

KEYS = [
    LaneKey(StreamName("orders"), SubscriptionName("billing"), Lane(HOME, Generation(0), LaneIndex(index)))
    for index in (0, 1)
]
FAILURE = Failure("shop:Bad", "no", "", "", 1, 0, 5, 6)
Opened = Callable[[], AbstractContextManager[Backend]]
State = tuple[LaneKey, Cursor, dict[str, Parked]]


def parked_key(name: str, waiting: int, version: int = 0) -> Parked:
    places = tuple(Place(SequenceNumber(number), SequenceNumber(number)) for number in range(waiting))
    return Parked(f"k/{name}", name, ParkedState.RETRYING, places, 7, FAILURE, version=version)


class LedgerMachine(RuleBasedStateMachine):
    """`_cursors` and `_parked` are what stands in the ledger; `read` holds what somebody read, however long ago."""

    opened: Opened
    read = Bundle[State]("read")

    def __init__(self) -> None:
        super().__init__()
        self._context = type(self).opened()
        self._ledger = self._context.__enter__().ledger
        self._cursors: dict[LaneKey, Cursor] = {}
        self._parked: dict[LaneKey, dict[str, Parked]] = {key: {} for key in KEYS}

    def teardown(self) -> None:
        self._context.__exit__(None, None, None)

    @initialize(target=read, key=st.sampled_from(KEYS))
    def first_read(self, key: LaneKey) -> State:
        return self._seen(key)

    @rule(target=read, key=st.sampled_from(KEYS))
    def look(self, key: LaneKey) -> State:
        return self._seen(key)

    def _seen(self, key: LaneKey) -> State:
        state = self._ledger.state(key)
        assert state.cursor(HOME) == self._cursors.get(key, START)
        assert state.parked.get(HOME, {}) == self._parked[key]
        return key, state.cursor(HOME), state.parked.get(HOME, {})

    @rule(
        seen=read,
        step=st.integers(0, 3),
        names=st.lists(st.sampled_from("abc"), max_size=2, unique=True),
        waiting=st.integers(0, 2),
    )
    def commit(self, seen: State, step: int, names: list[str], waiting: int) -> None:
        key, cursor, parked = seen
        changes = [
            ParkedChange(before, after)
            for name in names
            if (before := parked.get(f"k/{name}")) or waiting
            for after in [parked_key(name, waiting, before.version if before else 40) if waiting else None]
        ]
        moved = replace(
            cursor, sequence=SequenceNumber(cursor.sequence + step), chain=Chain(bytes([step]) * 16)
        )
        outcome = self._ledger.commit(key, cursor, moved, parked=changes)
        is_current = cursor == self._cursors.get(key, START) and all(
            change.before == self._parked[key].get((change.before or change.after or parked_key("", 1)).id)
            for change in changes
        )
        if not is_current:
            assert isinstance(outcome, RaceLost)
            return
        stored = replace(moved, version=cursor.version + 1)
        assert outcome == Committed(stored)
        self._cursors[key] = stored
        for change in changes:
            if change.after is not None:
                self._parked[key][change.after.id] = replace(change.after, version=change.version)
            elif change.before is not None:
                del self._parked[key][change.before.id]

    @invariant()
    def what_is_read_is_what_was_committed(self) -> None:
        for key in KEYS:
            self._seen(key)


def in_memory() -> AbstractContextManager[Backend]:
    return nullcontext(MemoryBackend())


@pytest.mark.parametrize(("opened", "examples"), [(in_memory, 100), (aws_backend, 12)], ids=["memory", "aws"])
def test_a_ledger_is_as_its_commits_say(opened: Opened, examples: int) -> None:
    class Machine(LedgerMachine):
        pass

    Machine.opened = staticmethod(opened)
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=examples, stateful_step_count=25, deadline=None, derandomize=True),
    )
