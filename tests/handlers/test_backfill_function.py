"""The backfill function, driven by its state machine; and the machine's shape."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

import eventfabric.handlers.backfill
from eventfabric import limits
from eventfabric.deployment.state_machine import backfill_state_machine
from eventfabric.errors import BackfillError, UnknownNameError
from eventfabric.model import SequenceNumber
from eventfabric.model.backfill import BackfillState
from eventfabric.runtime import backfill as module
from eventfabric.runtime.wiring import Runtime, using
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.telemetry import NoTelemetry
from eventfabric.testing.memory.faults import Fault, at_random
from eventfabric.topology import BACKFILL_ENTRY
from tests.handlers.states import Execution, FailedError
from tests.support.backfill_regions import SOURCE, TARGET, BackfillRegions
from tests.support.memory_fabric import STREAM, lane

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:shop-backfill"
ASKED = {"stream": STREAM, "source": SOURCE, "workers": 3, "slice_events": 1_000}


@dataclass
class Context(LambdaContext):
    fabric: BackfillRegions
    deadline_ms: int

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override]  # static in Powertools only
        return self.deadline_ms - self.fabric.clock.now_ms()


class Function:
    """The function of the target Region, as Lambda invokes it: JSON in, JSON out."""

    def __init__(
        self, fabric: BackfillRegions, *, seconds: int = 900, after: Callable[[], None] = lambda: None
    ) -> None:
        self.fabric = fabric
        self.seconds = seconds
        self.after = after
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> Any:
        self.events.append(event)
        runtime = Runtime(
            topology=self.fabric.topology,
            region=TARGET,
            subscription=None,
            ports=self.fabric.ports(),
            telemetry=NoTelemetry(),
            logger=Logger(service="test", stream=StringIO()),
        )
        context: Any = Context(self.fabric, self.fabric.clock.now_ms() + self.seconds * 1000)
        with using(runtime):
            answer = eventfabric.handlers.backfill.handle(json.loads(json.dumps(event)), context)
        assert context.get_remaining_time_in_millis() > 0
        self.after()
        return json.loads(json.dumps(answer))

    def count(self, action: str) -> int:
        return sum(event["action"] == action for event in self.events)

    def run(self, asked: dict[str, Any], *, name: str = "execution-1") -> Execution:
        """The state machine to its end."""
        execution = Execution(backfill_state_machine(ARN), self, name=name)
        self.output = execution.run(asked)
        return execution


def filled() -> BackfillRegions:
    fabric = BackfillRegions()
    for number in range(3):
        fabric.fill(20, of=lane(number))
    return fabric


def test_the_state_machine_copies_what_is_declared() -> None:
    fabric = filled()
    deployer = Deployer(fabric.topology, SOURCE, fabric.ports(SOURCE), by="stack", request_id="r1")
    deployer.declare_stream(fabric.stream)
    function = Function(fabric)
    function.run(ASKED)
    assert fabric.items(TARGET) == fabric.items(SOURCE)
    assert f"@{SOURCE}/{STREAM}" in {event.get("lane") for event in function.events}


def test_the_state_machine_copies_every_slice_and_says_what_was_done() -> None:
    fabric = filled()
    function = Function(fabric)
    execution = function.run(ASKED)
    assert fabric.items(TARGET) == fabric.items(SOURCE)
    assert function.output == {
        "backfill": "execution-1",
        "state": "done",
        "slices": 6,
        "slices_done": 6,
        "copied_events": 6_000,
    }
    assert execution.map_sizes == [(0, 3), (6, 3)]
    assert (function.count("copy"), execution.entered[-1]) == (6, "Ended")
    (backfill,) = fabric.backfiller().all()
    assert (backfill.by, backfill.state) == ("execution execution-1", BackfillState.DONE)


def test_a_copy_that_runs_out_of_time_is_called_again() -> None:
    fabric = filled()
    function = Function(fabric, seconds=10)
    function.run({**ASKED, "rate": 300.0})
    assert fabric.items(TARGET) == fabric.items(SOURCE)
    # 20 seconds of a slice's events at its share of the rate, five in each invocation.
    assert function.count("copy") > 6


def test_many_slices_are_planned_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_HANDED_SLICES", 4)
    fabric = filled()
    function = Function(fabric)
    execution = function.run({**ASKED, "slice_events": 300})
    assert fabric.items(TARGET) == fabric.items(SOURCE)
    assert max(size for size, _ in execution.map_sizes) == 4
    assert sum(size for size, _ in execution.map_sizes) == 21


def test_throttles_and_lost_replies_are_tried_again_by_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_PATIENCE_SECONDS", 0)
    fabric = filled()
    kinds = [Fault.THROTTLED, Fault.LOST_REPLY, Fault.LOST_REQUEST]
    fabric.faults.rules.append(at_random(0.05, kinds, seed=3))
    fabric.reading.rules.append(at_random(0.05, kinds, seed=4))
    function = Function(fabric)
    function.run(ASKED)
    assert fabric.items(TARGET) == fabric.items(SOURCE)
    assert function.count("copy") > 6


def test_a_slice_that_cannot_be_copied_fails_the_execution_and_no_other_slice() -> None:
    fabric = filled()
    fabric.remove(fabric.log(SOURCE).read(lane(), SequenceNumber(0), records_max=9).records[7])
    function = Function(fabric)
    with pytest.raises(FailedError, match="Incomplete"):
        function.run(ASKED)
    report = fabric.backfiller().report("execution-1")
    assert (report.backfill.state, report.total.slices_done) == (BackfillState.INCOMPLETE, 5)


def test_cancelled_under_way_the_rest_is_left_and_another_execution_goes_on() -> None:
    fabric = filled()
    function = Function(fabric)

    def cancel() -> None:
        if function.count("copy") == 2:
            fabric.backfiller().cancel("execution-1")

    function.after = cancel
    function.run(ASKED)
    assert function.output["state"] == "cancelled"
    assert function.output["slices_done"] == 2
    function.after = lambda: None
    copied = function.count("copy")
    function.run({"backfill": "execution-1"}, name="execution-2")
    assert function.output["state"] == "done"
    assert function.count("copy") == copied + 4
    assert fabric.items(TARGET) == fabric.items(SOURCE)


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({"action": "begin", "name": "n", "asked": {**ASKED, "source": TARGET}}, "another Region"),
        (
            {"action": "begin", "name": "n", "asked": {**ASKED, "lanes": ["0.7"]}},
            "lanes: found '0.7', allowed: LANE",
        ),
        ({"action": "begin", "name": "n", "asked": {**ASKED, "rat": 5}}, "unknown field `rat`"),
        ({"action": "begin", "name": "n", "asked": {**ASKED, "workers": "3"}}, "Expected `int`"),
        (
            {"action": "copy", "backfill": "b", "lane": "x" * 99, "start": 0},
            "event.lane: found '" + "x" * 79 + ", allowed: <origin>/<generation>.<index>",
        ),
        ({"action": "dance"}, "Invalid value 'dance'"),
        ({"action": "dance"}, "allowed: see eventfabric.deployment.state_machine"),
        ({}, "missing required field `action`"),
    ],
)
def test_what_makes_no_sense_is_refused(event: dict[str, Any], problem: str) -> None:
    with pytest.raises(BackfillError) as error:
        Function(filled())(event)
    assert problem in str(error.value)


def test_what_is_refused_is_not_tried_again() -> None:
    function = Function(filled())
    with pytest.raises(FailedError, match="no stream is named 'returns'"):
        function.run({**ASKED, "stream": "returns"})
    assert function.count("begin") == 1
    with pytest.raises(UnknownNameError, match="no backfill is named"):
        function({"action": "plan", "backfill": "none"})


def test_the_machine_is_json_that_names_the_function_in_each_task() -> None:
    text = json.dumps(backfill_state_machine(ARN, partition="aws-cn"))
    assert text.count(ARN) == text.count("arn:aws-cn:states:::lambda:invoke") == 4


def test_the_function_has_all_the_time_that_lambda_gives() -> None:
    made = BackfillRegions().topology.backfill_function(TARGET)
    assert (made.name, made.entry) == ("shop-backfill", BACKFILL_ENTRY)
    assert made.timeout_seconds == limits.FUNCTION_TIMEOUT_SECONDS_MAX
    assert eventfabric.handlers.backfill.handle is module.handle
