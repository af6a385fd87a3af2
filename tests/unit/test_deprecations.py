"""Parts of this library that will go: shown on entries that are invented, since there may be none."""

import logging
import warnings

import pytest

from eventfabric import deprecations
from eventfabric.definition.file import parse_definition
from eventfabric.deprecations import (
    PARTS,
    DeprecatedPart,
    FabricDeprecationWarning,
    PartKind,
    deprecated_among,
    warn_once,
)
from eventfabric.version import VERSION
from tests.support.command_line import CommandLine

KEY = DeprecatedPart(PartKind.KEY, "streams.*.express", "0.4", "0.6", "`ring`")
COMMAND = DeprecatedPart(PartKind.COMMAND, "definition check", "0.4", "0.6", "`eventfabric check`")
OLD = DeprecatedPart(PartKind.VERSION, "0.1", "0.4", "0.6", "0.3 or later")
DEFINITION = '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\ndurability = "regional"\n'


@pytest.fixture(autouse=True)
def invented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecations, "PARTS", (KEY, COMMAND, OLD))
    monkeypatch.setattr(deprecations, "_warned", set())


def test_a_key_of_a_definition_is_warned_of_once_and_still_counts(caplog: pytest.LogCaptureFixture) -> None:
    text = DEFINITION + "express = false\n"
    with caplog.at_level(logging.WARNING, "eventfabric"), warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        parse_definition(text, where="fabric.toml")
        definition = parse_definition(text, where="fabric.toml")
    assert not definition.streams["orders"].express
    said = [str(own.message) for own in shown]
    assert said == [f"fabric.toml: {KEY}"]
    assert [record.message for record in caplog.records] == said
    for word in ("streams.*.express", "0.4", "0.6", "`ring`"):
        assert word in said[0]


def test_a_definition_without_it_is_not_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse_definition(DEFINITION)
        parse_definition(DEFINITION.replace("orders", "express"))


def test_a_command_says_that_it_will_go_and_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = CommandLine(capsys, monkeypatch)
    ran = cli.run("definition", "check")
    assert (ran.code, str(COMMAND) in " ".join(ran.err.split())) == (0, True)
    assert "deprecated" not in ran.out
    assert "deprecated" not in cli.run("definition", "schema").err


@pytest.mark.parametrize(
    ("kind", "name", "parts"),
    [
        (PartKind.VERSION, "0.1.7", [OLD]),
        (PartKind.VERSION, "0.1", [OLD]),
        (PartKind.VERSION, "0.10.1", []),
        (PartKind.VERSION, "0", []),
        (PartKind.KEY, "streams.orders.express", [KEY]),
        (PartKind.KEY, "streams.express", []),
        (PartKind.KEY, "subscriptions.orders.express", []),
        (PartKind.COMMAND, "definition check", [COMMAND]),
        (PartKind.COMMAND, "definition", []),
        (PartKind.KEY, "definition check", []),
    ],
)
def test_a_part_is_known_by_its_kind_and_name(kind: PartKind, name: str, parts: list[DeprecatedPart]) -> None:
    assert list(deprecated_among(kind, [name, name])) == parts


def test_whoever_makes_errors_of_warnings_gets_one() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FabricDeprecationWarning)
        with pytest.raises(FabricDeprecationWarning):
            warn_once("it goes")
        assert not warn_once("it goes")


def test_a_part_stays_until_its_sunset() -> None:
    for part in PARTS:
        assert _numbers(part.since) <= _numbers(VERSION) < _numbers(part.sunset), part


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".") if number.isdecimal()]
