"""`eventfabric diff`, `deploy` and `destroy` say what is deployed of subscriptions that the definition lacks."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socket import socket
from threading import Event as Flag
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from eventfabric.cdk import command_line
from eventfabric.cli import exit_codes
from eventfabric.cli import strays as strays_of_cli
from eventfabric.cli.strays import strays
from eventfabric.definition.file import parse_definition
from eventfabric.topology import Topology
from tests.support.command_line import CommandLine
from tests.support.socket_server import endpoint, request

DEFINITION = """
[fabric]
name = "shop"
regions = ["us-east-1", "eu-west-1"]
[streams.orders]
[subscriptions.bill]
stream = "orders"
handler = "subscribers.billing:charge"
"""


class Stacks:
    """CloudFormation, in as far as it lists stacks; those of each Region."""

    def __init__(self, stacks: dict[str, list[str]]) -> None:
        self._stacks = stacks

    def __call__(self, region: str) -> "Stacks":
        return Stacks({"": self._stacks.get(region, [])})

    def get_paginator(self, operation: str) -> "Stacks":
        assert operation == "describe_stacks"
        return self

    def paginate(self) -> Iterator[dict[str, Any]]:
        for name in self._stacks[""]:
            yield {"Stacks": [{"StackName": name}]}


@pytest.mark.parametrize(
    ("stage", "deployed", "named"),
    [
        (None, {"us-east-1": ["shop-Subscription-bill-us-east-1"]}, []),
        (None, {"us-east-1": ["shop-Subscription-billing-us-east-1"]}, [("billing", "us-east-1")]),
        (
            None,
            {"eu-west-1": ["shop-Subscription-old-eu-west-1", "shop-cell-eu-west-1"]},
            [("old", "eu-west-1")],
        ),
        (
            None,
            {"us-east-1": ["shop-Subscription-old-us-east-1-dev", "book-shop-Subscription-old-us-east-1"]},
            [],
        ),
        (None, {"us-east-1": ["shop-keys-us-east-1", "shop-watch-us-east-1"]}, []),
        ("dev", {"us-east-1": ["shop-Subscription-old-us-east-1-dev"]}, [("old", "us-east-1")]),
        ("dev", {"us-east-1": ["shop-Subscription-old-us-east-1"]}, []),
    ],
)
def test_a_deployed_subscription_that_the_definition_lacks_is_named(
    stage: str | None, deployed: dict[str, list[str]], named: list[tuple[str, str]]
) -> None:
    text = DEFINITION if stage is None else DEFINITION.replace("regions", f'stage = "{stage}"\nregions')
    sentences = list(strays(Topology(parse_definition(text)), Stacks(deployed)))
    assert len(sentences) == len(named)
    for sentence, (name, region) in zip(sentences, named, strict=True):
        assert sentence.startswith(f"subscription {name} is deployed in {region} ")


def test_a_subscription_is_named_where_its_stream_is_no_more() -> None:
    text = DEFINITION.replace(
        "[streams.orders]", '[streams.other]\n[streams.orders]\nregions = ["us-east-1"]'
    )
    deployed = {region: [f"shop-Subscription-bill-{region}"] for region in ("us-east-1", "eu-west-1")}
    [sentence] = strays(Topology(parse_definition(text)), Stacks(deployed))
    assert sentence.startswith("subscription bill is deployed in eu-west-1 ")


@pytest.mark.parametrize(
    ("alarms", "named"),
    [("few", ["bill", "old"]), ("all", ["old"])],
)
def test_alarms_that_nothing_declares_are_named(alarms: str, named: list[str]) -> None:
    text = DEFINITION.replace("regions", f'alarms = "{alarms}"\nregions')
    deployed = {"us-east-1": ["shop-Watch-bill-us-east-1", "shop-Watch-old-us-east-1"]}
    sentences = list(strays(Topology(parse_definition(text)), Stacks(deployed)))
    assert [sentence.split()[3] for sentence in sentences] == named
    assert all("delete-stack --region us-east-1 --stack-name shop-Watch-" in s for s in sentences)


@pytest.fixture
def passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The commands that the CDK was given, in a project's folder."""
    commands: list[list[str]] = []

    def replaced(program: str, arguments: list[str], environment: dict[str, str]) -> None:
        commands.append(arguments[2:])
        raise SystemExit(0)

    monkeypatch.setattr(command_line, "cdk_command", lambda: ["node", "cdk"])
    monkeypatch.setattr("os.execve", replaced)
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "fabric.toml").write_text(DEFINITION)
    return commands


@pytest.mark.parametrize("command", ["diff", "deploy", "destroy"])
def test_the_command_goes_on_if_aws_does_not_answer(
    cli: CommandLine,
    passed_on: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
) -> None:
    class Session:
        def __init__(self, *, profile_name: str | None) -> None:
            assert profile_name == "mine"

        def client(self, service: str, **options: Any) -> Any:
            raise EndpointConnectionError(endpoint_url="https://cloudformation")

    monkeypatch.setattr("boto3.Session", Session)
    monkeypatch.chdir(tmp_path)
    ran = cli.run(command, "--all", "--profile", "mine")
    assert (ran.code, "is not known" in ran.err) == (0, True)
    assert passed_on == [[command, "--all", "--profile", "mine"]]


@pytest.mark.parametrize("command", [["destroy", "--all"], ["deploy", "--adopt"]])
def test_a_profile_that_is_missing_is_named_before_anything_is_synthesised(
    cli: CommandLine,
    passed_on: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "nobody" in cli.refused(*command, "--profile", "nobody", code=exit_codes.BAD_INPUT)
    assert passed_on == []


@pytest.mark.parametrize("command", [["destroy", "--all"], ["deploy", "--adopt"]])
def test_an_option_without_its_value_is_named(
    cli: CommandLine, passed_on: list[list[str]], command: list[str]
) -> None:
    refused = cli.refused(*command, "--profile", code=exit_codes.BAD_INPUT)
    assert ("--profile" in refused, "main.py" in refused, passed_on) == (True, False, [])


def test_help_asks_nobody(
    cli: CommandLine, passed_on: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli.run("deploy", "--", "--help", "--profile", "nobody")
    assert (ran.err, passed_on) == ("", [["deploy", "--help", "--profile", "nobody"]])


@pytest.mark.parametrize("slow", [True, False])
def test_the_command_goes_on_though_the_address_is_none_or_answers_byte_by_byte(
    cli: CommandLine,
    passed_on: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    slow: bool,
) -> None:
    def drips(connection: socket) -> None:
        request(connection)
        with suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n<")
            while True:
                connection.sendall(b" ")
                Flag().wait(0.1)

    monkeypatch.setattr(strays_of_cli, "_SECONDS_MAX", 0.5)
    monkeypatch.chdir(tmp_path)
    with endpoint(drips) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url if slow else "nowhere")
        ran = cli.run("diff", "--all")
    assert (ran.code, "is not known" in ran.err) == (0, True)
    assert passed_on == [["diff", "--all"]]
