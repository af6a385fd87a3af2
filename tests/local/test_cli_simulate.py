"""`eventfabric simulate` as users run it: their definition, their handlers, their events."""

import json
import os
import shlex
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from shutil import copytree

import pytest

from tests.support.command_line import DEFINITION, Ran
from tests.support.commands import ROOT, start
from tests.support.messages import missing_from

DEFINITION_TEXT = """
[fabric]
name = "own"
regions = ["us-east-1"]
[streams.orders]
durability = "regional"
[subscriptions.mailer]
stream = "orders"
handler = "subscribers.mailer:send"
"""
HANDLER = """
import boto3
from eventfabric import Delivery, Event, subscriber

dynamodb = boto3.client("dynamodb")  # as it is imported, as many do

def make(outside):
    for region in outside.regions:
        outside.client("dynamodb", region).create_table(
            TableName="mails", BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )

@subscriber
def send(event: Event, delivery: Delivery) -> None:
    dynamodb.update_item(
        TableName="mails", Key={"id": {"S": event.key}}, UpdateExpression="ADD sent :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
"""
MENDED = HANDLER.replace('"ADD sent :one"', '"SET sent = :one"')
EVENT = {"specversion": "1.0", "source": "/test", "type": "placed", "partitionkey": "k1", "data": {"n": 1}}
SETUP = ("--setup", "subscribers.mailer:make")
EFFECT = "mailer: dynamodb mails: sent"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of somebody's own, with a handler that adds up under at_least_once."""
    return make_project(tmp_path / "own")


def make_project(folder: Path) -> Path:
    (folder / "infra/sample").mkdir(parents=True)
    (folder / "functions/subscribers").mkdir(parents=True)
    (folder / "infra/fabric.toml").write_text(DEFINITION_TEXT)
    (folder / "functions/subscribers/__init__.py").touch()
    (folder / "functions/subscribers/mailer.py").write_text(HANDLER)
    lines = [json.dumps({**EVENT, "id": f"s{number}"}) for number in range(8)]
    (folder / "infra/sample/events.jsonl").write_text("\n".join(lines))
    return folder


def simulate(*options: str, cwd: Path = ROOT, interpreted: bool = False) -> Ran:
    # Its own `subscribers`: not the sample's, which an editable install puts on the path.
    environment = {name: value for name, value in os.environ.items() if name != "AWS_DEFAULT_REGION"}
    running = start("simulate", *options, folder=cwd, environment=environment, interpreted=interpreted)
    out, err = running.communicate(timeout=300)
    return Ran(running.wait(), out, err)


@dataclass(frozen=True)
class Hunted:
    """A project, and what a hunt for schedules that break its handler reported and kept there."""

    project: Path
    ran: Ran


@pytest.fixture(scope="module")
def hunted_once(tmp_path_factory: pytest.TempPathFactory) -> Hunted:
    project = make_project(tmp_path_factory.mktemp("hunted") / "own")
    return Hunted(project, simulate(*SETUP, "--seeds", "0..9", "--jobs", "1", cwd=project))


@pytest.fixture
def hunted(hunted_once: Hunted, tmp_path: Path) -> Hunted:
    """A copy, which a test may change."""
    return replace(hunted_once, project=copytree(hunted_once.project, tmp_path / "own"))


def replay_of(result: Ran) -> list[str]:
    """The words of the command that it says replays what was found."""
    line = next(line for line in result.out.splitlines() if line.strip().startswith("plan:"))
    return shlex.split(line.partition(":")[2])


