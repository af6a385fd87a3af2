"""The runbook can be followed: it names the commands, metrics, log events and alarms that there are."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from eventfabric.cli.deployment import PASSED_ON
from eventfabric.cli.main import app
from eventfabric.definition.file import parse_definition
from eventfabric.deployment.alarms import alarm_of_new_version, alarms_of, anchor
from eventfabric.model.finding import FindingKind
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.topology import Topology

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app)
TOPOLOGIES = [
    Topology(
        parse_definition(
            f'[fabric]\nname = "shop"\nalarms = "{alarms}"\nregions = ["us-east-1", "eu-west-1"]\n[streams.orders]\n'
            '[subscriptions.billing]\nstream = "orders"\nhandler = "subscribers.billing:charge"\n'
            "slo = { latency_ms = 1000, on_time_ratio = 0.99 }\n"
        )
    )
    for alarms in ("few", "all")
]
LOGGED_ELSEWHERE = {"a lane stopped", "a message is not a doorbell"}
"""Log events of the functions themselves."""


def quoted() -> list[str]:
    """Everything that stands in backticks."""
    return re.findall(r"`([^`\n]+)`", PAGE)


def commands() -> list[list[str]]:
    """Each command line that the page names, with or without the program's name before it."""
    command_lines = []
    for text in quoted():
        words = shlex.split(text.partition(" > ")[0].replace("...", "").replace('"', ""))
        if words[:1] == ["eventfabric"] and len(words) > 1:
            command_lines.append(words[1:])
        elif words and words[0] in _subcommands(COMMANDS) and len(words) > 1:
            command_lines.append(words)
    return command_lines


def _subcommands(command: Any) -> dict[str, Any]:
    """Return the subcommands of a group of commands; none for a single command."""
    return dict(getattr(command, "commands", {}))


def _resolved(words: list[str]) -> tuple[list[str], Any]:
    """The names of the commands in a line, and the last of them."""
    path: list[str] = []
    command: Any = COMMANDS
    for word in words:
        if word not in _subcommands(command):
            break
        path, command = [*path, word], _subcommands(command)[word]
    return path, command


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_on_the_page_is_one_and_takes_the_options_it_is_given(words: list[str]) -> None:
    path, command = _resolved(words)
    assert path, f"there is no command {words[0]!r}"
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    given = {word for word in words if word.startswith("--")}
    assert given <= options or command.context_settings == PASSED_ON, (
        "only the CDK's own options are passed on unread"
    )
    shown = CliRunner().invoke(app, [*path, "--help"])
    assert shown.exit_code == 0
    assert "Usage" in shown.output


def _metrics_named() -> Iterator[str]:
    yield from re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", PAGE)


def test_every_metric_on_the_page_is_emitted_and_every_error_type_is_raised() -> None:
    from eventfabric import errors

    of_aws = {"ReplicationLatency", "RecursiveLoop"}
    ours = {str(metric) for metric in Metric} | of_aws | set(vars(errors))
    assert {name for name in _metrics_named() if name not in ours} == set()


def test_every_log_event_on_the_page_is_logged() -> None:
    named = set(re.findall(r"log event `([^`]+?)(?: \.\.\.)?`", PAGE))
    logged = {event.value for event in LogEvent} | LOGGED_ELSEWHERE
    assert {name for name in named if not any(line.startswith(name) for line in logged)} == set()
    source = "".join(path.read_text() for path in (ROOT / "functions/eventfabric/runtime").glob("*.py"))
    assert all(f'"{name}"' in source for name in LOGGED_ELSEWHERE)


def test_every_alarm_is_named_in_the_section_that_it_links_to() -> None:
    sections = {}
    for part in re.split(r"^###? ", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        sections[anchor(heading)] = text
    for topology in TOPOLOGIES:
        of_new_version = alarm_of_new_version("shop-billing", "live", "7")
        for alarm in (*alarms_of(topology, topology.home), of_new_version):
            assert alarm.rule.ending in sections[anchor(alarm.rule.section)], alarm.name


def test_every_finding_stands_in_the_page_about_regions() -> None:
    page = (ROOT / "docs" / "regions.md").read_text(encoding="utf-8")
    assert [kind.value for kind in FindingKind if f"`{kind.value}`" not in page] == []


def test_every_row_about_a_cause_names_its_metric() -> None:
    causes = {Metric.CALLS_DENIED, Metric.CALLS_WITHOUT_KEY, Metric.CALLS_MISSING, Metric.LANES_STOPPED}
    section = PAGE.partition("### Deliveries are blocked")[2].partition("###")[0]
    assert {metric for metric in causes if f"`{metric}`" not in section} == set()
