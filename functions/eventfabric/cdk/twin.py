"""The twin of a functions' zip, with wheels for this machine, which can import it. The zip's are for Lambda's platform.

Its handlers are loaded in a fresh interpreter, which has the twin and the standard library on its path and nothing of
the user's environment: in the version that the functions have, if this machine has it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from platform import machine
from tempfile import TemporaryDirectory
from typing import Any, Final

from eventfabric.cdk.bytecode import Compiler, compiler_for
from eventfabric.cdk.library import LibraryError
from eventfabric.cdk.wheels import HOST, LAMBDA, Platform, WheelsError, linux, unpacked_wheels
from eventfabric.definition.schema import Definition
from eventfabric.deployment.shipped import LOCK
from eventfabric.errors import DefinitionError, Problem
from eventfabric.resources import ENVIRONMENT_REGION, FunctionTopology
from eventfabric.topology import DELIVER_ENTRY, LAMBDA_PYTHON, Topology

_SCRIPT: Final = Path(__file__).with_name("import_handlers.py")
_SECONDS_MAX: Final = 120
_UNKNOWN: Final = "unknown"
"""Kind of failure of functions that had not ended their import in time."""


@dataclass(frozen=True)
class Interpreter:
    """A Python of this machine, and which wheels are for it."""

    path: str
    platform: Platform

    @property
    def compiler(self) -> Compiler | None:
        """Compiler of bytecode for it."""
        return compiler_for(self.platform.python)


@cache
def interpreter() -> Interpreter:
    """Choose the Python that functions have, where this machine has it too, else the one that runs this."""
    compiler = compiler_for(LAMBDA_PYTHON)
    if compiler is None or sys.platform != "linux":
        return Interpreter(sys.executable, HOST)
    return Interpreter(compiler.path, linux(LAMBDA_PYTHON, machine()))


def check_twin(
    definition: Definition,
    target: Path,
    *,
    functions: Path | None,
    cache: Path,
    platform: Platform = LAMBDA,
    lock: Path = LOCK,
    where: str,
) -> str:
    """Load the handlers of the zip that is staged in `target`. Return a warning about what stays unknown, if anything.

    `lock` lists the packages that the library needs in that zip, for which the twin has its own wheels.
    Raises DefinitionError for handlers of the definition, which stands at `where`, that cannot be loaded, and
    LibraryError for another function that cannot.
    """
    own, loaded = _functions(Topology(definition))
    try:
        runs, path = _place_of(target, functions, cache, platform, lock)
    except WheelsError as error:
        return f"No handler was imported on this machine before the deployment: {error}"
    failures = _failures(runs, path, own | loaded, target)
    _refuse_library({entry: failures[entry] for entry in own if entry in failures})
    certain = [
        Problem(f"subscriptions.{name}.handler", _shown(definition, name, failure), "what can be imported")
        for name, failure in failures.items()
        if failure["certain"]
        and not loaded[name].layers
        and (platform is HOST or runs.platform.python == LAMBDA_PYTHON)
    ]
    if certain:
        raise DefinitionError(certain, where=where)
    return "; ".join(
        f"{_shown(definition, name, failure)}, unless the functions have what this machine lacks"
        for name, failure in failures.items()
    )


def _functions(topology: Topology) -> tuple[dict[str, FunctionTopology], dict[str, FunctionTopology]]:
    """Return the functions of the fabric's own, by entry, and those with handlers, by subscription."""
    own = {function.entry: function for function in topology.functions(topology.home)}
    own.pop(DELIVER_ENTRY, None)
    loaded = {
        name: topology.deliver_function(name, subscription.regions[0])
        for name, subscription in topology.subscriptions.items()
    }
    return own, loaded


