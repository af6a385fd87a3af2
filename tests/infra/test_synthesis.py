"""Synthesis needs no network, and the same input gives the same templates wherever and however it is started."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from eventfabric.cdk.bytecode import compiler_for
from eventfabric.cdk.wheels import unpacked_wheels
from eventfabric.topology import LAMBDA_PYTHON
from infra.app import ROOT, WHEELS

REFUSING = """
import runpy, socket, sys
def refuse(*given, **named):
    raise OSError("this test has no network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
sys.argv = ["infra.app"]
runpy.run_module("infra.app", run_name="__main__")
"""
"""Runs the app where nothing can be connected to."""


@pytest.fixture(scope="session")
def cached() -> None:
    """The wheels are there: a fresh clone fetches them once."""
    unpacked_wheels(ROOT / "functions", cache=WHEELS, compiler=compiler_for(LAMBDA_PYTHON))


def without_network() -> list[str]:
    """Return the words that start a command without any network; none if this user has no right to do so."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rn", "true"], capture_output=True).returncode != 0:
        return []
    return [unshare, "-rn"]


def synthesised(project: Path, *, seed: int) -> dict[str, bytes]:
    """The templates that the app writes for a definition that lies in `project`, by file name."""
    (project / "infra").mkdir(parents=True)
    (project / "functions" / "subscribers").mkdir(parents=True)
    (project / "functions" / "subscribers" / "count.py").write_text("def record(event, delivery): ...\n")
    definition = project / "infra" / "fabric.toml"
    definition.write_text(
        '[fabric]\nname = "same"\nregions = ["eu-west-1", "us-east-1"]\n[streams.orders]\n[streams.parcels]\n'
        '[subscriptions.count]\nstream = "orders"\nhandler = "subscribers.count:record"\n'
    )
    of_cdk = {key for key in os.environ if key.startswith("CDK_")} - {"CDK_VALIDATION"}
    environment = [(key, value) for key, value in os.environ.items() if key not in of_cdk]
    Random(seed).shuffle(environment)
    process = subprocess.run(
        [*without_network(), sys.executable, "-c", REFUSING],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={
            **dict(environment),
            "PYTHONHASHSEED": str(seed),
            "CDK_OUTDIR": str(project / "cdk.out"),
            "CDK_CONTEXT_JSON": f'{{"definition": "{definition}"}}',
        },
    )
    assert process.returncode == 0, process.stderr
    return {path.name: path.read_bytes() for path in (project / "cdk.out").glob("*.template.json")}


@pytest.mark.usefixtures("cached")
def test_two_syntheses_without_network_in_two_places_give_equal_bytes(tmp_path: Path) -> None:
    first = synthesised(tmp_path / "one", seed=1)
    second = synthesised(tmp_path / "elsewhere" / "two", seed=2)
    regions = ("eu-west-1", "us-east-1")
    stacks = {
        f"same-{kind}-{region}" for kind in ("keys", "cell", "Subscription-count") for region in regions
    }
    assert {stack.removesuffix(".template.json") for stack in first} >= stacks
    assert first == second
