"""A project made by `eventfabric new` is green at once, where the wheel is installed and nothing of this checkout."""

import json
import shutil
from pathlib import Path

import pytest

from tests.packaging.cdk_double import install_cdk
from tests.packaging.environment import Environment


@pytest.fixture(scope="module")
def project(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project, of a user who has fetched wheels and the CDK's command line before."""
    folder = Path(tmp_path_factory.mktemp("projects"))
    made = environment.run("eventfabric", "new", "shop", folder=folder)
    assert made.returncode == 0, made.stderr
    install_cdk(environment)
    return folder / "shop"


def test_its_own_tests_pass(environment: Environment, project: Path) -> None:
    ran = environment.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=project)
    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout


def test_it_is_synthesised_by_the_python_that_runs_the_command(
    environment: Environment, project: Path
) -> None:
    ran = environment.run("eventfabric", "synth", folder=project)
    assert ran.returncode == 0, ran.stderr
    names = {path.name.partition(".")[0] for path in (project / "cdk.out").glob("*.template.json")}
    kinds = ["keys", "log", "cell", "watch", "tables"]
    kinds += [f"Subscription-{name}" for name in ("billing", "loyalty")]
    assert names == {f"shop-{kind}-us-east-1" for kind in kinds}
    [code] = [path for path in (project / "cdk.out").glob("asset.*") if path.is_dir()]
    assert (code / "subscribers" / "billing.py").is_file()
    assert (code / "eventfabric" / "handlers" / "deliver.py").is_file()
    shutil.rmtree(project / "cdk.out")


def test_the_process_of_the_cdk_takes_the_place_of_the_command(
    environment: Environment, project: Path
) -> None:
    ran = environment.run("eventfabric", "deploy", "--all", "-c", "a=b", folder=project)
    assert (ran.returncode, json.loads(ran.stdout)) == (7, ["deploy", "--all", "-c", "a=b"]), ran.stderr
