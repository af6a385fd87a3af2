"""Invokes a function as Lambda does: its environment, its context, its whole batch lost when it crashes."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from eventfabric.ports import Clock
from eventfabric.runtime.wiring import Runtime, using
from eventfabric.topology import FunctionTopology


@dataclass
class LocalContext:
    """The context object of one invocation; time left runs by the local clock."""

    function_name: str
    clock: Clock
    deadline_ms: int
    aws_request_id: str
    memory_limit_in_mb: int = 512
    function_version: str = "$LATEST"
    invoked_function_arn: str = field(init=False)
    log_group_name: str = field(init=False)
    log_stream_name: str = "local"

    def __post_init__(self) -> None:
        self.invoked_function_arn = f"arn:aws:lambda:local:123456789012:function:{self.function_name}"
        self.log_group_name = f"/aws/lambda/{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation is cut off."""
        return max(0, self.deadline_ms - self.clock.now_ms())


class Function:
    """One function of one Region, kept warm."""

    def __init__(
        self, topology: FunctionTopology, runtime: Runtime, entry: Callable[[Any, Any], Any]
    ) -> None:
        self.topology = topology
        self.runtime = runtime
        self._entry = entry
        self.invocations = 0

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """The function's answer; raises what it raised."""
        self.invocations += 1
        clock = self.runtime.ports.clock
        context = LocalContext(
            function_name=self.topology.name,
            clock=clock,
            deadline_ms=clock.now_ms() + self.topology.timeout_seconds * 1000,
            aws_request_id=f"{self.topology.name}-{self.invocations}",
        )
        with using(self.runtime), _environment(self.topology.environment):
            answer: dict[str, Any] = self._entry(event, context)
        return answer


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
