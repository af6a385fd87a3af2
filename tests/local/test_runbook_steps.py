"""The runbook's steps for a lane that is broken, carried out command by command as the page prints them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventfabric import Delivery, Event, Fabric
from eventfabric.model import AtTime, DeclarationLane, Lane, Region, StreamName
from eventfabric.model.finding import FindingKind
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.testing.local.clock import RunningClock
from eventfabric.testing.local.fabric import LocalFabric
from tests.support.command_line import CommandLine, Ran, copy_table

PAGE = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
US, EU = "us-east-1", "eu-west-1"
TABLE, RESTORED = "shop-orders", "shop-orders-restored"
LOST = 2
STOPPED_SECONDS = 800
"""Until the doorbell of a lane that stopped comes again."""
DEFINITION = f"""
[fabric]
name = "shop"
regions = ["{US}", "{EU}"]
[streams.orders]
lanes = 1
[subscriptions.billing]
stream = "orders"
handler = "subscribers.billing:charge"
"""


def blocks(heading: str) -> list[list[str]]:
    """The commands that the page prints under a heading, block by block."""
    (section,) = re.findall(rf"^### {heading}\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    code_blocks = re.findall(r"^ *```\n(.*?)^ *```", section, re.MULTILINE | re.DOTALL)
    return [[line.strip() for line in block.splitlines() if line] for block in code_blocks]


class RunbookFabric:
    """A fabric of two Regions, its lane in the first, and the page's commands on it."""

    def __init__(self, fabric: LocalFabric, cli: CommandLine, definition: Path, handed: list[str]) -> None:
        self.fabric, self.handed = fabric, handed
        self._cli = cli
        self.definition = definition
        stream = fabric.topology.stream("orders")
        self.lane: Lane = next(lane for lane in lanes_of(stream) if lane.origin == US)
        self.log = fabric.ports(US).log_of(stream)

    def publish(self, *ids: str) -> None:
        """Publish an event a record, and deliver them."""
        for id_ in ids:
            self.fabric.region(US).publish("orders", key="a", type="Placed", id=id_)
        self.fabric.settle()

    def run(self, commands: list[str]) -> list[Ran]:
        """Carry out commands of the page, for this lane and what is lost of it."""
        ran = []
        for line in commands:
            words = shlex.split(line.replace("us-east-1/0.17", str(self.lane)), comments=True)
            words = [word.replace("@42", f"@{LOST}") for word in words]
            words = [str(LOST) if word == "42" else word for word in words]
            options = "--definition", self.definition, "--region", US, "--json"
            ran.append(self._cli.run(*words[1:], *options))
            self.fabric.run_for(5)  # until it has replicated
        self.fabric.settle()
        return ran

    def copy_table(self) -> None:
        """Restore the table to now, under a name."""
        copy_table(self.client(US), TABLE, RESTORED)

    def client(self, region: str) -> Any:
        return self.fabric.client("dynamodb", region)

    def lose(self, *sequences: int, of: str = TABLE) -> None:
        """Remove records from every Region's table."""
        for region in (US, EU):
            for sequence in sequences:
                key = {"pk": {"S": str(self.lane)}, "sk": {"N": str(sequence)}}
                self.client(region).delete_item(TableName=of, Key=key)
        self.fabric.settle()

    def items(self, table: str) -> dict[str, list[Any]]:
        """Read a table, in every Region."""
        return {region: self.client(region).scan(TableName=table)["Items"] for region in (US, EU)}

    def set_back(self, table: str, earlier: dict[str, list[Any]]) -> None:
        """Restore a table to an earlier state, under its own name and in every Region."""
        for region, items in earlier.items():
            client = self.client(region)
            for item in client.scan(TableName=table)["Items"]:
                client.delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})
            for item in items:
                client.put_item(TableName=table, Item=item)
        self.fabric.settle()

    def findings(self) -> list[tuple[FindingKind, int | None]]:
        """Make a pass of reconciliation."""
        return [
            (finding.kind, finding.sequence) for finding in self.fabric.operations(US).reconcile("orders")
        ]

    def change(self, sequence: int) -> None:
        """Give a record other types, in every Region."""
        self.client(US).update_item(
            TableName=TABLE,
            Key={"pk": {"S": str(self.lane)}, "sk": {"N": str(sequence)}},
            UpdateExpression="SET t = :t",
            ExpressionAttributeValues={":t": {"SS": ["Changed"]}},
        )
        self.fabric.settle()

    def paused(self) -> None:
        self.fabric.operations(US).pause("billing", "a test")
        self.fabric.run_for(10)

    def resumed(self) -> None:
        self.fabric.operations(US).resume("billing")
        self.fabric.run_for(10)


