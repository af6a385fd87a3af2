"""The SDK, the command line and the fixtures find credentials and the definition in the same places."""

from pathlib import Path

import pytest
from boto3 import Session
from botocore.exceptions import NoCredentialsError

from eventfabric.aws.clients import Clients, session_for
from eventfabric.errors import DefinitionError
from eventfabric.settings import definition_path


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
    with pytest.raises(DefinitionError, match=r"infra/fabric\.toml or fabric\.toml"):
        definition_path({}, folder=tmp_path)
    (tmp_path / "fabric.toml").touch()
    assert definition_path({}, folder=tmp_path) == tmp_path / "fabric.toml"
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra/fabric.toml").touch()
    assert definition_path({}, folder=tmp_path) == tmp_path / "infra/fabric.toml"
    named = {"EVENTFABRIC_DEFINITION": "other.toml"}
    assert definition_path(named, folder=tmp_path) == tmp_path / "other.toml"
