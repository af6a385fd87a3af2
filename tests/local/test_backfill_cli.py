"""`eventfabric backfill` against a fabric that runs as a server and replicates nothing."""

import signal
from pathlib import Path
from typing import Any

import boto3
import pytest

from eventfabric.wire.keys import is_declaration
from tests.support.command_line import CommandLine, local_up
from tests.support.commands import ROOT, start
from tests.support.messages import missing_from

US, EU = "us-east-1", "eu-west-1"
DECLARED = f"@{US}/orders"


def publish(cli: CommandLine, endpoint: str, tmp_path: Path, count: int) -> None:
    lines = (ROOT / "infra/sample/events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    events = tmp_path / "events.jsonl"
    events.write_text("".join(lines[:count]), encoding="utf-8")
    assert cli.run("publish", "orders", "--events", events, "--endpoint-url", endpoint).code == 0


def tables(endpoint: str, region: str) -> Any:
    session = boto3.Session("local", "local", region_name=region)
    return session.client("dynamodb", endpoint_url=endpoint)


def items(endpoint: str, region: str) -> list[dict[str, Any]]:
    pages = tables(endpoint, region).get_paginator("scan").paginate(TableName="shop-orders")
    stored = [item for page in pages for item in page["Items"]]
    return sorted(stored, key=lambda item: (item["pk"]["S"], int(item["sk"]["N"])))


def test_what_is_missing_is_reported_copied_and_shown(
    cli: CommandLine, endpoint: str, tmp_path: Path
) -> None:
    publish(cli, endpoint, tmp_path, 50)
    tables(endpoint, EU).delete_item(TableName="shop-orders", Key={"pk": {"S": DECLARED}, "sk": {"N": "0"}})
    endpoint_options = ("--endpoint-url", endpoint)
    arguments = ("backfill", "--stream", "orders", "--from", US, "--to", EU, *endpoint_options)
    before = items(endpoint, EU)
    dry = cli.run(*arguments, "--dry-run", "--json").json
    assert dry["missing"] == sum(lane["missing"] for lane in dry["lanes"]) > 0
    assert items(endpoint, EU) == before
    assert DECLARED in [lane["lane"] for lane in dry["lanes"]]
    result = cli.run(*arguments, "--workers", "2", "--json")
    assert (result.code, result.json["state"], result.json["copied_events"]) == (0, "done", dry["missing"])
    assert items(endpoint, EU) == items(endpoint, US)
    assert missing_from(cli.run(*arguments, "--dry-run").out, "0 events", "0 lanes") == []

    listed = cli.run("backfill", "show", "--region", EU, *endpoint_options, "--json").json
    assert [backfill["state"] for backfill in listed if backfill["backfill"] == result.json["backfill"]] == [
        "done"
    ]
    shown = cli.run("backfill", "show", result.json["backfill"], *endpoint_options, "--json").json
    assert shown["slices_done"] == shown["slices"] == len(shown["lanes"])
    assert "records with" in cli.run("backfill", "show", result.json["backfill"], *endpoint_options).out
    assert result.json["backfill"] in cli.run("backfill", "show", "--region", EU, *endpoint_options).out


def test_an_interrupted_backfill_says_how_to_go_on_and_goes_on(
    cli: CommandLine, endpoint: str, tmp_path: Path
) -> None:
    publish(cli, endpoint, tmp_path, 60)
    endpoint_options = ("--endpoint-url", endpoint)
    arguments = ["backfill", "--from", US, "--to", EU, "--workers", "2", "--rate", "5", *endpoint_options]
    process = start(*arguments)
    assert process.stdout is not None
    backfill = process.stdout.readline().split()[1].rstrip(":")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"`eventfabric backfill resume {backfill}`" in errors
    assert "Traceback" not in errors
    assert items(endpoint, EU) != items(endpoint, US)

    said = cli.run("backfill", "cancel", backfill, *endpoint_options)
    assert f"{backfill} is cancelled" in said.out
    result = cli.run("backfill", "resume", backfill, "--rate", "100000", *endpoint_options)
    assert (result.code, result.out.splitlines()[-1].startswith("done: ")) == (0, True)
    assert items(endpoint, EU) == items(endpoint, US)
    assert cli.run("backfill", "cancel", backfill, *endpoint_options, "--json").json["state"] == "done"


def test_tables_that_are_not_replicated_are_joined(
    cli: CommandLine, endpoint: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with local_up(tmp_path_factory.mktemp("other"), "--no-deliver") as elsewhere:
        publish(cli, endpoint, tmp_path, 30)
        declared = items(elsewhere, US)
        arguments = ("backfill", "--from", US, "--to", US, "--endpoint-url", elsewhere)
        joined = cli.run(*arguments, "--from-endpoint-url", endpoint, "--workers", "1", "--json")
        assert (joined.code, joined.json["elsewhere"]) == (0, f"endpoint {endpoint}")
        ours, theirs = items(elsewhere, US), items(endpoint, US)
        assert [item for item in ours if not is_declaration(item)] == [
            item for item in theirs if not is_declaration(item)
        ]
        # Each of these two fabrics has declared for itself what it is.
        assert [item["pk"]["S"] for item in ours] == [item["pk"]["S"] for item in theirs]
        assert [item for item in ours if is_declaration(item)] == declared
        refused = cli.run("backfill", "resume", joined.json["backfill"], "--endpoint-url", elsewhere)
        assert refused.code == 1
        assert f"allowed: endpoint {endpoint}" in refused.err


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (("--from", US, "--to", US), ["source", US, "target"]),
        (
            ("--from", "mars-1", "--to", EU),
            ["stream orders", "not in Region mars-1", "us-east-1, eu-west-1"],
        ),
        (("--from", US, "--to", "mars-1"), ["fabric shop", "not in Region mars-1"]),
        (("--from", US, "--to", EU, "--stream", "returns"), ["no stream", "'returns'"]),
        (("--from", US, "--to", EU, "--lanes", "us-east-1/0.64"), ["us-east-1/0.0 to us-east-1/0.63"]),
        (("--from", US, "--to", EU, "--lanes", "0.64"), ["lanes", "'0.64'", "LANE"]),
        (("--from", EU, "--to", US, "--lanes", "eu-west-1/0.3"), ["eu-west-1/0.3", "no record"]),
        (("--from", US, "--to", EU, "--rate", "0"), ["rate", "found 0", "more than 0"]),
        (("--from", US), ["--from", "--to"]),
        (("resume", "nobody"), ["no backfill", "'nobody'"]),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_facts(
    cli: CommandLine, endpoint: str, arguments: tuple[str, ...], facts: list[str]
) -> None:
    error = cli.refused("backfill", *arguments, "--endpoint-url", endpoint, code=2)
    assert missing_from(" ".join(error.replace("│", " ").split()), *facts) == []