@pytest.fixture
def shop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunbookFabric]:
    cli = CommandLine(capsys, monkeypatch)
    definition = tmp_path / "fabric.toml"
    definition.write_text(DEFINITION)
    handed: list[str] = []

    def charge(event: Event, delivery: Delivery) -> None:
        handed.append(str(event.id))

    with LocalFabric(definition, handlers={"billing": charge}, clock=RunningClock()) as fabric:
        yield RunbookFabric(fabric, cli, definition, handed)


def broken_ahead(shop: RunbookFabric, *, changed: bool = False, backup: bool = True) -> None:
    """A lane whose third record is lost or changed before it was delivered."""
    shop.publish("e0", "e1")
    shop.paused()
    shop.publish("e2", "e3", "e4")
    if backup:
        shop.copy_table()
    shop.change(LOST) if changed else shop.lose(LOST)
    shop.resumed()
    shop.fabric.run_for(600)  # until the queue has forgotten the doorbells that were rung before
    assert shop.handed == ["e0", "e1"]


def codes(ran: list[Ran]) -> list[int]:
    return [run.code for run in ran]


def test_a_hole_is_looked_for_elsewhere_and_restored_from_a_copy(shop: RunbookFabric) -> None:
    broken_ahead(shop)
    elsewhere, restore, _ = blocks("A hole")
    looked, repaired = shop.run(elsewhere)
    assert (looked.code, repaired.code) == (1, 1)
    kinds = [(finding["kind"], finding["sequence"]) for finding in repaired.json["findings"]]
    assert ("hole", LOST) in kinds
    assert "lanes restore" in next(
        finding["detail"] for finding in repaired.json["findings"] if finding["kind"] == "hole"
    )
    assert codes(shop.run(restore)) == [0, 0, 0]
    assert shop.handed == ["e0", "e1", "e2", "e3", "e4"]
    (proven,) = shop.run(restore[-1:])
    assert (proven.code, [mending["what"] for mending in proven.json["mended"]]) == (0, ["restored"])


def test_a_hole_that_nothing_can_fill_is_skipped_on_record(shop: RunbookFabric) -> None:
    broken_ahead(shop, backup=False)
    skip = blocks("A hole")[2]
    would, done, mended, _ = shop.run(skip)
    assert (would.code, would.json["skipped"], done.json["skipped"]) == (0, False, True)
    (noted,) = mended.json["mended"]
    assert (noted["what"], noted["why"].endswith("no backup has it")) == ("skipped", True)
    assert shop.handed == ["e0", "e1", "e3", "e4"]
    (proven,) = shop.run(skip[-1:])
    assert (proven.code, proven.json["proven"], proven.json["skipped"]) == (5, True, 1)


def test_a_divergence_is_looked_at_and_restored(shop: RunbookFabric) -> None:
    broken_ahead(shop, changed=True)
    shown, would, done, _ = shop.run(blocks("A divergence")[0])
    assert (shown.code, would.code, done.code) == (0, 0, 0)
    assert done.json["replaces"]
    shop.fabric.run_for(STOPPED_SECONDS)
    assert shop.handed == ["e0", "e1", "e2", "e3", "e4"]
    (proven,) = shop.run(blocks("A divergence")[0][-1:])
    assert (proven.code, {mending["what"] for mending in proven.json["mended"]}) == (
        0,
        {"restored", "set aside"},
    )


