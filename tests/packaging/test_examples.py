"""Each example is a project of its own: it works with the built wheel, and with nothing of this checkout."""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from select import select
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from scripts.install import ROOT
from tests.packaging.cdk_double import install_cdk
from tests.packaging.closure import closure, dependencies_of
from tests.packaging.distributions import PACKAGE
from tests.packaging.environment import Environment

EXAMPLES = ROOT / "examples"
GROUPS = {"embedded": "dev", "producer": "dev", "shop": "deploy"}
"""For each example, the group of its pyproject.toml that has all it takes to test it, and to synthesise it."""
SEES = f"""
import importlib.util, sys
from pathlib import Path
assert importlib.util.find_spec("eventfabric").origin.startswith(sys.prefix)
for module in ("infra", "scripts", "subscribers", "tests"):
    assert importlib.util.find_spec(module) is None, module
assert not [entry for entry in sys.path if Path(entry).resolve().is_relative_to({str(ROOT)!r})], sys.path
"""
PATIENCE_SECONDS = 120
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}

With = Callable[[Iterable[str]], Environment]


@dataclass(frozen=True)
class Example:
    """A copy of an example outside of the checkout, and an environment that has what its pyproject.toml names."""

    folder: Path
    environment: Environment
    requirements: list[str]

    def run(self, *words: str, **variables: str) -> str:
        """Run a program of the environment, which must end well. Return its output."""
        ran = self.environment.run(*words, folder=self.folder, variables=variables)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def pytest(self, **variables: str) -> str:
        return self.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", **variables)


@pytest.fixture(scope="module")
def example(environment_with: With, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Example]:
    """Return a function that copies an example, and makes its environment."""
    home = Path(tmp_path_factory.mktemp("examples"))

    @cache
    def made(name: str) -> Example:
        folder = home / name
        ignored = shutil.ignore_patterns("__pycache__", "build", "cdk.out", ".venv")
        shutil.copytree(EXAMPLES / name, folder, ignore=ignored)
        requirements = dependencies_of(folder / "pyproject.toml", GROUPS[name])
        return Example(folder, environment_with(requirements), requirements)

    return made


def test_there_are_three() -> None:
    assert sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml")) == sorted(GROUPS)


@pytest.mark.parametrize("name", GROUPS)
def test_it_finds_what_it_names_and_nothing_of_the_checkout(
    example: Callable[[str], Example], name: str
) -> None:
    environment = example(name).environment
    there = environment.distributions()
    named = closure(example(name).requirements, find=lambda wanted: there[canonicalize_name(wanted)])
    assert set(there) == named
    seen = environment.run("python", "-c", SEES, folder=environment.home)
    assert seen.returncode == 0, seen.stderr


def test_the_shops_tests_pass(example: Callable[[str], Example]) -> None:
    assert "6 passed" in example("shop").pytest()


def test_the_shop_is_synthesised_with_its_tables_and_what_its_handlers_may_do_there(
    example: Callable[[str], Example],
) -> None:
    shop = example("shop")
    install_cdk(shop.environment)
    shop.run("eventfabric", "synth")
    stacks = templates(shop.folder / "cdk.out")
    deliver = [body for name, own in stacks.items() if name.startswith("shop-Subscription") for body in own]
    [tables] = [resources for name, resources in stacks.items() if name.startswith("shop-tables")]
    granted = {
        table["Properties"]["TableName"]: [
            statement["Action"]
            for policy in deliver
            if policy["Type"] == "AWS::IAM::Policy"
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            if f"table/{table['Properties']['TableName']}" in str(statement["Resource"])
        ]
        for table in tables
        if table["Type"] == "AWS::DynamoDB::GlobalTable"
    }
    assert granted == {
        "shop-books": [["dynamodb:PutItem", "dynamodb:UpdateItem"]],
        "shop-letters": ["dynamodb:PutItem"],
    }


def test_the_app_that_embeds_a_fabric_passes_its_tests_and_ships_the_wheel(
    example: Callable[[str], Example],
) -> None:
    embedded = example("embedded")
    assert "5 passed" in embedded.pytest()
    app = json.loads((embedded.folder / "cdk.json").read_text())["app"]
    embedded.run(*app.split(), CDK_OUTDIR="cdk.out")  # as the CDK's command line does
    [code] = [path for path in (embedded.folder / "cdk.out").glob("asset.*") if path.is_dir()]
    handler = Path("stock", "parcels.py")
    assert (code / handler).read_text() == (embedded.folder / "functions" / handler).read_text()
    shipped = [path.relative_to(code) for path in (code / "eventfabric").rglob("*.py")]
    assert Path("eventfabric/handlers/deliver.py") in shipped
    assert {
        path for path in shipped if (code / path).read_bytes() != (PACKAGE.parent / path).read_bytes()
    } == set()
    assert not (code / "eventfabric" / "cdk").exists()


def templates(assembly: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the resources of each stack in an assembly."""
    return {
        path.name: list(json.loads(path.read_text())["Resources"].values())
        for path in assembly.glob("*.template.json")
    }


def test_the_producers_tests_pass(example: Callable[[str], Example]) -> None:
    assert "3 passed" in example("producer").pytest()


def test_the_producer_sells_seats_with_the_package_alone(
    example: Callable[[str], Example], environment_with: With
) -> None:
    producer = example("producer")
    base = environment_with(dependencies_of(producer.folder / "pyproject.toml"))
    assert {"moto", "pytest", "typer"}.isdisjoint(base.distributions())
    with server_of(producer) as url:
        local = {"AWS_ENDPOINT_URL": url, "AWS_REGION": "eu-central-1", **CREDENTIALS}
        sales = [
            base.run("python", "src/sell.py", "friday", "7", guest, folder=producer.folder, variables=local)
            for guest in ("ada", "bob")
        ]
    assert [(sale.returncode, sale.stderr) for sale in sales] == [(0, ""), (1, "seat 7 is taken\n")]
    assert sales[0].stdout.startswith("sold: event ")


@contextmanager
def server_of(producer: Example) -> Iterator[str]:
    """Run the producer's fabric as its README says, and yield the endpoint URL."""
    options = ("--no-deliver", "--setup", "cinema.tables:make", "--port", "0", "--json")
    with (producer.folder / "server.err").open("w") as errors:
        server = subprocess.Popen(
            [str(producer.environment.folder / "bin" / "eventfabric"), "local", "up", *options],
            cwd=producer.folder,
            env=producer.environment.variables({"PYTHONPATH": "src"}),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert server.stdout is not None
    try:
        assert select([server.stdout], [], [], PATIENCE_SECONDS)[0], (
            producer.folder / "server.err"
        ).read_text()
        yield json.loads(server.stdout.readline())["endpoint_url"]
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(PATIENCE_SECONDS)
        finally:
            server.kill()
            server.stdout.close()
