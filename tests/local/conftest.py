"""Fixtures of tests that run commands: the command line, and fabrics that run as servers."""

from collections.abc import Iterator

import pytest

from tests.local.commanded_fabric import CommandedFabric, Server, opened, served
from tests.support.command_line import CommandLine, local_up


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(capsys, monkeypatch)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A fabric of the sample whose functions do not run, so that what is published stays to be delivered."""
    with local_up(tmp_path_factory.mktemp("server"), "--no-deliver") as url:
        yield url


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shop's fabric, as a process that all tests of a module use."""
    with served(tmp_path_factory.mktemp("server")) as server_of_session:
        yield server_of_session


@pytest.fixture
def shop(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[CommandedFabric]:
    """The shop as one test finds it."""
    with opened(server, capsys, monkeypatch) as fabric:
        yield fabric
