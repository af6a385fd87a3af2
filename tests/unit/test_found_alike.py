"""The SDK, the command line and the fixtures find credentials and the definition in the same places."""

import subprocess
import sys
from pathlib import Path

import pytest
from boto3 import Session
from botocore.exceptions import NoCredentialsError
from typer.testing import CliRunner

from eventfabric import Fabric
from eventfabric.aws.clients import Clients, session_for
from eventfabric.cli.main import app
from eventfabric.errors import DefinitionError
from eventfabric.local import LocalFabric
from eventfabric.settings import definition_at, definition_path


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_server_on_this_machine_needs_no_credentials(host: str) -> None:
    session = session_for(f"http://{host}:4599")
    assert session.get_credentials() is not None


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize("url", [None, "http://fabric.invalid", "https://dynamodb.us-east-1.amazonaws.com"])
def test_anything_else_does(url: str | None) -> None:
    assert session_for(url).get_credentials() is None


@pytest.mark.usefixtures("no_credentials")
def test_credentials_that_somebody_has_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "theirs")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    credentials = session_for("http://127.0.0.1:4599").get_credentials()
    assert credentials is not None
    assert credentials.access_key == "theirs"


@pytest.mark.usefixtures("no_credentials")
def test_a_session_that_is_given_stays_as_it_is() -> None:
    """Without credentials, too: its first call ends before anything is sent."""
    with pytest.raises(NoCredentialsError):
        Clients("us-east-1", session=Session(), endpoint_url="http://127.0.0.1:9").dynamodb.list_tables()


def test_the_definition_is_found_in_a_folder_as_in_the_current_one(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"infra/fabric\.toml or fabric\.toml exists in"):
        definition_path({}, folder=tmp_path)
    (tmp_path / "fabric.toml").touch()
    assert definition_path({}, folder=tmp_path) == tmp_path / "fabric.toml"
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra/fabric.toml").touch()
    assert definition_path({}, folder=tmp_path) == tmp_path / "infra/fabric.toml"
    named = {"EVENTFABRIC_DEFINITION": "other.toml"}
    assert definition_path(named, folder=tmp_path) == tmp_path / "other.toml"


def test_the_definition_is_looked_for_up_to_the_projects_folder_and_no_further(tmp_path: Path) -> None:
    inner = tmp_path / "repository" / "shop" / "tests"
    inner.mkdir(parents=True)
    (tmp_path / "fabric.toml").touch()
    with pytest.raises(DefinitionError):
        definition_path({}, folder=inner)  # of no project: only where one is
    (tmp_path / "repository" / ".git").mkdir()
    with pytest.raises(DefinitionError, match=f"up to {tmp_path / 'repository'}"):
        definition_path({}, folder=inner)
    (tmp_path / "repository" / "fabric.toml").touch()
    assert definition_path({}, folder=inner) == tmp_path / "repository" / "fabric.toml"
    (tmp_path / "repository" / "shop" / "pyproject.toml").touch()
    with pytest.raises(DefinitionError, match=f"up to {tmp_path / 'repository' / 'shop'}$"):
        definition_path({}, folder=inner)


@pytest.mark.parametrize("folder", [".", "tests/unit"])
def test_a_project_says_where_its_definition_is_once_for_everything(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVENTFABRIC_DEFINITION", raising=False)
    for name in ("deploy", "tests/unit", "infra"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "infra" / "fabric.toml").write_text("not this one")
    (tmp_path / "deploy" / "shop.toml").write_text(
        '[fabric]\nname = "found"\nregions = ["eu-west-1"]\n[streams.orders]\n'
    )
    (tmp_path / "pyproject.toml").write_text('[tool.eventfabric]\ndefinition = "deploy/shop.toml"\n')
    monkeypatch.chdir(tmp_path / folder)
    wanted = tmp_path / "deploy" / "shop.toml"
    assert definition_path().resolve() == wanted
    assert Fabric.connect(region="eu-west-1", endpoint_url="http://127.0.0.1:9").name == "found"
    ended = CliRunner().invoke(app, ["definition", "check"])
    assert (ended.exit_code, "fabric found" in ended.output) == (0, True), ended.output
    (tmp_path / folder / "test_fixture.py").write_text(
        "def test_fabric(local_fabric): assert local_fabric.topology.fabric == 'found'\n"
    )
    # The project's own run loads the plugin by itself, whatever the run around it was told.
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", raising=False)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_fixture.py"]
    ran = subprocess.run(command, cwd=tmp_path / folder, capture_output=True, text=True, check=False)
    assert "1 passed" in ran.stdout, ran.stdout


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ("[tool", "a syntax error"),
        (
            '[tool.eventfabric]\ndefinitoin = "a.toml"\n',
            "tool.eventfabric.definitoin: found an unknown key, allowed: definition",
        ),
        ("[tool.eventfabric]\ndefinition = 1\n", "tool.eventfabric.definition: found 1"),
    ],
)
def test_a_project_file_that_says_something_else_is_refused(content: str, facts: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(content)
    with pytest.raises(DefinitionError, match=facts):
        definition_path({}, folder=tmp_path)


def test_a_stage_of_the_environment_takes_the_place_of_the_files_own_for_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "fabric.toml"
    file.write_text('[fabric]\nname = "shop"\nstage = "prod"\nregions = ["us-east-1"]\n[streams.orders]\n')
    assert definition_at(file, environment={}).fabric.stage == "prod"
    assert definition_at(file, environment={"EVENTFABRIC_STAGE": ""}).fabric.stage == "prod"
    assert definition_at(file, stage="x1", environment={"EVENTFABRIC_STAGE": "dev"}).fabric.stage == "x1"
    monkeypatch.setenv("EVENTFABRIC_STAGE", "dev")
    fabric = Fabric.from_definition(file, region="us-east-1", endpoint_url="http://127.0.0.1:9")
    assert fabric.name == "shop_dev"
    assert "fabric shop_dev" in CliRunner().invoke(app, ["definition", "check", str(file)]).output
    with LocalFabric(file) as local:
        assert local.name == "shop_dev"
    monkeypatch.setenv("EVENTFABRIC_STAGE", "De-v")
    with pytest.raises(DefinitionError, match=r"fabric\.stage: found \"De-v\""):
        definition_at(file)
