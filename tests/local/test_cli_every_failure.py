"""Every command over every kind of failure: one complaint, an exit code that says which kind, and never a traceback."""

import io
import os
import sys
from binascii import crc32
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import typer.main
from botocore.config import Config

from eventfabric import Fabric, limits
from eventfabric.aws import clients
from eventfabric.cli import exit_codes
from eventfabric.cli.main import app
from tests.support.command_line import CommandLine
from tests.support.commands import start

DEAD = "http://127.0.0.1:9"
LANE, PLACE = "us-east-1/0.17", "us-east-1/0.17@42"
MOVE = ("--from", "us-east-1", "--to", "eu-west-1")
ASKING: dict[str, tuple[str, ...]] = {
    "publish": ("orders", "--key", "k", "--type", "t"),
    "lanes": (),
    "lanes quarantine": ("orders", PLACE, "--reason", "no record"),
    "lanes restore": ("orders", LANE, "--sequence", "42", "--from-table", "restored", "--reason", "lost"),
    "lanes skip": ("orders", LANE, "--sequence", "42", "--reason", "lost"),
    "lanes split": ("orders", LANE, "--yes"),
    "lanes mended": ("orders",),
    "show": (PLACE, "--stream", "orders"),
    "reconcile": (),
    "prove": (),
    "declared": (),
    "declared --history": (),
    "schemas list": (),
    "schemas show": ("OrderPlaced",),
    "schemas diff": ("OrderPlaced",),
    "schemas pull": (),
    "schemas push": ("orders",),
    "formats list": (),
    "formats raise": ("orders", "--reads", "2", "--yes"),
    "failover": (*MOVE, "--yes"),
    "failback": ("us-east-1", "--yes"),
    "backfill": ("--stream", "orders", *MOVE),
    "backfill resume": ("20261114t093000-ab12",),
    "backfill cancel": ("20261114t093000-ab12",),
    "backfill show": (),
    "subscriptions replay": ("billing", "--from", "0"),
    "subscriptions list": (),
    "subscriptions pause": ("billing",),
    "subscriptions resume": ("billing",),
    "subscriptions retire": ("billing", "--discard", "--yes"),
    "dead-letters list": ("billing",),
    "dead-letters show": ("billing", PLACE),
    "dead-letters redrive": ("billing",),
    "dead-letters discard": ("billing", PLACE),
    "dead-letters discard --all-waiting": ("billing", "--key", "k"),
    "dead-letters export": ("billing",),
    "parked list": ("billing",),
    "credits show": ("orders",),
    "credits open": ("billing", "--for", "10m", "--yes"),
    "steps show": ("billing", "e", "charge"),
    "steps settle": ("billing", "e", "charge", "--done"),
    "queues redrive": (),
    "scale explain": ("billing", "--for", "0"),
    "catalogue": ("--observed",),
    "types list": (),
    "types show": ("OrderPlaced",),
}
"""Commands that ask a service, and arguments with which they do."""
ALONE: dict[str, tuple[str, ...]] = {
    "cost": (),
    "definition check": (),
    "definition schema": (),
    "schemas lint": (),
}
"""Commands that ask nobody."""
TRIED_ELSEWHERE = {
    "simulate": "tests/local/test_cli_simulate.py",
    "local up": "tests/local/test_cli.py",
    **dict.fromkeys(("new", "check"), "tests/local/test_cli_new.py"),
    "schemas check": "tests/local/test_cli_schemas.py",
    **dict.fromkeys(("schemas from", "schemas types"), "tests/local/test_cli_schemas_typed.py"),
    "schemas try": "tests/local/test_schemas_try.py",
    **dict.fromkeys(
        ("synth", "deploy", "diff", "destroy", "bootstrap"), "tests/packaging/test_new_project.py"
    ),
}
READS_A_FILE: dict[str, tuple[str, ...]] = {
    "publish --data-file": ("publish", "orders", "--key", "k", "--type", "t", "--data-file"),
    "publish --events": ("publish", "orders", "--events"),
    "publish --events --strict": ("publish", "orders", "--strict", "--events"),
    "cost --sample": ("cost", "--sample"),
    "definition check": ("definition", "check"),
    "check": ("check",),
    "--definition": ("lanes", "--definition"),
    "cost --definition": ("cost", "--definition"),
    "catalogue --definition": ("catalogue", "--definition"),
    "simulate --definition": ("simulate", "--definition"),
    "simulate --events": ("simulate", "--seeds", "0..0", "--events"),
    "simulate --plan": ("simulate", "--plan"),
    "local up": ("local", "up", "--port", "0", "--definition"),
}
HOSTILE: dict[str, bytes] = {
    "deep JSON": b"[" * 100_000,
    "deep TOML": b"a = " + b"[" * 100_000,
    "deep tables": b"[" + b".".join([b"a"] * 3_000) + b"]\n",
    "a long number": b"a = " + b"9" * 5_000,
    "a large number": b"[fabric]\nname = 0x" + b"f" * 6_000,
    "an infinite number": b"[fabric]\nname = 1e999\nregions = [nan]\n",
    "no date": b"[fabric]\nname = 9999-99-99T99:99:99Z\n",
    "a date": b"[fabric]\nname = 0001-01-01T00:00:00+23:59\n",
    "no UTF-8": b"\xff\xfe\x00",
    "NUL": b"\x00" * 100,
    "nothing": b"",
    "no event": b'{"specversion": "1.0"}',
    "a list": b"[1e400, -1e-400]",
    "a lone surrogate": b'{"id": "\\ud800"}',
}