def test_the_samples_handlers_pass(tmp_path: Path) -> None:
    """Runs in an interpreter of its own, as its workers do; in all other tests they are forked."""
    arguments = ("--setup", "subscribers.tables:make", "--seeds", "0..7", "--json", "--out", str(tmp_path))
    result = simulate(*arguments, interpreted=True)
    assert result.code == 0, result.err
    report = result.json
    assert (report["seeds"], report["found"], report["failures"]) == (8, [], [])
    assert "billing: dynamodb shop-charges: charges" in report["effects"]
    assert sum(report["repeated"].values()) > 0
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_idempotent_is_reported_with_its_schedule_and_a_plan_that_shows_it_again(
    hunted: Hunted,
) -> None:
    project, result = hunted.project, hunted.ran
    assert result.code == 1, result.err
    assert EFFECT in result.out
    assert "NOT IDEMPOTENT" in result.out
    assert "sent of k1 is " in result.out
    assert ", time 2" in result.out
    command = replay_of(result)
    plan = project / command[-1]
    assert command[:-2] == ["eventfabric", "simulate", *SETUP]
    assert plan.is_file()
    assert plan.with_name("timeline.html").is_file()
    again = simulate(*command[2:], "--json", cwd=project)
    assert (again.code, again.json["found"]) == (1, [EFFECT])
    (failure,) = again.json["failures"]
    assert any(", time 2" in line for line in failure["schedule"])
    assert shlex.split(failure["again"])[:-1] == command[:-1]


def test_a_kept_plan_of_a_handler_that_was_mended_shows_nothing_any_more(hunted: Hunted) -> None:
    handlers = hunted.project / "functions/subscribers/mailer.py"
    handlers.write_text(MENDED)
    again = simulate(*replay_of(hunted.ran)[2:], cwd=hunted.project)
    assert (again.code, again.err) == (0, "")
    assert "nothing is wrong any more" in again.out


def test_a_plan_is_not_replayed_where_handlers_fail_without_faults(hunted: Hunted) -> None:
    plan = replay_of(hunted.ran)[-1]
    forgotten = simulate("--plan", plan, cwd=hunted.project)
    assert forgotten.code == 2
    assert "ResourceNotFoundException" in forgotten.err
    assert "without any fault" in forgotten.err


def test_a_handler_that_hangs_without_faults_is_reported_with_its_event(project: Path) -> None:
    handlers = project / "functions/subscribers/mailer.py"
    handlers.write_text(
        HANDLER.replace("    dynamodb.update_item(", "    while True: pass\n    dynamodb.update_item(")
    )
    result = simulate("--setup", "subscribers.mailer:make", "--seed-seconds", "6", cwd=project)
    assert result.code == 2
    last = result.err.splitlines()[-1]
    facts = "without faults", "within 6 s", "subscription mailer", "event e1", "type placed", "key 'k1'"
    assert missing_from(last, *facts) == []


def test_a_handler_that_hangs_under_a_fault_only_is_reported_and_its_plan_replayed_in_time(
    project: Path,
) -> None:
    handlers = project / "functions/subscribers/mailer.py"
    seen = """
    key = {"id": {"S": str(event.id)}}
    if "Item" in dynamodb.get_item(TableName="mails", Key=key):
        threading.Event().wait()
    dynamodb.put_item(TableName="mails", Item=key)
"""
    handlers.write_text(
        HANDLER.replace("import boto3", "import threading, boto3").replace(
            ") -> None:\n", f") -> None:{seen}"
        )
    )
    options = ("--setup", "subscribers.mailer:make", "--seed-seconds", "6")
    result = simulate(*options, "--seeds", "4..7", cwd=project)  # about half of all seeds repeat an attempt
    assert result.code == 1, result.err
    assert missing_from(result.out, "within 6 s", "subscription mailer", "event") == []
    again = simulate(*replay_of(result)[2:], "--seed-seconds", "6", "--json", cwd=project)
    assert (again.code, again.json["found"]) == (1, ["no end"])


def test_what_a_module_prints_as_it_is_imported_is_not_in_the_report(project: Path) -> None:
    (project / "functions/subscribers/mailer.py").write_text(f"print('hello')\n{HANDLER}")
    result = simulate(
        "--setup", "subscribers.mailer:make", "--seeds", "0..1", "--jobs", "1", "--json", cwd=project
    )
    assert result.json["seeds"] == 2
    assert "hello" in result.err


def test_a_module_that_exits_as_it_is_imported_is_a_wrong_question(project: Path) -> None:
    leaves = f"import sys\nsys.exit('no configuration')\n{HANDLER}"
    (project / "functions/subscribers/mailer.py").write_text(leaves)
    result = simulate("--seeds", "0..1", cwd=project)
    assert result.code == 2
    assert missing_from(result.err, "'subscribers.mailer:send'", "SystemExit: no configuration") == []