def _refuse_library(failures: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise LibraryError for a function of the fabric's own that cannot be loaded, by entry."""
    for entry, failure in failures.items():
        if failure["kind"] == _UNKNOWN:
            continue  # a slow machine is no fault of the library
        raise LibraryError(
            f"{entry}: cannot be imported from the zip: {failure['kind']}: {failure['reason']}"
        )


def _place_of(
    target: Path, functions: Path | None, cache: Path, platform: Platform, lock: Path
) -> tuple[Interpreter, list[Path]]:
    """Return the Python that imports the twin, and the folders from which it does."""
    if platform is HOST:
        return Interpreter(sys.executable, HOST), [target]
    runs = interpreter()
    # Before the zip, so that of each package with compiled modules the one for this machine is imported.
    wheels = unpacked_wheels(
        functions, cache=cache, platform=runs.platform, lock=lock, compiler=runs.compiler
    )
    return runs, [wheels, target]


def _failures(
    runs: Interpreter, path: list[Path], functions: Mapping[str, FunctionTopology], target: Path
) -> dict[str, dict[str, Any]]:
    """Return why functions cannot be loaded, by their names in `functions`.

    One that ends its process is to blame for that, and the rest are loaded in another. One that does not end leaves it
    unknown if the rest can be.
    """
    waiting = {
        name: {
            "entry": function.entry,
            "environment": dict(_environment(function, target)),
            "loads": function.entry == DELIVER_ENTRY,
        }
        for name, function in functions.items()
    }
    failures: dict[str, dict[str, Any]] = {}
    while waiting:
        answers, reason = _answers(runs, path, waiting)
        failures |= {name: failure for name, failure in answers.items() if failure is not None}
        waiting = {name: function for name, function in waiting.items() if name not in answers}
        if waiting and reason:
            failures[next(iter(waiting))] = {"kind": "the process ended", "reason": reason, "certain": True}
            waiting.pop(next(iter(waiting)))
        elif waiting:
            unknown = {"kind": _UNKNOWN, "reason": f"{next(iter(waiting))} did not end", "certain": False}
            return failures | dict.fromkeys(waiting, unknown)
    return failures


def _answers(
    runs: Interpreter, path: list[Path], functions: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, dict[str, Any] | None], str]:
    """Load functions in a process. Return its answers, by name, and how it ended; empty: it had to be ended."""
    with TemporaryDirectory(prefix="eventfabric-twin-") as folder:
        request, answers, output = (
            Path(folder, name) for name in ("request.json", "answers.jsonl", "output")
        )
        content = {"path": list(map(str, path)), "functions": functions, "answers": str(answers)}
        request.write_text(json.dumps(content), encoding="utf-8")
        command = [runs.path, "-I", "-S", "-B", "-W", "ignore", str(_SCRIPT), str(request)]
        reason = ""
        # Output to a file, since what a module starts may keep a pipe open for long.
        with output.open("wb") as file, suppress(subprocess.TimeoutExpired):
            ran = subprocess.run(
                command,
                cwd=folder,
                env={},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                check=False,
                timeout=_SECONDS_MAX,
            )
            reason = f"exit code {ran.returncode}: {_end_of(output)}".removesuffix(": ")
        lines = answers.read_text(encoding="utf-8").splitlines() if answers.exists() else []
        return dict(map(json.loads, lines)), reason


def _end_of(output: Path) -> str:
    return output.read_bytes()[-500:].decode(errors="replace").strip()


def _environment(function: FunctionTopology, target: Path) -> Iterator[tuple[str, str]]:
    """Yield the environment that the deployment and Lambda set."""
    region = function.environment[ENVIRONMENT_REGION]
    yield from function.deployed_environment.items()
    yield from {
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{LAMBDA_PYTHON}",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_megabytes),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_EC2_METADATA_DISABLED": "true",
        "LAMBDA_TASK_ROOT": str(target),
        "_HANDLER": function.entry,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }.items()


def _shown(definition: Definition, name: str, failure: Mapping[str, Any]) -> str:
    own = definition.subscriptions.get(name)
    handler = own.handler if own else name
    return f'"{handler}", which cannot be imported from the zip: {failure["kind"]}: {failure["reason"]}'
