"""The twin of a functions' zip, with wheels for this machine, which can import it. The zip's are for Lambda's platform.

Its handlers are loaded in a fresh interpreter, which has the twin and the standard library on its path and nothing of
the user's environment: in the version that the functions have, if this machine has it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from platform import machine
from tempfile import TemporaryDirectory
from typing import Any, Final

from eventfabric.cdk.bytecode import Compiler, compiler_for
from eventfabric.cdk.wheels import HOST, LAMBDA, Platform, WheelsError, linux, unpacked_wheels
from eventfabric.definition.schema import Definition
from eventfabric.errors import DefinitionError, Problem
from eventfabric.resources import ENVIRONMENT_REGION, FunctionTopology
from eventfabric.topology import LAMBDA_PYTHON, Topology

_SCRIPT: Final = Path(__file__).with_name("import_handlers.py")
_SECONDS_MAX: Final = 120


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
    where: str,
) -> str:
    """Load the handlers of the zip that is staged in `target`. Return a warning about what stays unknown, if anything.

    Raises DefinitionError for handlers of the definition, which stands at `where`, that cannot be loaded.
    """
    topology = Topology(definition)
    loaded = {
        name: topology.deliver_function(name, subscription.regions[0])
        for name, subscription in topology.subscriptions.items()
    }
    if not loaded:
        return ""
    try:
        runs, path = _place_of(target, functions, cache, platform)
    except WheelsError as error:
        return f"No handler was imported on this machine before the deployment: {error}"
    failures = _failures(runs, path, loaded, target)
    if isinstance(failures, str):
        return failures
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


def _place_of(
    target: Path, functions: Path | None, cache: Path, platform: Platform
) -> tuple[Interpreter, list[Path]]:
    """Return the Python that imports the twin, and the folders from which it does."""
    if platform is HOST:
        return Interpreter(sys.executable, HOST), [target]
    runs = interpreter()
    # Before the zip, so that of each package with compiled modules the one for this machine is imported.
    wheels = unpacked_wheels(functions, cache=cache, platform=runs.platform, compiler=runs.compiler)
    return runs, [wheels, target]


def _failures(
    runs: Interpreter, path: list[Path], loaded: Mapping[str, FunctionTopology], target: Path
) -> dict[str, dict[str, Any]] | str:
    """Return why handlers cannot be loaded, by subscription; or, in words, why that stays unknown."""
    with TemporaryDirectory(prefix="eventfabric-twin-") as folder:
        request, answer = Path(folder, "request.json"), Path(folder, "answer.json")
        environments = {name: dict(_environment(function, target)) for name, function in loaded.items()}
        content = {"path": list(map(str, path)), "functions": environments, "answer": str(answer)}
        request.write_text(json.dumps(content), encoding="utf-8")
        command = [runs.path, "-I", "-S", "-B", "-W", "ignore", str(_SCRIPT), str(request)]
        reason = "it did not end"
        try:
            ran = subprocess.run(
                command, cwd=folder, env={}, capture_output=True, text=True, check=False, timeout=_SECONDS_MAX
            )
            reason = f"the process ended with {ran.returncode}: {ran.stderr.strip()[-500:]}"
        except subprocess.TimeoutExpired:
            pass
        if not answer.exists():
            return f"Importing the handlers on this machine tells nothing: {reason}"
        failures: dict[str, dict[str, Any]] = json.loads(answer.read_text(encoding="utf-8"))
        return failures


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
    handler = definition.subscriptions[name].handler
    return f'"{handler}", which cannot be imported from the zip: {failure["kind"]}: {failure["reason"]}'