def test_the_command_that_replays_a_plan_is_the_one_that_found_it(project: Path) -> None:
    arguments = (
        "--definition",
        "infra/fabric.toml",
        "--events",
        "infra/sample/events.jsonl",
        "--setup",
        "subscribers.mailer:make",
        "--subscription",
        "mailer",
        "--out",
        "my build",
        "--failover",
        "--replay",
    )
    result = simulate(*arguments, "--seeds", "0..9", "--jobs", "1", "--no-shrink", cwd=project)
    command = replay_of(result)
    assert command[:-2] == ["eventfabric", "simulate", *arguments]
    assert simulate(*command[2:], cwd=project).code == 1


def test_a_subscription_of_which_nothing_was_judged_is_not_passed_over(project: Path) -> None:
    (project / "functions/subscribers/mailer.py").write_text(
        f"{HANDLER}\ndef nothing(event: Event, delivery: Delivery): pass\n"
    )
    more = '[subscriptions.idler]\nstream = "orders"\nhandler = "subscribers.mailer:nothing"\n'
    (project / "infra/fabric.toml").write_text(DEFINITION_TEXT + more)
    result = simulate(
        "--setup", "subscribers.mailer:make", "--seeds", "0..5", "--jobs", "1", "--no-shrink", cwd=project
    )
    assert "idler: no effect was judged" in result.out, result.err
    assert "mailer: no effect" not in result.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seeds", "5..3"), "'5..3' ends before it begins"),
        (("--seeds", "x"), "'x' is no range of seeds"),
        (("--seeds", "5.."), "has no end, allowed: with --minutes"),
        (("--events", "nowhere.jsonl"), "found no file nowhere.jsonl"),
        (("--events", "README.md"), "README.md:1"),
        (("--definition", "examples/embedded/fabric.toml"), "sample/events.jsonl, which is the default"),
        (("--setup", "nowhere:make"), "setup 'nowhere:make'"),
        (("--subscription", "nobody"), "nobody"),
        (("--definition", "nowhere.toml"), "nowhere.toml"),
        (("--plan", "README.md"), "is no plan"),
        (("--plan", "nowhere.json"), "nowhere.json"),
        (("--plan", "x", "--seeds", "1..2"), "no --seeds"),
        (("--jobs", "0"), "--jobs"),
        (("--out", "README.md"), "README.md"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_question_is_one_clear_line(options: tuple[str, ...], message: str) -> None:
    result = simulate("--definition", str(DEFINITION), *options)
    assert result.code == 2
    assert message in " ".join(result.err.split())
    assert "Traceback" not in result.err


def test_a_handler_whose_tables_are_missing_is_reported_before_anything_is_tried() -> None:
    result = simulate("--seeds", "0..3")
    assert result.code == 2
    assert "ResourceNotFoundException" in result.err
    assert "without any fault" in result.err


def test_ctrl_c_prints_what_is_known_by_then(project: Path) -> None:
    """Every run begins with the setup, and a seed takes a few runs: see calm_plans."""
    handlers = project / "functions/subscribers/mailer.py"
    handlers.write_text(
        MENDED.replace("def make(outside):\n", "def make(outside):\n    print('RUN', flush=True)\n")
    )
    arguments = ("--seeds", "0..", "--minutes", "10", "--jobs", "1", "--json")
    running = start("simulate", *SETUP, *arguments, folder=project)
    assert running.stderr is not None
    runs = (line for line in running.stderr if line == "RUN\n")
    assert len([*islice(runs, 40)]) == 40
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    report = json.loads(out)
    assert report["interrupted"]
    assert report["seeds"] > 0


def test_sigterm_to_the_command_alone_leaves_no_process_behind(project: Path) -> None:
    """Processes that it began have its standard error, which ends once nobody has it any more."""
    handlers = project / "functions/subscribers/mailer.py"
    output = "print('HANGS', flush=True)"
    handlers.write_text(
        HANDLER.replace(
            "    dynamodb.update_item(", f"    {output}\n    while True: pass\n    dynamodb.update_item("
        )
    )
    running = start("simulate", "--setup", "subscribers.mailer:make", folder=project)
    try:
        assert running.stderr is not None
        assert any("HANGS" in line for line in running.stderr)
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=30)
        assert running.returncode == 143
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