def commands() -> set[str]:
    """Every command that can be run, by its words."""

    def walk(command: object, words: tuple[str, ...]) -> Iterator[str]:
        inner = getattr(command, "commands", {})
        if words and (not inner or getattr(command, "invoke_without_command", False)):
            yield " ".join(words)
        for name, subcommand in inner.items():
            yield from walk(subcommand, (*words, name))

    return set(walk(typer.main.get_command(app), ()))


class _Denying(BaseHTTPRequestHandler):
    """A service that denies everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"__type": "com.amazonaws#AccessDeniedException", "message": "not authorized to do that"}'
        self.send_response(400)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", "R1")
        self.send_header("x-amz-crc32", str(crc32(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def denied() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Denying) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask each service once, so that no test waits."""
    once = clients.CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
    monkeypatch.setattr(clients, "CONFIG", once)
    monkeypatch.setattr(limits, "APPEND_TIMEOUT_SECONDS", 0.1)
    # A default is read as the module is imported, which an earlier test may have done.
    defaults = Fabric.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "append_timeout_seconds", 0.1)


def test_every_command_is_in_a_table_here() -> None:
    assert commands() == {words_of(command) for command in (*ASKING, *ALONE, *TRIED_ELSEWHERE)}


def words_of(command: str) -> str:
    """A command without its options."""
    return " ".join(word for word in command.split() if not word.startswith("-"))


def ended_without_an_answer(cli: CommandLine, command: str, url: str) -> str:
    """The complaint of a command that could learn nothing."""
    result = cli.run(*command.split(), *ASKING[command], "--endpoint-url", url)
    assert (result.code, result.out) == (exit_codes.NO_ANSWER, ""), result
    return result.err


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("command", ASKING)
def test_an_endpoint_that_nobody_answers_at_has_a_code_of_its_own(cli: CommandLine, command: str) -> None:
    output = ended_without_an_answer(cli, command, DEAD)
    assert output.startswith("eventfabric: ")
    assert DEAD in output
    assert "faster" not in output


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("command", ASKING)
def test_so_has_one_that_denies(cli: CommandLine, command: str, denied: str) -> None:
    assert "not authorized to do that" in ended_without_an_answer(cli, command, denied)


@pytest.mark.parametrize("command", [*ASKING, *ALONE])
def test_names_that_are_none_are_a_wrong_question(cli: CommandLine, command: str) -> None:
    arguments = ASKING.get(command, ())
    for wrong in (("--no-such-option",), ("--definition", "none.toml")):
        if command.startswith("definition ") and wrong[0] == "--definition":
            continue
        result = cli.run(*command.split(), *arguments, *wrong)
        assert (result.code, result.out) == (exit_codes.BAD_INPUT, ""), result
        assert result.err
    if command in ASKING:
        for wrong in (("--region", "mars-1"), ("--profile", "nobody"), ("--region", "\udcff")):
            if wrong[0] in help_of(command):
                result = cli.run(*command.split(), *arguments, *wrong, "--endpoint-url", DEAD)
                assert (result.code, result.out) == (exit_codes.BAD_INPUT, ""), result


