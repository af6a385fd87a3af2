"""A Lambda function in a process of its own, which may die: a line in is an invocation, a line out its answer."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from math import ceil
from pathlib import Path
from select import select
from time import monotonic
from types import TracebackType
from typing import Any, Self

from eventfabric.resources import ENVIRONMENT_DEFINITION, ENVIRONMENT_ENDPOINT, FunctionTopology

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_SECONDS = 60
_END_SECONDS = 15


class ProcessDiedError(Exception):
    """The function answered nothing; all that its poller is told."""


class FunctionProcess:
    """One function. Its process is made for the first invocation, and anew for the one after it died.

    `exits` are the exit codes of those that died. Its environment is what the deployment gives, and nothing else.
    """

    def __init__(
        self,
        topology: FunctionTopology,
        *,
        definition: Path,
        endpoint_url: str,
        log: Path,
        environment: Mapping[str, str],
    ) -> None:
        self._topology = topology
        self._log = log
        self._environment = {
            **topology.environment,
            **environment,
            ENVIRONMENT_DEFINITION: str(definition),
            ENVIRONMENT_ENDPOINT: endpoint_url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONPATH": str(ROOT / "functions"),
        }
        self._process: subprocess.Popen[str] | None = None
        self.exits: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(grace_seconds=0)

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """The function's answer; ProcessDiedError."""
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(event) + "\n")
        process.stdin.flush()
        in_time = select([process.stdout], [], [], _PATIENCE_SECONDS)[0]
        line = process.stdout.readline() if in_time else ""
        if not line:
            self.exits.append(self._end(grace_seconds=_END_SECONDS if in_time else 0))
            raise ProcessDiedError(f"{self._topology.name} ended with {self.exits[-1]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.local.function_process"]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*command, self._topology.entry, str(self._topology.timeout_seconds)],
                cwd=ROOT,
                env=self._environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def _end(self, grace_seconds: float) -> int:
        """End the process, if it does not end by itself first; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with process:  # closes its pipes
            try:
                return process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                return process.wait()


class Context:
    """The part of Lambda's context that the functions use."""

    def __init__(self, timeout_seconds: float) -> None:
        self._deadline = monotonic() + timeout_seconds

    def get_remaining_time_in_millis(self) -> int:
        return max(0, ceil((self._deadline - monotonic()) * 1000))


def _serve(entry: str, timeout_seconds: float) -> None:
    """Invocation by invocation, until whoever made this process has no more, or is gone."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # functions write logs and metrics to standard output
    module, _, name = entry.rpartition(".")
    function = getattr(import_module(module), name)
    for line in sys.stdin:
        answers.write(json.dumps(function(json.loads(line), Context(timeout_seconds))) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve(sys.argv[1], float(sys.argv[2]))
