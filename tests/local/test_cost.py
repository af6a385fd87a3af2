"""The predicted cost of a load, compared with what the local fabric counts for the same load, in units."""

from pathlib import Path

import pytest

from eventfabric import Event
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition
from eventfabric.deployment.cost import Load, predict
from eventfabric.deployment.idle import PASSES_AT_REST, pass_work
from eventfabric.deployment.prices import Prices
from eventfabric.model import Generation, Lane, LaneIndex, Region, SequenceNumber, lane_index
from eventfabric.testing.local.clock import LocalClock
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.topology import RECONCILE_MINUTES
from tests.support.command_line import CommandLine

LANES, ROUNDS = 8, 3
US, EU = "us-east-1", "eu-west-1"


def definition(regions: int, settings: str) -> Definition:
    named = ", ".join(f'"{name}"' for name in (US, EU)[:regions])
    return parse_definition(f"""
        [fabric]
        name = "shop"
        regions = [{named}]
        [streams.orders]
        lanes = {LANES}
        durability = "{"replicated" if regions > 1 else "regional"}"
        {settings}
        [subscriptions.all]
        stream = "orders"
        handler = "a:b"
    """)


def key_of(lane: int) -> str:
    return next(key for n in range(1_000) if lane_index(key := f"customer-{n}", LANES) == lane)


@pytest.mark.parametrize("settings", ["", "express = false"], ids=["express", "relay"])
@pytest.mark.parametrize("per_record", [1, 100])
@pytest.mark.parametrize("regions", [1, 2])
def test_the_prediction_is_what_the_local_fabric_counts(regions: int, per_record: int, settings: str) -> None:
    keys = [key_of(lane) for lane in range(LANES)]
    data = [{"order": f"A-{n:05d}", "total": n * 1.07, "note": "as usual"} for n in range(per_record)]
    clock = LocalClock()
    with LocalFabric(
        definition(regions, settings), handlers={"all": lambda event, delivery: None}, clock=clock
    ) as fabric:
        for _ in range(ROUNDS):
            events = [Event(key=key, type="placed", data=data_item) for key in keys for data_item in data]
            fabric.region(US).publish_many("orders", events)
            fabric.settle()
            clock.advance(60)
        calls, units = fabric.meter.calls, fabric.meter.units
        log = fabric.ports(US).log_of(fabric.topology.stream("orders"))
        (record,) = log.read(
            Lane(Region(US), Generation(0), LaneIndex(0)), SequenceNumber(0), records_max=1
        ).records
        handled = len(fabric.subscription("all").handled())
        counted = {
            Prices.WRITE_UNIT: units[Prices.WRITE_UNIT],
            # Beside what is published: tails that this producer had not seen.
            Prices.READ_UNIT: units[Prices.READ_UNIT] - LANES,
            # Each batch that was received is deleted; receives of nothing are the idle polls.
            Prices.QUEUE_REQUEST: calls["SendMessageBatch"] + 2 * calls["DeleteMessageBatch"],
            Prices.INVOCATION: fabric.invocations,
        }
        topology = fabric.topology
    assert handled == ROUNDS * LANES * per_record
    load = Load(
        events_per_second=LANES * per_record / 60,
        event_bytes=len(record.payload) / per_record,
        events_per_record=per_record,
        records_per_poll=LANES,
        doorbells_per_batch=LANES,
        runs_per_standing=LANES,
    )
    prediction = predict(topology, topology.stream("orders"), load)
    for price, count in counted.items():
        predicted = prediction.count(price) / 1_000_000 * handled
        assert count == pytest.approx(predicted, rel=0.1), price


def test_an_idle_pass_is_what_the_local_fabric_counts() -> None:
    clock = LocalClock()
    with LocalFabric(
        definition(2, ""), handlers={"all": lambda event, delivery: None}, clock=clock
    ) as fabric:
        for region in (US, EU):
            events = [Event(key=key_of(lane), type="placed", data={}) for lane in range(LANES)]
            fabric.region(region).publish_many("orders", events)
        fabric.settle()
        reconcile = fabric.topology.reconcile_function(US)
        for number in range(2 + PASSES_AT_REST):
            if number == 2:  # the first two note what they see
                fabric.meter.units.clear()
                fabric.meter.calls.clear()
            clock.advance(60 * RECONCILE_MINUTES)
            fabric.invoke(reconcile, {})
        work = pass_work(fabric.topology, fabric.topology.stream("orders"), US)
        # Of items that are got, the meter counts the calls.
        reads = fabric.meter.units[Prices.READ_UNIT] + fabric.meter.calls["GetItem"]
        assert reads == pytest.approx(PASSES_AT_REST * (work.reads + work.far_reads))
        replicas = len(fabric.topology.ledger.regions)
        writes = fabric.meter.units[Prices.WRITE_UNIT] * replicas
        assert writes == pytest.approx(PASSES_AT_REST * work.writes, rel=0.1)


class TestTheCommand:
    """`eventfabric cost`."""

    @pytest.fixture
    def cli(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
        return CommandLine(capsys, monkeypatch)

    def test_it_says_what_each_part_and_all_of_it_costs(self, cli: CommandLine) -> None:
        result = cli.run("cost", "--events-per-second", "500", "--batch", "100", "--json")
        (price,) = result.json["streams"]
        assert (result.code, price["stream"]) == (0, "orders")
        parts = sum(line["dollars_per_million_events"] for line in price["lines"])
        assert price["dollars_per_million_events"] == pytest.approx(parts, abs=1e-4)
        idle = result.json["idle"]
        parts = sum(line["dollars_per_month"] for line in idle["lines"])
        assert price["dollars_per_month"] > idle["dollars_per_month"] == pytest.approx(parts, abs=0.01)
        assert {line["part"] for line in result.json["busy_metrics"]} == {"metrics"}
        assert {line["part"] for line in result.json["gigabytes"]} == {"tables", "reconcile", "logs"}

    def test_for_people_it_is_a_table_and_a_sentence(self, cli: CommandLine) -> None:
        out = cli.run("cost", "--stream", "orders").out
        assert out.index("for an idle month") < out.index("records put")
        *_, sentence, not_counted = out.splitlines()
        assert "a month at 10 events/s" in sentence
        assert "provisioned_pollers" in not_counted

    def test_a_sample_is_packed_in_place_of_a_guess(self, cli: CommandLine) -> None:
        (first,), (many,) = (
            cli.run("cost", "--sample", "infra/sample/events.jsonl", "--batch", batch, "--json").json[
                "streams"
            ]
            for batch in ("1", "100")
        )
        assert many["event_bytes_stored"] < first["event_bytes_stored"] / 2

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--stream", "nope"], "stream"),
            (["--sample", "no/such/file"], "found no file no/such/file"),
            (["--sample", "README.md"], "line 1"),
            (["--batch", "0"], "--batch"),
            (["--events-per-second", "0"], "--events-per-second"),
        ],
    )
    def test_wrong_input_is_refused(self, cli: CommandLine, arguments: list[str], message: str) -> None:
        result = cli.run("cost", *arguments)
        assert (result.code, result.out) == (2, "")
        assert message in result.err

    def test_a_sample_without_an_event_is_reported(self, cli: CommandLine, tmp_path: Path) -> None:
        empty = tmp_path / "empty.jsonl"
        empty.write_text("\n")
        assert "holds no event" in cli.run("cost", "--sample", empty).err
