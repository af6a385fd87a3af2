"""Weight of an installation: what a producer and a test of handlers bring along, and what they must not."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.install import ROOT
from tests.packaging.closure import closure

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
HEAVY = {"aws-sam-translator", "cfn-lint", "jsonschema", "networkx", "openapi-spec-validator", "sympy"}
"""Packages that moto's extra `server` brings for services that the local fabric does not use."""
MEGABYTES_MAX = {"producer": 60, "producer beside the SDK of AWS": 20, "local": 150}


def here(requirements: list[str]) -> list[str]:
    """Keep the requirements that apply to this Python."""
    parsed = [(text, Requirement(text).marker) for text in requirements]
    return [text for text, marker in parsed if marker is None or marker.evaluate()]


def megabytes(names: set[str]) -> float:
    """Return the size of installed distributions, bytecode included."""
    files = [Path(str(file.locate())) for name in names for file in distribution(name).files or ()]
    return sum(path.stat().st_size for path in set(files) if path.is_file()) / 1e6


BASE = here(PROJECT["dependencies"])


def test_a_producer_weighs_little_beside_the_sdk_of_aws() -> None:
    beside = closure(BASE) - closure(["boto3"])
    assert 1 < megabytes(beside) < MEGABYTES_MAX["producer beside the SDK of AWS"]
    assert megabytes(closure(BASE)) < MEGABYTES_MAX["producer"]


def test_a_test_of_handlers_fits_into_what_a_laptop_downloads_in_a_moment() -> None:
    assert 50 < megabytes(closure([*BASE, *here(EXTRAS["local"])])) < MEGABYTES_MAX["local"]


# The project's own tests validate with jsonschema, and templates with cfn-lint.
@pytest.mark.parametrize(
    ("lock", "own"), [("local", set()), ("dev", {"cfn-lint", "jsonschema", "networkx", "sympy"})]
)
def test_no_lock_brings_what_the_server_of_all_services_needs(lock: str, own: set[str]) -> None:
    text = (ROOT / "scripts" / "locks" / f"{lock}.txt").read_text(encoding="utf-8")
    locked = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    assert {"moto", "flask", "flask-cors"} <= locked
    assert locked & HEAVY == own
    assert closure(here(EXTRAS["local"])) & HEAVY == set()


SERVED = """
import sys
from threading import Event

sys.modules.update(dict.fromkeys({absent}))
from eventfabric import Fabric
from eventfabric.testing.local.server import serve

stop = Event()


def ready(endpoint_url, fabric):
    shop = Fabric.from_definition("fabric.toml", region="eu-west-1", endpoint_url=endpoint_url)
    published = shop.publish("orders", key="a", type="Placed", data=dict(order="A-1"))
    fabric.settle(timers=True)
    [handled] = fabric.subscription("count").handled()
    print(handled.event.id == published.event_id)
    stop.set()


serve("fabric.toml", on_ready=ready, stop=stop)
"""


def test_the_server_delivers_without_what_moto_brings_for_other_services(tmp_path: Path) -> None:
    (tmp_path / "fabric.toml").write_text(
        '[fabric]\nname = "light"\nregions = ["eu-west-1"]\n[streams.orders]\nlanes = 1\n'
        '[subscriptions.count]\nstream = "orders"\nhandler = "stock:count"\n'
    )
    (tmp_path / "stock.py").write_text("def count(event, delivery): ...\n")
    absent = {"cfnlint", "jsonschema", "networkx", "openapi_spec_validator", "samtranslator", "sympy"}
    ran = subprocess.run(
        [sys.executable, "-c", SERVED.format(absent=absent)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (ran.returncode, ran.stdout) == (0, "True\n"), ran.stderr
