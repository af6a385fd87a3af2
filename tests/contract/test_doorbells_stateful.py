"""ports.Doorbells and the queue behind it against a list a lane: any operations in any order, on both adapters."""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from eventfabric.limits import DEDUPLICATION_SECONDS
from eventfabric.wire.doorbell import from_body
from tests.contract.test_doorbells_contract import bell
from tests.contract.test_log_stateful import Opened, in_memory
from tests.support.backends import QUEUE, SUBSCRIPTION, Message, aws_backend

LANES = 3
lanes = st.integers(0, LANES - 1)


@dataclass
class Bell:
    """One that was sent and not answered. `back_ms`: in flight until then."""

    tail: int
    received: int = 0
    back_ms: int = 0
    message: Message | None = None


class DoorbellMachine(RuleBasedStateMachine):
    """`_waiting` is what each lane's group holds, in order; `_sent_ms`: when each doorbell was last taken."""

    opened: Opened

    def __init__(self) -> None:
        super().__init__()
        self._context = type(self).opened()
        self._backend = self._context.__enter__()
        self._waiting: list[list[Bell]] = [[] for _ in range(LANES)]
        self._dead: list[list[int]] = [[] for _ in range(LANES)]
        self._sent_ms: dict[tuple[int, int], int] = {}
        self._tails = 0

    def teardown(self) -> None:
        self._context.__exit__(None, None, None)

    @property
    def _now_ms(self) -> int:
        return self._backend.clock.now_ms()

    @rule(lane=lanes)
    def ring_for_news(self, lane: int) -> None:
        self._tails += 1
        self._ring(lane, self._tails)

    @rule(lane=lanes, back=st.integers(0, 3))
    def ring_for_the_same_again(self, lane: int, back: int) -> None:
        """Within five minutes it is dropped, whatever became of the first."""
        self._ring(lane, max(1, self._tails - back))

    def _ring(self, lane: int, tail: int) -> None:
        assert self._backend.doorbells.ring(SUBSCRIPTION, [bell(lane, tail)]) == []
        sent_ms = self._sent_ms.get((lane, tail))
        if sent_ms is None or self._now_ms >= sent_ms + 1000 * DEDUPLICATION_SECONDS:
            self._sent_ms[lane, tail] = self._now_ms
            self._waiting[lane].append(Bell(tail))

    @rule(count=st.integers(1, 10))
    def receive(self, count: int) -> None:
        self._bury()
        free = [lane for lane in range(LANES) if not self._is_in_flight(lane)]
        received = self._backend.receive(count)
        wanted = min(count, sum(len(self._waiting[lane]) for lane in free))
        assert len(received) == wanted
        heard: list[list[Bell]] = [[] for _ in range(LANES)]
        for message in received:
            doorbell = from_body(message.body)
            lane = int(doorbell.lane.index)
            assert lane in free, "a lane in flight gives no other"
            bell = self._waiting[lane][len(heard[lane])]
            assert int(doorbell.tail) == bell.tail, "a lane's doorbells come in their order"
            bell.received += 1
            assert message.receive_count == bell.received
            bell.message = message
            bell.back_ms = self._now_ms + 1000 * QUEUE.visibility_timeout_seconds
            heard[lane].append(bell)

    def _bury(self) -> None:
        """Move messages that were received too often to the dead letters, at the next receive after they come back."""
        for lane, bells in enumerate(self._waiting):
            for waiting_bell in list(bells):
                if waiting_bell.received >= QUEUE.receive_count_max and waiting_bell.back_ms <= self._now_ms:
                    bells.remove(waiting_bell)
                    self._dead[lane].append(waiting_bell.tail)

    def _is_in_flight(self, lane: int) -> bool:
        return any(bell.back_ms > self._now_ms for bell in self._waiting[lane])

    def _in_flight(self, lane: int) -> list[Bell]:
        return [bell for bell in self._waiting[lane] if bell.back_ms > self._now_ms]

    @rule(lane=lanes)
    def answer(self, lane: int) -> None:
        for waiting_bell in self._in_flight(lane)[:1]:
            assert waiting_bell.message is not None
            self._backend.doorbells.answer(SUBSCRIPTION, [waiting_bell.message.receipt_handle])
            self._waiting[lane].remove(waiting_bell)

    @rule(lane=lanes, seconds=st.sampled_from([0, 5, 100]))
    def hide(self, lane: int, seconds: int) -> None:
        """All that a lane has in flight, as an invocation does that hands the lane back."""
        for waiting_bell in self._in_flight(lane):
            assert waiting_bell.message is not None
            self._backend.doorbells.hide(SUBSCRIPTION, [waiting_bell.message.receipt_handle], seconds)
            waiting_bell.back_ms = self._now_ms + 1000 * seconds

    @rule(seconds=st.sampled_from([1, 30, 61, 301]))
    def wait(self, seconds: int) -> None:
        self._backend.clock.advance(seconds)

    @rule()
    def look_at_the_dead_letters(self) -> None:
        buried: list[list[int]] = [[] for _ in range(LANES)]
        for body in self._backend.dead_letters():
            buried[int(from_body(body).lane.index)].append(int(from_body(body).tail))
        assert [sorted(numbers) for numbers in buried] == [sorted(numbers) for numbers in self._dead]


@pytest.mark.parametrize(("opened", "examples"), [(in_memory, 400), (aws_backend, 20)], ids=["memory", "aws"])
def test_a_queue_is_as_its_operations_say(opened: Opened, examples: int) -> None:
    class Machine(DoorbellMachine):
        pass

    Machine.opened = staticmethod(opened)
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=examples, stateful_step_count=40, deadline=None, derandomize=True),
    )
