"""The command line against a fabric that runs as a server on loopback."""

import io
import json
import os
import socket
import sys
from pathlib import Path
from threading import Thread
from time import monotonic
from uuid import uuid4

import pytest

from eventfabric import limits
from eventfabric.version import VERSION
from tests.support.command_line import CommandLine, local_up
from tests.support.commands import ROOT
from tests.support.messages import TextWith, missing_from

SAMPLE = (ROOT / "infra/sample/events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
UNREACHABLE = "http://127.0.0.1:9"


def lagging(cli: CommandLine, endpoint: str, region: str) -> int:
    """Events of all lanes that analytics, which wants all, has not delivered."""
    result = cli.run(
        "lanes", "--subscription", "analytics", "--region", region, "--endpoint-url", endpoint, "--json"
    )
    return sum(lane["lag"] for lane in result.json["lanes"])


def test_an_event_is_published_listed_rung_for_and_shown(cli: CommandLine, endpoint: str) -> None:
    key, endpoint_options = str(uuid4()), ("--endpoint-url", endpoint)
    options = ("--data", '{"order": "[A-1]"}', "--header", "tenant=a=b", "--id", key)
    receipt = cli.run(
        "publish", "orders", "--key", key, "--type", "OrderPlaced", *options, *endpoint_options, "--json"
    ).json
    assert (receipt["event_id"], receipt["origin"]) == (key, "us-east-1")
    place = f"{receipt['lane']}@{receipt['sequence']}"

    lanes = cli.run("lanes", "--lagging", "--stream", "orders", *endpoint_options, "--json").json
    standing = next(
        s for s in lanes["lanes"] if (s["lane"], s["subscription"]) == (receipt["lane"], "analytics")
    )
    assert standing["tail"] - standing["cursor"] == standing["lag"] > 0
    assert cli.run("lanes", "--ring", *endpoint_options, "--json").json["rung"] == len(
        cli.run("lanes", "--lagging", *endpoint_options, "--json").json["lanes"]
    )
    table = cli.run("lanes", *endpoint_options)
    assert receipt["lane"] in table.out
    assert "events to deliver" in table.out

    shown = cli.run("show", place, *endpoint_options, "--json").json
    assert shown["event"]["data"] == {"order": "[A-1]"}
    assert (shown["event"]["partitionkey"], shown["event"]["tenant"]) == (key, "a=b")
    assert cli.run("show", key, *endpoint_options, "--json").json == shown
    assert "[A-1]" in cli.run("show", place, *endpoint_options).out
    record = cli.run("show", place, "--record", *endpoint_options, "--json").json
    assert record["chain_holds"] is True
    assert shown["event"] in record["events"]


def test_without_json_a_receipt_is_one_line(cli: CommandLine, endpoint: str) -> None:
    result = cli.run("publish", "orders", "--key", "k", "--type", "t", "--endpoint-url", endpoint)
    assert (result.code, result.out.count("\n")) == (0, 1)
    assert " at us-east-1/0." in result.out


def test_each_event_of_a_record_is_shown_as_itself(cli: CommandLine, endpoint: str, tmp_path: Path) -> None:
    key, ids = str(uuid4()), [str(uuid4()) for _ in range(3)]
    options = ("--endpoint-url", endpoint, "--json")
    first = cli.run("publish", "orders", "--key", key, "--type", "t", *options).json
    events = tmp_path / "events.jsonl"
    cloudevent = {"specversion": "1.0", "source": "/t", "type": "t", "partitionkey": key}
    events.write_text("".join(json.dumps(cloudevent | {"id": event_id}) + "\n" for event_id in ids))
    assert cli.run("publish", "orders", "--events", events, *options).json["published"] == 3
    lane, start = first["lane"], first["sequence"] + 1
    shown = [cli.run("show", f"{lane}@{start + offset}", *options).json for offset in range(3)]
    assert [(line["sequence"], line["event"]["id"]) for line in shown] == [
        (start + offset, event_id) for offset, event_id in enumerate(ids)
    ]
    record = cli.run("show", f"{lane}@{start + 2}", "--record", *options).json
    assert [event["id"] for event in record["events"]] == ids[-record["count"] :]
    assert record["chain_holds"] is True
    assert cli.refused("show", f"{lane}@{start + 3}", *options, code=1).count("\n") == 1


def test_data_may_come_from_a_file_in_any_language(cli: CommandLine, endpoint: str, tmp_path: Path) -> None:
    options, data = ("--endpoint-url", endpoint), tmp_path / "data.json"
    data.write_text('{"name": "Zoë"}', encoding="utf-8")
    event_id = f"é-{uuid4()}"
    result = cli.run(
        "publish", "orders", "--key", "k", "--type", "t", "--id", event_id, "--data-file", data, *options
    )
    assert result.out.startswith(f"{event_id} at ")
    assert cli.run("show", event_id, *options, "--json").json["event"]["data"] == {"name": "Zoë"}


@pytest.mark.parametrize("as_json", [True, False])
def test_an_output_that_lacks_a_character_gets_it_escaped(
    cli: CommandLine, endpoint: str, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", ascii_only)
    publish = ("publish", "orders", "--key", "k", "--type", "t", "--id", f"é-{uuid4()}")
    result = cli.run(*publish, "--endpoint-url", endpoint, *["--json"] * as_json)
    output = ascii_only.buffer.getvalue().decode("ascii")
    assert (result.code, result.err) == (0, "")
    assert (json.loads(output)["event_id"][0] == "é") if as_json else output.startswith("\\xe9-")


def test_good_lines_of_a_file_are_published_and_bad_ones_named(
    cli: CommandLine, endpoint: str, tmp_path: Path
) -> None:
    file = tmp_path / "some events.jsonl"
    file.write_text(SAMPLE[0] + "{\n" + SAMPLE[1] + '{"specversion": "1.0"}\n\n' + SAMPLE[2])
    publish = ("publish", "orders", "--events", file, "--region", "eu-west-1", "--endpoint-url", endpoint)
    before = lagging(cli, endpoint, "eu-west-1")
    strict = cli.run(*publish, "--strict")
    assert strict.code == 1
    assert "2 of 5 lines are malformed" in strict.err
    assert lagging(cli, endpoint, "eu-west-1") == before
    result = cli.run(*publish, "--json")
    assert result.code == 1
    assert result.json == {"published": 3, "malformed": 2, "failed": []}
    assert [line.split(": ")[1] for line in result.err.splitlines()] == [f"{file}:2", f"{file}:4"]
    assert lagging(cli, endpoint, "eu-west-1") == before + 3


def test_a_good_file_is_published_whole_from_standard_input_too(
    cli: CommandLine, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = io.TextIOWrapper(io.BytesIO("".join(SAMPLE[:20]).encode()))
    monkeypatch.setattr(sys, "stdin", given)
    result = cli.run("publish", "orders", "--events", "-", "--strict", "--endpoint-url", endpoint)
    assert (result.code, result.out, result.err) == (0, "20 published, 0 malformed, 0 failed\n", "")


def test_a_pipe_that_has_a_name_is_published_as_a_file_is(
    cli: CommandLine, endpoint: str, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_text, args=("".join(SAMPLE[:5]),))
    writer.start()
    result = cli.run("publish", "orders", "--events", pipe, "--endpoint-url", endpoint)
    writer.join()
    assert (result.code, result.out) == (0, "5 published, 0 malformed, 0 failed\n")


def test_a_closed_standard_input_is_an_error(
    cli: CommandLine, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    publish = ("publish", "orders", "--events", "-", "--endpoint-url", endpoint)
    assert "standard input is closed" in cli.refused(*publish, code=2)


@pytest.mark.parametrize(
    ("arguments", "code", "facts"),
    [
        (
            ["publish", "ordrs", "--key", "k", "--type", "t"],
            2,
            ["no stream", "'ordrs'", "orders"],
        ),
        (["publish", "orders", "--key", "", "--type", "t"], 2, ["key", "0 bytes"]),
        (["publish", "orders", "--key", "k" * 1025, "--type", "t"], 2, ["key", "1025 bytes"]),
        (["publish", "orders", "--key", "k", "--type", "t", "--data", "{"], 2, ["--data"]),
        (["publish", "orders", "--key", "k", "--type", "t", "--data", ""], 2, ["--data"]),
        (["publish", "orders", "--key", "k", "--type", "t", "--data", '"\udcff"'], 2, ["--data"]),
        (["publish", "orders", "--key", "k", "--type", "t", "--data", "[" * 100_000], 2, ["--data"]),
        (["publish", "orders", "--key", "\udcff", "--type", "t"], 2, ["a lone surrogate"]),
        (
            ["publish", "orders", "--key", "k", "--type", "t", "--data", "1", "--data-file", "x"],
            2,
            ["not both"],
        ),
        (["publish", "orders", "--key", "k", "--type", "t", "--data-file", "none.json"], 2, ["none.json"]),
        (["publish", "orders", "--key", "k", "--type", "t", "--header", "x"], 2, ["name=value"]),
        (["publish", "orders", "--key", "k", "--type", "t", "--header", "X=1"], 2, ["headers.X"]),
        (["publish", "orders", "--key", "k"], 2, ["--key and --type"]),
        (
            ["publish", "orders", "--key", "k", "--type", "t", "--strict"],
            2,
            ["--strict", "--key-from", "--events"],
        ),
        (["publish", "orders", "--key", "k", "--events", "x"], 2, ["--events"]),
        (["publish", "orders", "--events", "none.jsonl"], 2, ["none.jsonl"]),
        (["publish", "orders", "--key", "k", "--type", "t", "--region", "mars"], 2, ["not in Region mars"]),
        (["lanes", "--profile", "nobody"], 2, ["profile", "nobody"]),
        (["lanes", "--definition", "none.toml"], 2, ["none.toml", "no readable file"]),
        (["lanes", "--definition", "LICENSE"], 2, ["LICENSE:1"]),
        (["lanes", "--subscription", "bill"], 2, ["no subscription", "'bill'"]),
        (["lanes", "--stream", "x"], 2, ["no stream", "'x'"]),
        (["show", "us-east-1/0.1@99999"], 1, ["no event", "us-east-1/0.1@99999"]),
        (["show", "us-east-1/0.999@0"], 2, ["us-east-1/0.0 to us-east-1/0.63"]),
        (["show", "us-east-1/7.0@0"], 2, ["lane", "stream orders"]),
        (["show", "mars/0.1@0"], 2, ["stream orders", "not in Region mars", "us-east-1"]),
        (["show", "us-east-1/0.1@-1"], 2, ["no sequence", "0 or more"]),
        (["show", f"us-east-1/0.1@{'9' * 50}"], 2, ["no sequence", "0 or more"]),
        (["show", f"us-east-1/0.1@{'9' * 5_000}"], 2, ["or an id"]),
        (["show", "us-east-1@x"], 2, ["<origin>/<generation>.<index>@<sequence>", "an id"]),
        (["show", "nobody"], 1, ["no event nobody"]),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else None,
)
def test_bad_input_is_one_complaint_and_a_code(
    cli: CommandLine, endpoint: str, arguments: list[str], code: int, facts: list[str]
) -> None:
    complaint = cli.refused(*arguments, "--endpoint-url", endpoint, code=code).replace("\n", " ")
    assert missing_from(complaint, *facts) == []


def test_a_port_that_is_taken_is_named(cli: CommandLine, endpoint: str) -> None:
    port = endpoint.rpartition(":")[2]
    complaint = cli.refused("local", "up", "--port", port, code=1)
    assert missing_from(complaint, f"port {port}", "127.0.0.1", "in use") == []
    with socket.socket() as bound:  # taken, though nobody answers there yet
        bound.bind(("127.0.0.1", 0))
        port = str(bound.getsockname()[1])
        complaint = cli.refused("local", "up", "--port", port, code=1)
        assert missing_from(complaint, f"port {port}", "127.0.0.1", "in use") == []


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--port", "0", "--definition", "none.toml"], 2, "none.toml: found no readable file"),
        (["--port", "0", "--definition", "LICENSE"], 2, "LICENSE:1"),
        (["--setup", "nowhere:at_all"], 2, "No module named 'nowhere'"),
        (
            ["--setup", "garbage"],
            2,
            "--setup 'garbage': No module named 'garbage', allowed: package.module:function",
        ),
        (["--setup", "json"], 2, "--setup 'json': "),
        (["--setup", ":dumps"], 2, "--setup ':dumps': ValueError: Empty module name"),
        (["--setup", "json:__name__"], 2, "--setup 'json:__name__': found str"),
        (["--port", "65536"], 2, "65535"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_fabric_that_cannot_start_says_why(
    cli: CommandLine, options: list[str], code: int, message: str
) -> None:
    assert message in cli.refused("local", "up", *options, code=code)


@pytest.fixture
def no_credentials(cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))


@pytest.mark.usefixtures("no_credentials")
def test_a_fabric_on_this_machine_needs_no_credentials(cli: CommandLine, endpoint: str) -> None:
    assert cli.run("lanes", "--endpoint-url", endpoint).code == 0


@pytest.mark.usefixtures("no_credentials")
def test_without_credentials_nothing_is_waited_for(cli: CommandLine, tmp_path: Path) -> None:
    start, events = monotonic(), tmp_path / "events.jsonl"
    events.write_text("".join(SAMPLE[:2]))
    options = ("--endpoint-url", "http://fabric.invalid")  # nobody's: without credentials nothing is sent
    output = cli.refused("publish", "orders", "--key", "k", "--type", "t", *options, code=3)
    assert output == TextWith("eventfabric", "read the tail", "Unable to locate credentials")
    file = cli.refused("publish", "orders", "--events", events, "--json", *options, code=3)
    assert file == TextWith("eventfabric", "read the tail", "Unable to locate credentials")
    assert monotonic() - start < limits.APPEND_TIMEOUT_SECONDS / 2


def test_an_endpoint_that_nobody_answers_at_is_named(cli: CommandLine) -> None:
    output = cli.refused("lanes", "--endpoint-url", UNREACHABLE, code=3)
    assert UNREACHABLE in output


@pytest.mark.parametrize("url", ["localhost", "http://", "ftp://localhost", "http://[::1", "http://a:b"])
def test_what_is_no_endpoint_is_refused(cli: CommandLine, url: str) -> None:
    assert "allowed: http://host:port" in cli.refused("lanes", "--endpoint-url", url, code=2)


def test_a_definition_is_checked_and_each_problem_listed(cli: CommandLine, tmp_path: Path) -> None:
    good = cli.run("definition", "check", ROOT / "infra/fabric.toml")
    assert (good.code, good.err) == (0, "")
    assert missing_from(good.out, "1 streams", "3 subscriptions", "nothing wrong") == []
    tight = tmp_path / "tight.toml"
    tight.write_text(
        '[fabric]\nname = "s"\nregions = ["us-east-1"]\naccount_concurrency = 10\n[streams.orders]\n'
    )
    warned = cli.run("definition", "check", tight)
    assert (warned.code, missing_from(warned.out, "with warnings", "nothing is reserved")) == (0, [])
    bad = tmp_path / "bad.toml"
    bad.write_text(
        '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\nlanes = 63\nlane = 1\n'
    )
    output = cli.refused("definition", "check", bad, code=2)
    assert "streams.orders.lanes: found 63" in output
    assert "streams.orders.lane" in output
    listed = cli.run("definition", "check", bad, "--json")
    assert listed.code == 2
    assert {problem["path"] for problem in listed.json["problems"]} == {
        "streams.orders.lanes",
        "streams.orders.lane",
    }
    assert "no readable file" in cli.refused("definition", "check", tmp_path / "none.toml", code=2)
    assert cli.run("definition", "check", "--json").json == {
        "problems": [],
        "shortages": [],
        "circles": [],
        "published_by_each_region": [],
        "quotas": [],
        "types_without_schemas": [],
    }


def test_handlers_are_looked_up_by_default(cli: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "fabric.toml"
    file.write_text(
        '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\n'
        '[subscriptions.a]\nstream = "orders"\nhandler = "nowhere:at_all"\n'
    )
    assert "no module nowhere" in cli.refused("definition", "check", file, code=2)
    assert cli.run("definition", "check", file, "--no-handlers").code == 0


def test_the_schema_is_the_one_in_the_repository(cli: CommandLine) -> None:
    committed = json.loads((ROOT / "infra/fabric.schema.json").read_text(encoding="utf-8"))
    assert cli.run("definition", "schema").json == committed


def test_where_there_is_no_definition_it_says_where_it_looked(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "infra/fabric.toml or fabric.toml exists here" in cli.refused("lanes", code=2)


@pytest.mark.parametrize(
    "command", ["publish", "lanes", "show", "definition check", "definition schema", "local up", "cost"]
)
def test_each_command_has_help_with_an_example(cli: CommandLine, command: str) -> None:
    result = cli.run(*command.split(), "--help")
    assert result.code == 0
    assert f"Example: eventfabric {command}" in result.out


def test_without_a_command_it_shows_its_commands(cli: CommandLine) -> None:
    result = cli.run()
    assert result.code == 2
    assert "publish" in result.out + result.err
    assert cli.run("--version").out == f"{VERSION}\n"


def test_a_running_fabric_delivers_what_is_published(cli: CommandLine, tmp_path: Path) -> None:
    """Starts the server in an interpreter of its own; in all other tests it is forked."""
    events = tmp_path / "events.jsonl"
    events.write_text("".join(SAMPLE[:5]))
    with local_up(tmp_path, "--setup", "subscribers.tables:make", interpreted=True) as url:
        options = ("--endpoint-url", url)
        assert cli.run("publish", "orders", "--events", events, *options).code == 0
        for _ in range(100):
            lanes = cli.run("lanes", *options, "--json").json["lanes"]
            if lanes and not any(lane["lag"] for lane in lanes):
                break
        else:
            raise AssertionError(f"lanes still lag: {lanes}")
