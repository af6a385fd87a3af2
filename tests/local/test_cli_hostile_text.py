"""Producers' and handlers' text does nothing to the terminal of whoever looks at it."""

import json
from pathlib import Path

import pytest

from eventfabric.cli.output import safe, say, show_document, show_json, show_table
from tests.local.commanded_fabric import CommandedFabric

HOSTILE = (
    "\x1b]0;pwned\x07\x1b[31mred\x9b2J\x7f\u202egnp.exe\u2066\u200b\u200f\u2028\nforged: ok\r"
    "[bold]x[/bold] :heart:"
)
SHOWN = "\\x1b]0;pwned"


def is_quiet(message: str) -> bool:
    """Tell if every line is printable, and none is a producer's."""
    return all(line.isprintable() and not line.startswith("forged") for line in message.split("\n"))


def test_no_command_passes_on_what_a_producer_or_a_handler_put_into_its_text(
    shop: CommandedFabric, tmp_path: Path
) -> None:
    key, event_id, type_ = f"k{HOSTILE}", f"i{HOSTILE}", f"t{HOSTILE}"
    shop.failing.error = lambda text: KeyError(f"{text}{HOSTILE}")
    receipt = shop.server.producer.publish(
        "orders", id=event_id, key=key, type=type_, data={"text": HOSTILE}, headers={"note": HOSTILE}
    )
    place = f"{receipt.lane}@{receipt.sequence}"
    shop.failing.times[event_id] = 1
    shop.deliver()
    file = tmp_path / "events.jsonl"
    file.write_text(
        json.dumps({"specversion": "1.0", "id": event_id, "source": HOSTILE, "time": HOSTILE}) + "\n"
    )
    path = tmp_path / "event.json"
    path.write_text(
        json.dumps({"specversion": "1.0", "id": event_id, "type": type_, "source": "/s", "time": HOSTILE})
    )
    commands: list[tuple[str, ...]] = [
        ("dead-letters", "list", "billing"),
        ("dead-letters", "list", "billing", "--json"),
        ("dead-letters", "list", "billing", "--key", key),
        ("dead-letters", "show", "billing", place),
        ("dead-letters", "show", "billing", place, "--json"),
        ("dead-letters", "redrive", "billing", place, "--dry-run"),
        ("dead-letters", "redrive", "billing", place, "--edited", str(path), "--dry-run"),
        ("dead-letters", "discard", "billing", HOSTILE),
        ("show", place, "--stream", "orders"),
        ("show", event_id, "--stream", "orders"),
        ("show", f"{event_id}nothing", "--stream", "orders"),
        ("prove", "billing"),
        ("prove", "billing", "--json"),
        ("lanes",),
        ("declared",),
        ("declared", HOSTILE),
        ("lanes", "--json"),
        ("reconcile", "--stream", "orders"),
        ("subscriptions", "list"),
        ("subscriptions", "replay", "billing", "--from", "0", "--key", key, "--dry-run"),
        ("publish", "orders", "--events", str(file)),
        ("publish", HOSTILE, "--events", str(file)),
    ]
    for command in commands:
        result = shop.cli.run(*command, *shop.options)
        assert is_quiet(result.out), command
        assert is_quiet(result.err), command
        assert "Usage:" not in result.err, command
    listed = shop.run("list", "billing")
    assert SHOWN in listed.out
    assert "[bold]x[/bold] :heart:" in listed.out
    (letter,) = shop.run("list", "billing", "--json").json
    assert (letter["key"], letter["event_id"], letter["event_type"]) == (key, event_id, type_)


class TestTheBorder:
    def test_a_sentence_is_one_printable_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        say(f"a {HOSTILE} b")
        out = capsys.readouterr().out
        assert out.count("\n") == 1
        assert out[:-1].isprintable()

    def test_what_is_printable_stays_as_it_is(self) -> None:
        for text in ("Grüße, 東京, שלום, 🎉", "", "a\\x1b"):
            assert safe(text) == text

    def test_a_lone_surrogate_is_escaped(self) -> None:
        assert safe("a\ud800b") == "a\\ud800b"

    def test_json_means_the_same_and_shows_nothing_unprintable(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        value = {"key": HOSTILE, "tag": "\U000e0041", "plain": "東京"}
        show_json(value)
        out = capsys.readouterr().out
        assert out[:-1].isprintable()
        assert "東京" in out
        assert json.loads(out) == value
        show_document(value)
        out = capsys.readouterr().out
        assert is_quiet(out)
        assert json.loads(out) == value

    def test_a_table_takes_neither_markup_nor_emoji_nor_control(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        show_table(HOSTILE, ("key",), [(HOSTILE,)])
        out = capsys.readouterr().out
        assert is_quiet(out)
        assert out.count("[bold]x[/bold] :heart:") == 2