def test_a_divergence_of_which_no_copy_is_left_is_set_aside_and_skipped(shop: RunbookFabric) -> None:
    broken_ahead(shop, changed=True, backup=False)
    assert codes(shop.run(blocks("A divergence")[1])) == [0, 0, 0]
    shop.fabric.run_for(STOPPED_SECONDS)
    assert shop.handed == ["e0", "e1", "e3", "e4"]


def test_a_cursor_ahead_of_a_table_that_was_made_anew_is_replayed(shop: RunbookFabric) -> None:
    shop.publish("e0", "e1", "e2")
    shop.lose(0, 1, 2)
    cold = Fabric.from_definition(shop.definition, region=US)
    cold.publish("orders", key="a", type="Placed", id="n0")
    shop.fabric.settle()
    assert shop.handed == ["e0", "e1", "e2"]
    kinds = [finding.kind for finding in shop.fabric.operations(US).reconcile("orders")]
    assert FindingKind.CURSOR_AHEAD in kinds
    steps = shop.run(blocks("A cursor ahead of the log")[0])
    assert codes(steps)[:2] == [0, 0]
    assert shop.handed[3:] == ["n0"]
    (proven,) = shop.run(blocks("A cursor ahead of the log")[0][-1:])
    assert proven.code == 0
    assert shop.fabric.operations(US).reconcile("orders") == []


def test_a_record_removed_behind_the_cursor_is_found_and_restored(shop: RunbookFabric) -> None:
    shop.publish("e0", "e1", "e2", "e3", "e4")
    shop.copy_table()
    shop.lose(LOST)
    run, restored, looked, proven = shop.run(blocks("A record was removed behind the cursor")[0])
    assert (run.code, restored.code, looked.code, proven.code) == (1, 0, 0, 0)
    assert Region(US) == shop.lane.origin


def declare(shop: RunbookFabric) -> DeclarationLane:
    """Declare three times in the first Region, and return the lane."""
    topology, ports = shop.fabric.topology, shop.fabric.ports(US)
    deployer = Deployer(topology, Region(US), ports, by="stack", request_id="again")
    deployer.declare_gone(topology.subscription("billing"))
    deployer.declare_subscription(topology.subscription("billing"))
    shop.fabric.run_for(5)
    assert shop.findings() == []
    return DeclarationLane.of(Region(US), StreamName("orders"))


def test_declarations_that_a_table_lacks_are_copied_from_another_region(shop: RunbookFabric) -> None:
    lane = declare(shop)
    key = {"pk": {"S": str(lane)}, "sk": {"N": str(LOST)}}
    kept = shop.client(EU).get_item(TableName=TABLE, Key=key)["Item"]
    shop.client(US).delete_item(TableName=TABLE, Key=key)
    shop.fabric.run_for(5)
    shop.client(EU).put_item(TableName=TABLE, Item=kept)
    before, mended, after = shop.run(blocks("Declarations are missing")[0])
    ends = [(proof.json["declarations"][0]["up_to"], proof.code) for proof in (before, after)]
    assert (ends, mended.code) == ([(LOST, 0), (LOST + 1, 0)], 0)
    assert shop.findings() == []


def test_declarations_that_no_region_has_are_put_back_from_a_copy(shop: RunbookFabric) -> None:
    lane = declare(shop)
    shop.copy_table()
    for region in (US, EU):
        key = {"pk": {"S": str(lane)}, "sk": {"N": str(LOST)}}
        shop.client(region).delete_item(TableName=TABLE, Key=key)
    assert shop.findings() == [(FindingKind.HOLE, LOST)]
    assert codes(shop.run(blocks("Declarations are missing")[1])) == [0]
    assert shop.findings() == []


