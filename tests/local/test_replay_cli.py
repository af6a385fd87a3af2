"""`eventfabric subscriptions replay` against a fabric that runs as a server; its cursors are moved by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from eventfabric import Fabric as Producer
from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.definition.file import read_definition
from eventfabric.model import Cursor, Lane, LaneKey, StreamName, SubscriptionName, lane_index
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.topology import Topology
from tests.support.command_line import CommandLine, local_up
from tests.support.messages import TextWith, missing_from

DEFINITION = """
[fabric]
name = "shop"
regions = ["us-east-1"]
[streams.orders]
lanes = 2
durability = "regional"
[streams.other]
durability = "regional"
[subscriptions.billing]
stream = "orders"
handler = "subscribers.billing:charge"
[subscriptions.paid]
stream = "orders"
types = ["Paid"]
handler = "subscribers.billing:charge"
[subscriptions.audit]
stream = "orders"
handler = "subscribers.billing:charge"
[subscriptions.never]
stream = "orders"
handler = "subscribers.billing:charge"
replay = false
[subscriptions.elsewhere]
stream = "other"
handler = "subscribers.billing:charge"
[subscriptions.forward]
stream = "orders"
handler = "subscribers.billing:charge"
publishes = ["other"]
"""
# Keys whose events are of lane 0, and of lane 1.
KEYS = [next(k for k in "abcdefgh" if lane_index(k, 2) == index) for index in (0, 1)]


@dataclass
class Fabric:
    """The fabric that the commands address, and its ledger."""

    cli: CommandLine
    definition: Path
    url: str

    @property
    def options(self) -> tuple[str, ...]:
        return ("--definition", str(self.definition), "--endpoint-url", self.url)

    def __post_init__(self) -> None:
        self.topology = Topology(read_definition(self.definition))
        self.ports = aws_ports(self.topology, Clients("us-east-1", endpoint_url=self.url))

    def key(self, subscription: str, lane: Lane) -> LaneKey:
        return LaneKey(StreamName("orders"), SubscriptionName(subscription), lane)

    def cursors(self, subscription: str) -> list[tuple[int, int]]:
        """Return, for each of the two lanes, the next sequence, and the sequence up to which a replay is under way."""
        cursors = [self.cursor(subscription, lane) for lane in lanes_of(self.topology.stream("orders"))]
        return [(cursor.sequence, cursor.replay_until) for cursor in cursors]

    def cursor(self, subscription: str, lane: Lane) -> Cursor:
        return self.ports.ledger.state(self.key(subscription, lane)).cursor(self.ports.ledger.region)

    def deliver(self, *subscriptions: str) -> None:
        """Move the cursors to the tails."""
        log = self.ports.log_of(self.topology.stream("orders"))
        for lane in lanes_of(self.topology.stream("orders")):
            tail = log.tail(lane)
            for subscription in subscriptions:
                key = self.key(subscription, lane)
                read = self.cursor(subscription, lane)
                self.ports.ledger.commit(key, read, Cursor(tail.sequence, tail.sequence, tail.chain))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("server")
    definition = folder / "fabric.toml"
    definition.write_text(DEFINITION)
    with local_up(folder, "--no-deliver", "--definition", str(definition)) as url:
        yield definition, url


@pytest.fixture
def fabric(
    server: tuple[Path, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Fabric:
    """Six events more, of two keys, which two subscriptions have handled."""
    shop = Fabric(CommandLine(capsys, monkeypatch), *server)
    producer = Producer.from_definition(shop.definition, region="us-east-1", endpoint_url=shop.url)
    for number in range(6):
        kind = "Paid" if number % 3 == 0 else "Placed"
        producer.publish("orders", key=KEYS[number % 2], type=kind)
    shop.deliver("billing", "paid")
    return shop


def test_a_replay_says_first_what_it_would_hand_out_and_then_does(fabric: Fabric) -> None:
    before = fabric.cursors("billing"), fabric.cursors("paid")
    (ends, _) = before[0]
    command = ("subscriptions", "replay", "billing", "--from", "1", *fabric.options)
    would = fabric.cli.run(*command, "--dry-run", "--json").json
    assert (would["dry_run"], would["events"], would["failed"]) == (
        True,
        sum(end - 1 for end, _ in before[0]),
        [],
    )
    assert would["lanes"][0] == {
        "lane": "us-east-1/0.0",
        "from": 1,
        "until": ends[0],
        "events": ends[0] - 1,
        "parked_keys": 0,
    }
    assert "would be delivered again" in fabric.cli.run(*command, "--dry-run").out
    assert (fabric.cursors("billing"), fabric.cursors("paid")) == before

    done = fabric.cli.run(*command, "--json")
    assert (done.code, done.json) == (0, {**would, "dry_run": False})
    assert fabric.cursors("billing") == [(1, end) for end, _ in before[0]]
    assert fabric.cursors("paid") == before[1]
    lanes = fabric.cli.run("lanes", "--subscription", "billing", *fabric.options, "--json").json["lanes"]
    assert sum(lane["lag"] for lane in lanes) == would["events"]


def test_one_lane_of_wanted_events_in_words(fabric: Fabric) -> None:
    command = ("subscriptions", "replay", "paid", "--from", "0", "--lane", "us-east-1/0.1", *fabric.options)
    would = fabric.cli.run(*command, "--dry-run", "--json").json
    (lane,) = would["lanes"]
    assert lane["events"] == lane["until"] // 3
    result = fabric.cli.run(*command)
    assert (result.code, result.out.splitlines()[-1]) == (
        0,
        TextWith(f"{lane['until']} events", "1 lanes"),
    )


def test_of_a_time_and_while_it_is_paused(fabric: Fabric) -> None:
    fabric.cli.run("subscriptions", "pause", "billing", *fabric.options)
    result = fabric.cli.run(
        "subscriptions", "replay", "billing", "--from", "2020-01-01T00:00:00+01:00", *fabric.options
    )
    assert (result.code, result.out.splitlines()[-1].startswith("billing is paused: ")) == (0, True)
    assert [sequence for sequence, _ in fabric.cursors("billing")] == [0, 0]
    fabric.cli.run("subscriptions", "resume", "billing", *fabric.options)


def test_one_key(fabric: Fabric) -> None:
    before = fabric.cursors("billing")
    command = ("subscriptions", "replay", "billing", "--key", KEYS[1], "--from", "1", *fabric.options)
    done = fabric.cli.run(*command, "--json").json
    (lane,) = done["lanes"]
    end = before[1][0]
    assert lane == {"lane": "us-east-1/0.1", "from": 1, "until": end, "events": end - 1, "parked_keys": 1}
    assert fabric.cursors("billing") == before
    complaint = fabric.cli.refused(*command, code=2)
    assert missing_from(complaint, f"'{KEYS[1]}'", "us-east-1/0.1", "retrying") == []


def test_another_subscription_is_fed(fabric: Fabric) -> None:
    before = fabric.cursors("billing")
    result = fabric.cli.run(
        "subscriptions", "replay", "billing", "--into", "audit", "--from", "1", *fabric.options
    )
    assert result.code == 0
    assert fabric.cursors("audit") == [(1, end) for end, _ in before]
    complaint = fabric.cli.refused(
        "subscriptions", "replay", "billing", "--into", "audit", *fabric.options, code=2
    )
    assert missing_from(complaint, "--from", "audit", "us-east-1/0.0 is at 1") == []


def test_whom_it_reaches_is_said_before_anything_is_published_again(fabric: Fabric) -> None:
    fabric.deliver("forward")
    before = fabric.cursors("forward")
    command = ("subscriptions", "replay", "forward", "--from", "0", *fabric.options)
    plain = fabric.cli.run(*command, "--dry-run")
    assert missing_from(plain.out, "1 streams are not published into again", "other", "--publish") == []
    would = fabric.cli.run(*command, "--publish", "--dry-run")
    assert missing_from(would.out, "other", "again", "elsewhere") == []
    fabric.cli.refused(*command, "--publish", "--json", code=2)
    assert fabric.cursors("forward") == before
    done = fabric.cli.run(*command, "--publish", "--yes", "--json").json
    assert (done["publish"], done["publishes"]) == (True, {"other": ["elsewhere"]})
    for lane in lanes_of(fabric.topology.stream("orders")):
        cursor = fabric.cursor("forward", lane)
        assert (cursor.sequence, cursor.is_replaying, cursor.is_replay) == (0, True, False)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (("nobody", "--from", "0"), ["no subscription", "'nobody'"]),
        (("billing",), ["--from", "billing", "us-east-1/0.0"]),
        (("billing", "--from", "99999"), ["sequence 99999", "lane"]),
        (("billing", "--from", "2999-01-01T00:00:00Z"), ["2999-01-01T00:00:00.000+00:00", "future"]),
        (
            ("billing", "--from", "yesterday"),
            ["--from", "'yesterday'", "sequence", "RFC 3339"],
        ),
        (("billing", "--from", "2026-02-30T00:00:00Z"), ["--from", "'2026-02-30T00:00:00Z'"]),
        (("billing", "--from", "2026-02-01T00:00:00"), ["--from", "'2026-02-01T00:00:00'"]),
        (
            ("billing", "--from", "0", "--key", "nobody"),
            ["'nobody'", "no delivered events", "sequence 0"],
        ),
        (("billing", "--from", "0", "--into", "billing"), ["billing", "itself"]),
        (
            ("billing", "--from", "0", "--into", "elsewhere"),
            ["elsewhere is of stream other", "billing of orders"],
        ),
        (("billing", "--from", "0", "--into", "never"), ["never has replay = false"]),
        (("billing", "--from", "0", "--into", "audit", "--key", "a"), ["--key", "without --into"]),
        (("never", "--from", "0"), ["never has replay = false"]),
        (("billing", "--from", "0", "--publish"), ["billing publishes into no stream"]),
        (("billing", "--from", "0", "--lane", "0.1"), ["--lane", "'0.1'", "<origin>"]),
        (
            ("billing", "--from", "0", "--lane", "us-east-1/0.2"),
            ["'us-east-1/0.2'", "us-east-1/0.0 to us-east-1/0.1"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_input_is_refused_and_nothing_is_changed(
    fabric: Fabric, arguments: tuple[str, ...], facts: list[str]
) -> None:
    names = ("billing", "paid", "audit", "never")
    before = [fabric.cursors(name) for name in names]
    complaint = fabric.cli.refused("subscriptions", "replay", *arguments, *fabric.options, code=2)
    assert missing_from(complaint, *facts) == []
    assert [fabric.cursors(name) for name in names] == before