def help_of(command: str) -> str:
    command_object: object = typer.main.get_command(app)
    for word in words_of(command).split():
        command_object = getattr(command_object, "commands")[word]  # noqa: B009 - typer's own class of groups is not public
    return " ".join(
        option for parameter in getattr(command_object, "params", ()) for option in parameter.opts
    )


class _Gone(io.RawIOBase):
    """An output that whoever read it has closed."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")


PRINTS = [
    command
    for command in [*ASKING, *ALONE]
    if not command.startswith(
        ("backfill resume", "backfill cancel", "dead-letters show", "schemas show", "show", "steps settle")
    )
    and command
    not in (
        *("dead-letters export", "dead-letters discard", "failback", "formats raise", "subscriptions retire"),
        *("lanes quarantine", "lanes restore", "lanes skip", "lanes split", "schemas diff", "credits open"),
    )
]
"""Commands that print something even of a fabric without events."""


@pytest.mark.parametrize("command", PRINTS)
def test_so_has_an_output_that_nobody_reads(
    cli: CommandLine, command: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--endpoint-url", endpoint) if command in ASKING else ()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(_Gone()), write_through=True))
    result = cli.run(*command.split(), *ASKING.get(command, ()), *options)
    assert (result.code, result.err) == (exit_codes.CLOSED_PIPE, "")


@pytest.mark.parametrize(
    ("arguments", "interpreted"),
    [(("definition", "schema"), False), (("--help",), True), (("cost",), False)],
    ids=["definition schema", "--help", "cost"],
)
def test_a_real_pipe_that_is_closed_leaves_no_word_behind(
    arguments: tuple[str, ...], interpreted: bool
) -> None:
    """Starts an interpreter of its own once: how it ends depends on it."""
    read, write = os.pipe()
    os.close(read)
    running = start(*arguments, stdout=write, interpreted=interpreted)
    os.close(write)
    _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (exit_codes.CLOSED_PIPE, "")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("content", HOSTILE)
def test_a_hostile_file_is_one_complaint(cli: CommandLine, content: str, tmp_path: Path) -> None:
    file = tmp_path / "hostile"
    file.write_bytes(HOSTILE[content])
    for name, arguments in READS_A_FILE.items():
        result = cli.run(*arguments, file)
        allowed = {exit_codes.BAD_INPUT, exit_codes.NOT_SO}
        if arguments[0] == "publish":
            allowed |= {0, exit_codes.NO_ANSWER}  # an empty file holds nothing wrong; JSON is JSON
        assert result.code in allowed, (name, result)


TIMES = [
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "0000-00-00T00:00:00Z",
    "9" * 5_000,
    "-1",
    "",
]


@pytest.mark.parametrize("text", TIMES, ids=lambda text: text[:30])
def test_a_time_or_number_that_nobody_can_mean_is_a_wrong_question(
    cli: CommandLine, text: str, endpoint: str
) -> None:
    options = ("--endpoint-url", endpoint)
    for arguments in (
        ("show", f"{LANE}@{text}", "--stream", "orders"),
        ("show", f"us-east-1/{text}.{text}@0", "--stream", "orders"),
        ("prove", "--lane", f"us-east-1/0.{text}"),
        ("dead-letters", "show", "billing", f"{LANE}@{text}"),
        ("backfill", "--stream", "orders", *MOVE, "--lanes", f"{LANE}@{text}-{text}"),
        ("simulate", "--seeds", f"{text}..{text}"),
    ):
        assert cli.run(*arguments, *(options if arguments[0] != "simulate" else ())).code in (1, 2), arguments
    replay = ("subscriptions", "replay", "billing", "--dry-run", f"--from={text}")
    assert cli.run(*replay, *options).code in (0, 1, 2)


def test_help_lists_the_exit_codes(cli: CommandLine) -> None:
    for command in ((), ("prove",)):
        output = " ".join(cli.run(*command, "--help").out.split())
        assert "3 a service gave no answer or denied one" in output