def wrong(proof: Ran) -> tuple[str, int]:
    (lane,) = proof.json["lanes"]
    return lane["wrong"]["kind"], lane["wrong"]["sequence"]


def set_back_log(shop: RunbookFabric) -> None:
    """A log that was restored to a time at which it had three records of five, all of them handled."""
    shop.publish("e0", "e1", "e2")
    earlier = shop.items(TABLE)
    shop.publish("e3", "e4")
    assert shop.findings() == []
    shop.copy_table()
    shop.set_back(TABLE, earlier)
    assert shop.findings() == [(FindingKind.HOLE, 3)]
    (proof,) = shop.run(["eventfabric prove billing"])
    assert (proof.code, wrong(proof)) == (1, ("cursor_ahead", 5))


def test_the_end_of_a_log_that_was_set_back_is_restored_from_a_copy(shop: RunbookFabric) -> None:
    set_back_log(shop)
    restore = (
        f"eventfabric lanes restore orders us-east-1/0.17 --from-table {RESTORED} --reason lost --sequence"
    )
    assert codes(shop.run([f"{restore} 3", f"{restore} 4", "eventfabric prove billing"])) == [0, 0, 0]
    assert (shop.findings(), shop.handed) == ([], ["e0", "e1", "e2", "e3", "e4"])


def test_a_log_that_was_set_back_is_delivered_from_its_end(shop: RunbookFabric) -> None:
    set_back_log(shop)
    (steps,) = blocks("A whole table is restored")
    # The page goes back to a time. The command's clock is not the fabric's here, so it goes back to that place.
    replays = [line.replace("2026-05-04T12:00:00Z", "3") for line in steps[:2]]
    assert codes(shop.run(replays)) == [0, 0]
    assert shop.findings() == [(FindingKind.HOLE, 3), (FindingKind.CURSOR_BACK, 3)]
    cold = Fabric.from_definition(shop.definition, region=US)
    for id_ in ("n0", "n1", "n2"):
        cold.publish("orders", key="a", type="Placed", id=id_)
    shop.fabric.settle()
    assert shop.handed == ["e0", "e1", "e2", "e3", "e4", "n0", "n1", "n2"]
    assert shop.findings() == [(FindingKind.DIVERGENCE, 5)]
    assert codes(shop.run(steps[2:])) == [0, 0]
    assert shop.findings() == []


def test_a_replay_from_a_time_behind_the_end_of_the_log_goes_to_that_end(shop: RunbookFabric) -> None:
    shop.publish("e0", "e1", "e2")
    earlier = shop.items(TABLE)
    shop.fabric.run_for(30)
    restored_to = AtTime(shop.fabric.clock.now_ms())
    shop.fabric.run_for(30)
    shop.publish("e3", "e4")
    shop.set_back(TABLE, earlier)
    (plan,) = shop.fabric.operations(US).replay("billing").plan(restored_to, lane=shop.lane)
    assert (plan.read.sequence, plan.to.sequence, plan.to.is_replaying) == (5, 3, False)


def test_a_producer_that_remembers_the_end_of_a_log_leaves_a_hole_behind_it(shop: RunbookFabric) -> None:
    set_back_log(shop)
    shop.publish("e5")
    (full,) = shop.run(["eventfabric reconcile --stream orders --full"])
    assert [(finding["kind"], finding["sequence"]) for finding in full.json["findings"]] == [("hole", 3)]


def test_a_ledger_that_was_set_back_hands_out_again_what_came_since(shop: RunbookFabric) -> None:
    shop.publish("e0", "e1", "e2")
    earlier = shop.items("shop-ledger")
    shop.publish("e3", "e4")
    shop.set_back("shop-ledger", earlier)
    assert shop.findings() == []
    assert codes(shop.run(["eventfabric lanes --ring", "eventfabric prove billing"])) == [0, 0]
    assert shop.handed == ["e0", "e1", "e2", "e3", "e4", "e3", "e4"]
