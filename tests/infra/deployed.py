"""The zip of the functions as Lambda runs it, on this machine: its wheels, its Python where there is one.

A process has the zip and the standard library on its path, and nothing of this project's environment.
"""

from collections.abc import Mapping
from pathlib import Path

from eventfabric.cdk.bytecode import compiler_for
from eventfabric.cdk.staging import stage
from eventfabric.cdk.twin import interpreter
from eventfabric.cdk.wheels import Platform, unpacked_wheels
from eventfabric.definition.file import read_definition
from eventfabric.resources import ENVIRONMENT_REGION, FunctionTopology
from eventfabric.topology import LAMBDA_PYTHON
from infra.app import ROOT, WHEELS

RUNTIME_LOCK = ROOT / "scripts" / "locks" / "runtime.txt"
DEFINITION = ROOT / "infra" / "fabric.toml"
FUNCTIONS = ROOT / "functions"


def stage_sample(target: Path, platform: Platform) -> str:
    """The sample's zip for a platform, as a folder; its hash."""
    definition = read_definition(DEFINITION, check_handlers=True)
    compiler = compiler_for(platform.python)
    wheels = unpacked_wheels(FUNCTIONS, cache=WHEELS, platform=platform, compiler=compiler)
    return stage(definition, functions=FUNCTIONS, target=target, wheels=wheels, compiler=compiler)


def runtime_client() -> Path:
    """The folder with Lambda's runtime client, which Lambda has beside the zip."""
    return unpacked_wheels(None, cache=WHEELS, platform=interpreter().platform, lock=RUNTIME_LOCK)


def environment(function: FunctionTopology, zip_folder: Path, **more: str) -> Mapping[str, str]:
    """Return the environment that the deployment and Lambda set, and nothing else."""
    region = function.environment[ENVIRONMENT_REGION]
    return {
        **function.deployed_environment,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{LAMBDA_PYTHON}",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_megabytes),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "testing",
        "LAMBDA_TASK_ROOT": str(zip_folder),
        "_HANDLER": function.entry,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        **more,
    }


def command(code: str, *path: Path) -> list[str]:
    """Runs `code` with these folders and the standard library on its path."""
    folders = [str(folder) for folder in path]
    return [interpreter().path, "-I", "-S", "-B", "-c", f"import sys; sys.path[:0] = {folders!r}\n{code}"]
