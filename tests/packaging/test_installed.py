"""A company's project, with the installed wheel and nothing of this checkout, embeds a fabric in an app of its own."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from eventfabric.cdk.bytecode import compiler_for
from eventfabric.cdk.wheels import unpacked_wheels
from eventfabric.topology import LAMBDA_PYTHON
from infra.app import WHEELS
from scripts.install import ROOT
from tests.packaging.distributions import PACKAGE
from tests.packaging.environment import Environment

DEFINITION = """
[fabric]
name = "company"
regions = ["eu-west-1", "us-east-1"]
[streams.orders]
[subscriptions.count]
stream = "orders"
handler = "warehouse.stock:count"
"""
HANDLER = "def count(event, delivery): ...\n"
APP = """
from eventfabric.cdk import EventFabric  # before the CDK's library, which starts a Node as it is imported

import aws_cdk as cdk
from aws_cdk import aws_iam as iam


class Production(cdk.Stage):
    def __init__(self, scope):
        super().__init__(scope, "Production")
        shop = cdk.Stack(self, "Shop", env=cdk.Environment(region="eu-west-1"))
        role = iam.Role(shop, "Role", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
        fabric = EventFabric(self, definition="fabric.toml", cache={cache!r})
        fabric.grant_publish(role, "orders")
        for region, function in fabric.functions["company-count"].items():
            function.function.add_environment("WAREHOUSE", region)


app = cdk.App(outdir="cdk.out")
Production(app)
app.synth()
"""
CHECK = """
import eventfabric
from eventfabric.cdk.library import installation, imported_package, shipped_files
print(eventfabric.__file__, len(list(shipped_files(installation(), imported_package()))))
"""


@dataclass(frozen=True)
class Company:
    """A project outside of the checkout, and an environment in which the wheel is installed."""

    folder: Path
    environment: Environment

    @property
    def packages(self) -> Path:
        return self.environment.packages

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run Python in the project."""
        return self.environment.run("python", *arguments, folder=self.folder)


@pytest.fixture(scope="module")
def company(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Company:
    """Make the company's project."""
    project = Path(tmp_path_factory.mktemp("company"))
    (project / "functions" / "warehouse").mkdir(parents=True)
    (project / "fabric.toml").write_text(DEFINITION)
    (project / "functions" / "warehouse" / "stock.py").write_text(HANDLER)
    (project / "app.py").write_text(APP.format(cache=str(WHEELS)))
    return Company(project, environment)


def test_nothing_of_the_checkout_is_there(company: Company) -> None:
    ran = company.run("-c", CHECK)
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.split()[0]) == company.packages / "eventfabric" / "__init__.py"
    for module in ("infra", "scripts", "subscribers", "tests"):
        assert "ModuleNotFoundError" in company.run("-c", f"import {module}").stderr


def test_an_app_embeds_a_fabric_in_its_own_stage_and_stages_the_wheel(company: Company) -> None:
    unpacked_wheels(
        None, cache=WHEELS, compiler=compiler_for(LAMBDA_PYTHON)
    )  # a fresh clone fetches them once
    ran = company.run("app.py")
    assert ran.returncode == 0, ran.stderr
    [assembly] = (company.folder / "cdk.out").glob("assembly-Production")
    templates = {path.name: json.loads(path.read_text()) for path in assembly.glob("*.template.json")}
    kinds = [body["Type"] for template in templates.values() for body in template["Resources"].values()]
    assert kinds.count("AWS::DynamoDB::GlobalTable") == 2
    assert kinds.count("AWS::SQS::Queue") == 2 * 5
    assert "company-orders-publisher" in json.dumps(templates)
    [code] = [path for path in (company.folder / "cdk.out").glob("asset.*") if path.is_dir()]
    assert (code / "warehouse" / "stock.py").read_text() == HANDLER
    shipped = [path.relative_to(code) for path in (code / "eventfabric").rglob("*.py")]
    assert Path("eventfabric/handlers/deliver.py") in shipped
    for path in shipped:
        assert (code / path).read_bytes() == (PACKAGE.parent / path).read_bytes()
    assert not (code / "eventfabric" / "cdk").exists()


def test_a_file_of_the_installation_that_was_changed_is_refused_by_name(company: Company) -> None:
    file = company.packages / "eventfabric" / "limits.py"
    before = file.read_bytes()
    file.write_bytes(before + b"# changed\n")
    try:
        ran = company.run("-c", CHECK)
    finally:
        file.write_bytes(before)
    assert f"LibraryError: {file}: found content that is not what was installed" in ran.stderr


def test_a_folder_of_its_name_beside_the_project_is_refused(company: Company, tmp_path: Path) -> None:
    copy = tmp_path / "eventfabric"
    subprocess.run(["cp", "-r", str(PACKAGE), str(copy)], check=True)
    ran = company.run("-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{CHECK}")
    assert f"LibraryError: {copy}: found a library that was not installed there" in ran.stderr
    assert str(ROOT) not in ran.stderr.splitlines()[-1]
