"""`eventfabric credits`, against moto: what is shown of producers that are held back, and what lets them go on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventfabric import Delivery, Event
from eventfabric.cli import exit_codes
from eventfabric.definition.file import read_definition
from eventfabric.testing.local.clock import RunningClock
from eventfabric.testing.local.fabric import LocalFabric
from tests.support.command_line import CommandLine, Ran
from tests.support.messages import TextWith

US = "us-east-1"
DEFINITION = f"""
[fabric]
name = "shop"
regions = ["{US}"]
[streams.orders]
lanes = 2
durability = "regional"
[streams.free]
durability = "regional"
[subscriptions.billing]
stream = "orders"
handler = "subscribers.billing:charge"
backpressure.events_min = 4
[subscriptions.audit]
stream = "free"
handler = "subscribers.billing:charge"
"""


class Shop:
    """A local fabric, and the command line of whoever operates it."""

    def __init__(self, fabric: LocalFabric, cli: CommandLine, definition: Path) -> None:
        self.fabric, self._cli = fabric, cli
        self._options = ("--definition", str(definition), "--region", US)

    def run(self, *words: str) -> Ran:
        return self._cli.run("credits", *words, *self._options)

    def publish(self, count: int) -> None:
        producer = self.fabric.region(US)
        events = [Event(key="a", type="Placed") for _ in range(count)]
        producer.publish_many("orders", events)

    def full(self) -> None:
        """Let a lane be granted something, and fill it while nothing is delivered."""
        self.publish(1)
        self.fabric.settle()
        self._cli.run("subscriptions", "pause", "billing", *self._options)
        self.publish(4)


def nothing(event: Event, delivery: Delivery) -> None:
    """Handle by doing nothing."""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: CommandLine) -> Iterator[Shop]:
    for name, value in (("AWS_ACCESS_KEY_ID", "local"), ("AWS_SECRET_ACCESS_KEY", "local")):
        monkeypatch.setenv(name, value)
    definition = tmp_path / "fabric.toml"
    definition.write_text(DEFINITION)
    handlers = {"billing": nothing, "audit": nothing}
    with LocalFabric(read_definition(definition), handlers=handlers, clock=RunningClock()) as fabric:
        yield Shop(fabric, cli, definition)


def test_nothing_is_short_where_everything_is_delivered(shop: Shop) -> None:
    shop.publish(1)
    shop.fabric.settle()
    shown = shop.run("show", "orders", "--json").json
    assert (shown["gates"], shown["gated"], shown["short"], shown["lanes"]) == (["billing"], 1, 0, [])
    (lane,) = shop.run("show", "orders", "--all", "--json").json["lanes"]
    assert (lane["cursor"], lane["tail"], lane["grant"], lane["left"]) == (1, 1, 5, 4)
    assert (lane["why"], lane["short_since_ms"]) == (None, None)
    assert shop.run("show", "orders").out.strip() == TextWith("billing", "1 lanes", "0 are short")
    assert "...." in shop.run("show", "orders", "--all").out


def test_a_stream_that_nobody_gates_says_so(shop: Shop) -> None:
    assert shop.run("show", "free").out.strip() == TextWith("nobody", "0 lanes", "0 are short")


def test_a_lane_that_is_full_says_why_and_is_opened(shop: Shop) -> None:
    shop.full()
    (lane,) = shop.run("show", "orders", "--json").json["lanes"]
    assert (lane["why"], lane["left"]) == ("paused, rung", 0)
    assert "##########" in shop.run("show", "orders").out
    planned = shop.run("open", "billing", "--for", "10m", "--dry-run", "--json").json
    assert (planned["opened"], planned["lanes"][0]["grant"]) == (0, lane["grant"])
    assert shop.run("show", "orders", "--json").json["short"] == 1
    opened = shop.run("open", "billing", "--for", "10m", "--yes", "--json").json
    assert (opened["opened"], opened["lanes"]) == (1, planned["lanes"])
    (lane,) = shop.run("show", "orders", "--all", "--json").json["lanes"]
    assert lane["grant"] == planned["lanes"][0]["grant_then"]
    again = shop.run("open", "billing", "--for", "10m", "--yes")
    assert (again.code, again.out.splitlines()[-1]) == (0, TextWith("0 lanes"))


def test_nothing_is_opened_without_a_yes(shop: Shop) -> None:
    shop.full()
    assert shop.run("open", "billing", "--for", "10m").code != 0
    assert shop.run("open", "billing", "--for", "10m", "--json").code == exit_codes.BAD_INPUT
    assert shop.run("show", "orders", "--json").json["short"] == 1


@pytest.mark.parametrize(
    "words",
    [
        *(
            ("open", "billing", "--for", time)
            for time in ("0s", "25h", "10", "-1m", "1.5h", "9" * 5000 + "s", "")
        ),
        ("open", "billing"),
        ("open", "audit", "--for", "10m"),
        ("open", "nobody", "--for", "10m"),
        ("show", "nothing"),
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_a_wrong_question_is_one_complaint(shop: Shop, words: tuple[str, ...]) -> None:
    result = shop.run(*words)
    assert (result.code, result.out) == (exit_codes.BAD_INPUT, "")
    assert result.err
