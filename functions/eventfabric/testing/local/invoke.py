"""Invokes a function as Lambda does: with its environment and context; if it crashes, its whole batch fails."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from eventfabric.ports import Clock
from eventfabric.resources import ENVIRONMENT_ENDPOINT, FunctionTopology
from eventfabric.runtime.wiring import Runtime, using
from eventfabric.testing.contexts import environment
from eventfabric.testing.local.guard import Rights, acting
from eventfabric.testing.local.zip_guard import in_function


@dataclass
class LocalContext:
    """The context object of one invocation. The time left runs by the local clock."""

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
        """Return the milliseconds until the invocation is cut off."""
        return max(0, self.deadline_ms - self.clock.now_ms())


class LocalFunction:
    """One function of one Region, kept warm."""

    def __init__(
        self, topology: FunctionTopology, runtime: Runtime, entry: Callable[[Any, Any], Any]
    ) -> None:
        self.topology = topology
        self.runtime = runtime
        self._entry = entry
        is_own = runtime.subscription not in runtime.handlers
        self._rights = Rights.of(runtime.topology, topology, is_own=is_own)
        self.invocations = 0

    def load(self) -> None:
        """Load the handler, whose module sees the function's environment. HandlerError."""
        with environment(self.topology.environment), in_function(has_layers=bool(self.topology.layers)):
            self.runtime.load()

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke the function and return its answer. Any exception that it raises is raised."""
        self.invocations += 1
        clock = self.runtime.ports.clock
        context = LocalContext(
            function_name=self.topology.name,
            clock=clock,
            deadline_ms=clock.now_ms() + self.topology.timeout_seconds * 1000,
            aws_request_id=f"{self.topology.name}-{self.invocations}",
            memory_limit_in_mb=self.topology.memory_megabytes,
        )
        with (
            using(self.runtime),
            environment(self.topology.environment),
            acting(self._rights.statements, lists=self._rights.lists),
            in_function(has_layers=bool(self.topology.layers)),
        ):
            try:
                answer: dict[str, Any] = self._entry(event, context)
            except Exception:  # like Lambda: log it, tell the poller only that it failed
                self.runtime.logger.exception("a function crashed", extra={"function": self.topology.name})
                raise
        return answer


_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_SESSION_TOKEN": None,
    "AWS_PROFILE": None,
}


def no_account(endpoint_url: str | None) -> AbstractContextManager[None]:
    """Direct every client made meanwhile, even by handlers, to the fabric: never to an account, whatever is set."""
    endpoints: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith(ENVIRONMENT_ENDPOINT)
    }
    return environment({**_CREDENTIALS, **endpoints, ENVIRONMENT_ENDPOINT: endpoint_url})
