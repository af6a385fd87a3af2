"""The whole fabric in one process: publish in Regions, deliver by the real functions, fail and recover."""

import os
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import boto3
import pytest

from eventfabric import Delivery, Event, Fabric, subscriber
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition
from eventfabric.errors import (
    ContendedAppendError,
    HandlerError,
    SettingError,
    UnknownNameError,
    WrongRegionError,
)
from eventfabric.model import CircuitState
from eventfabric.telemetry import Metric
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.testing.local.replicator import Replication
from eventfabric.testing.local.server import PortInUseError, serve
from eventfabric.testing.local.settling import PROBED_IN_VAIN_SECONDS

US, EU = "us-east-1", "eu-west-1"
ROOT = Path(__file__).resolve().parents[2]


def definition(**changes: str) -> Definition:
    """A fabric with one stream and one subscription `all`; `changes` are further keys of the subscription."""
    keys = {"stream": '"orders"', "handler": '"subscribers.any:handle"', **changes}
    text = '[fabric]\nname = "shop"\nregions = ["us-east-1", "eu-west-1"]\n[streams.orders]\nlanes = 4\n'
    return parse_definition(text + "[subscriptions.all]\n" + "\n".join(f"{k} = {v}" for k, v in keys.items()))


def of_one_region() -> Definition:
    """Return the definition with a stream that only one of the Regions has."""
    read = definition()
    orders = replace(read.streams["orders"], regions=(US,), durability="regional")
    return replace(read, streams={"orders": orders})


def ignore(event: Event, delivery: Delivery) -> None:
    """Handle by doing nothing."""


def ids(fabric: LocalFabric, region: str | None = None) -> list[str | None]:
    return [entry.event.id for entry in fabric.subscription("all").handled(region)]


def test_an_event_reaches_the_subscription_in_the_region_where_it_was_published() -> None:
    with LocalFabric(definition(), handlers={"all": ignore}) as fabric:
        receipt = fabric.region(US).publish("orders", key="a", type="Placed", data={"n": 1})
        fabric.settle()
        (entry,) = fabric.subscription("all").handled()
        assert (entry.event.id, entry.region, entry.event.data) == (receipt.event_id, US, {"n": 1})
        assert (entry.event.origin, entry.event.lane, entry.event.sequence) == (
            US,
            receipt.lane,
            receipt.sequence,
        )


def test_everywhere_delivers_in_every_region_and_one_only_in_its_region() -> None:
    for deliver, expected in (
        ('"everywhere"', {US: 2, EU: 2}),
        ('"one"\nregion = "eu-west-1"', {US: 0, EU: 2}),
    ):
        with LocalFabric(definition(deliver=deliver), handlers={"all": ignore}) as fabric:
            for region in (US, EU):
                fabric.region(region).publish("orders", key="a", type="Placed")
            fabric.settle()
            assert {region: len(ids(fabric, region)) for region in (US, EU)} == expected


def test_a_filter_steps_over_other_types_and_the_cursor_passes_them() -> None:
    with LocalFabric(definition(types='["Placed"]'), handlers={"all": ignore}) as fabric:
        with fabric.region(US).publisher("orders") as publisher:
            for number in range(10):
                publisher.publish(key="a", type="Placed" if number % 2 else "Other", id=str(number))
        fabric.settle()
        assert ids(fabric) == ["1", "3", "5", "7", "9"]
        fabric.region(US).publish("orders", key="a", type="Placed", id="last")
        fabric.settle()
        assert ids(fabric) == ["1", "3", "5", "7", "9", "last"]


def test_a_failing_handler_stops_its_lane_at_the_event_until_it_succeeds() -> None:
    failures = 3

    def handle(event: Event, delivery: Delivery) -> None:
        nonlocal failures
        if event.id == "5" and failures:
            failures -= 1
            raise ValueError("not yet")

    with LocalFabric(definition(), handlers={"all": handle}) as fabric:
        fabric.region(US).publish_many(
            "orders", [Event(id=str(n), key="a", type="Placed") for n in range(10)]
        )
        fabric.settle()
        assert ids(fabric) == ["0", "1", "2", "3", "4"]
        fabric.settle(timers=True)
        assert ids(fabric) == [str(number) for number in range(10)]
        assert failures == 0


def test_every_region_proves_what_it_handled_and_what_not() -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        if event.id == f"{US} 3":
            raise ValueError("not yet")

    with LocalFabric(definition(deliver='"everywhere"'), handlers={"all": handle}) as fabric:
        for region in (US, EU):
            events = [Event(id=f"{region} {n}", key=f"k{n}", type="Placed") for n in range(10)]
            fabric.region(region).publish_many("orders", events)
        fabric.settle()
        proofs = fabric.subscription("all").prove()
        assert all(proof.is_proven for proof in proofs)
        assert sum(proof.events for proof in proofs) == 40
        excepted = [(proof.region, exemption.event_id) for proof in proofs for exemption in proof.exceptions]
        assert excepted == [(US, f"{US} 3"), (EU, f"{US} 3")]
        assert sum(proof.events for proof in fabric.subscription("all").prove(EU)) == 20


def test_exactly_once_writes_commit_with_the_cursor_and_a_refused_write_is_the_events_failure() -> None:
    refused = True

    def handle(event: Event, delivery: Delivery) -> None:
        condition = {"condition": "attribute_exists(pk)"} if event.id == "2" and refused else {}
        delivery.transaction.update("sums", {"pk": event.key}, "ADD n :one", values={":one": 1}, **condition)

    with LocalFabric(definition(guarantee='"exactly_once"'), handlers={"all": handle}) as fabric:
        client = fabric.client("dynamodb", US)
        client.create_table(
            TableName="sums",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        )
        events = [Event(id=str(n), key=f"key-{n}", type="Placed") for n in range(5)]
        for event in events:
            fabric.region(US).publish_many("orders", [event])
        fabric.settle()
        assert "2" not in ids(fabric)
        refused = False
        fabric.settle(timers=True)
        assert sorted(ids(fabric), key=str) == ["0", "1", "2", "3", "4"]
        rows = client.scan(TableName="sums")["Items"]
        assert sorted((row["pk"]["S"], row["n"]["N"]) for row in rows) == [
            (f"key-{n}", "1") for n in range(5)
        ]


def test_typed_and_batch_handlers_get_what_they_ask_for() -> None:
    @dataclass
    class Order:
        number: int

    seen: list[Any] = []

    def typed(order: Order, delivery: Delivery) -> None:
        seen.append((order, delivery.event.key, delivery.subscription, delivery.attempt))
        assert delivery.remaining_seconds > 0

    typed.__annotations__["order"] = Order
    with LocalFabric(definition(), handlers={"all": typed}) as fabric:
        fabric.region(US).publish("orders", key="a", type="Placed", data={"number": 7})
        fabric.settle()
    assert seen == [(Order(7), "a", "all", 1)]

    sizes: list[int] = []

    @subscriber(batch=4)
    def many(events: list[Event], delivery: Delivery) -> None:
        sizes.append(len(events))

    with LocalFabric(definition(), handlers={"all": many}) as fabric:
        fabric.region(US).publish_many("orders", [Event(key="a", type="Placed") for _ in range(10)])
        fabric.settle()
    assert sizes == [4, 4, 2]


def test_a_transaction_needs_the_exactly_once_guarantee() -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        with pytest.raises(HandlerError, match="exactly_once"):
            delivery.transaction.delete("any", {"pk": "x"})

    with LocalFabric(definition(), handlers={"all": handle}) as fabric:
        fabric.region(US).publish("orders", key="a", type="Placed")
        fabric.settle()
        assert len(ids(fabric)) == 1


def test_replicas_that_lag_and_reorder_change_nothing_in_what_each_region_sees() -> None:
    replication = Replication(delay_seconds_min=0.1, delay_seconds_max=60)
    with LocalFabric(
        definition(deliver='"everywhere"'), handlers={"all": ignore}, replication=replication, seed=3
    ) as fabric:
        for number in range(40):
            fabric.region(US).publish("orders", key=f"k{number % 3}", type="Placed", id=f"{number:02}")
        fabric.settle()
        assert len(ids(fabric, US)) == 40
        fabric.settle(timers=True)
        by_lane: defaultdict[str, list[str]] = defaultdict(list)
        for entry in fabric.subscription("all").handled(EU):
            by_lane[str(entry.event.lane)].append(str(entry.event.id))
        assert sum(len(lane) for lane in by_lane.values()) == 40
        assert all(lane == sorted(lane) for lane in by_lane.values())
        assert fabric.telemetry.sums[Metric.LANES_WAITING] > 0, (
            "the delays made no hole: the test shows nothing"
        )


def test_a_cut_holds_replication_back_until_it_heals() -> None:
    with LocalFabric(definition(deliver='"everywhere"'), handlers={"all": ignore}) as fabric:
        fabric.faults.cut(US, EU)
        fabric.region(US).publish("orders", key="a", type="Placed", id="1")
        fabric.settle(timers=True)
        assert (ids(fabric, US), ids(fabric, EU)) == (["1"], [])
        fabric.faults.heal()
        fabric.settle()
        assert ids(fabric, EU) == ["1"]


def test_a_stopped_region_takes_no_events_and_delivers_what_it_has_after_it_heals() -> None:
    with LocalFabric(definition(), handlers={"all": ignore}) as fabric:
        fabric.region(US).publish("orders", key="a", type="Placed", id="1")
        fabric.faults.stop(US)
        with pytest.raises(ContendedAppendError):
            fabric.region(US).publish("orders", key="other", type="Placed", id="2")
        fabric.settle(timers=True)
        assert ids(fabric) == []
        fabric.faults.heal()
        fabric.settle(timers=True)
        assert ids(fabric) == ["1"]


def test_unknown_names_are_refused_with_what_there_is() -> None:
    with LocalFabric(definition(), handlers={"all": ignore}) as fabric:
        with pytest.raises(UnknownNameError, match="Region us-east-1 has no table shop-order "):
            fabric.region(US).publish("order", key="a", type="Placed")
        with pytest.raises(WrongRegionError, match="us-east-1, eu-west-1"):
            fabric.region("ap-south-1")
        with pytest.raises(UnknownNameError, match="there are: all"):
            fabric.subscription("any")
        with pytest.raises(ValueError, match="ap-south-1"):
            fabric.faults.cut(US, "ap-south-1")
    with pytest.raises(UnknownNameError, match="there are: all"):
        LocalFabric(definition(), handlers={"none": ignore})


def test_only_the_chosen_regions_run() -> None:
    with LocalFabric(definition(deliver='"everywhere"'), handlers={"all": ignore}, regions=[EU]) as fabric:
        fabric.region(EU).publish("orders", key="a", type="Placed", id="1")
        fabric.settle()
        assert ids(fabric) == ["1"]
        with pytest.raises(WrongRegionError):
            fabric.region(US)
        assert fabric.operations(EU).reconcile("orders", repair=True, full=True) == []
        assert [proof.is_proven for proof in fabric.subscription("all").prove()] == [True]


@pytest.mark.parametrize(
    ("text", "regions", "error", "message"),
    [
        (definition(), ["ap-south-1"], WrongRegionError, "us-east-1, eu-west-1"),
        (definition(), [], SettingError, "at least one of us-east-1, eu-west-1"),
        (definition(deliver='"one"', region=f'"{US}"'), [EU], SettingError, "subscription all"),
        (of_one_region(), [EU], SettingError, "stream orders"),
    ],
    ids=["unknown", "none", "the one that delivers", "the stream's"],
)
def test_regions_that_a_fabric_cannot_run_in_alone_are_refused_at_once(
    text: Definition, regions: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        LocalFabric(text, handlers={"all": ignore}, regions=regions)


def test_it_has_settled_when_only_probes_of_an_open_circuit_are_left() -> None:
    def down(event: Event, delivery: Delivery) -> None:
        raise TimeoutError("what is downstream is down")

    with LocalFabric(definition(), handlers={"all": down}) as fabric:
        for key in "ab":
            fabric.region(US).publish("orders", key=key, type="Placed")
        began_ms = fabric.clock.now_ms()
        fabric.settle(timers=True)
        passed_seconds = (fabric.clock.now_ms() - began_ms) / 1000
        assert PROBED_IN_VAIN_SECONDS <= passed_seconds <= PROBED_IN_VAIN_SECONDS + 60
        assert fabric.subscription("all").circuit(US).state is CircuitState.OPEN
        assert fabric.subscription("all").dead_letters() == []


def test_an_outage_shorter_than_that_is_waited_out() -> None:
    def down_at_first(event: Event, delivery: Delivery) -> None:
        if fabric.clock.now_ms() < began_ms + 300_000:
            raise TimeoutError("what is downstream is down")

    with LocalFabric(definition(), handlers={"all": down_at_first}) as fabric:
        began_ms = fabric.clock.now_ms()
        for key in "ab":
            fabric.region(US).publish("orders", key=key, type="Placed", id=key)
        fabric.settle(timers=True)
        assert sorted(filter(None, ids(fabric))) == ["a", "b"]


def test_one_seed_gives_the_same_ids_twice() -> None:
    def run() -> list[str | None]:
        with LocalFabric(definition(), handlers={"all": ignore}, seed=5) as fabric:
            fabric.region(US).publish_many("orders", [Event(key=f"k{n}", type="Placed") for n in range(20)])
            fabric.settle()
            return ids(fabric)

    assert run() == run()


def test_the_server_shows_the_fabric_to_any_sdk__and_takes_what_others_publish(tmp_path: Path) -> None:
    path = tmp_path / "fabric.toml"
    path.write_text(
        '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\nlanes = 4\n'
        '[subscriptions.all]\nstream = "orders"\nhandler = "subscribers.any:handle"\n'
    )
    ready, stop = Flag(), Flag()
    endpoints: list[str] = []

    def on_ready(endpoint_url: str, fabric: LocalFabric) -> None:
        endpoints.append(endpoint_url)
        ready.set()

    server = Thread(
        target=serve, args=(path,), kwargs={"on_ready": on_ready, "stop": stop, "delivers": False}
    )
    server.start()
    try:
        assert ready.wait(30)
        session = boto3.Session("any", "any", region_name=US)
        with pytest.raises(PortInUseError):
            serve(path, port=int(endpoints[0].rpartition(":")[2]))
        fabric = Fabric.from_definition(path, session=session, endpoint_url=endpoints[0])
        receipt = fabric.publish("orders", key="a", type="Placed", data={"n": 1})
        tables = session.client("dynamodb", endpoint_url=endpoints[0])
        items = tables.query(
            TableName="shop-orders",
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": str(receipt.lane)}},
        )["Items"]
        assert [item["sk"]["N"] for item in items] == ["0"]
        for path_, sent in (("/moto-api/reset", b"x=1"), ("/", b"Action=PurgeQueue"), ("/moto-api/", None)):
            with pytest.raises(HTTPError, match="403"):  # as a page's form, or image, would ask
                urlopen(endpoints[0] + path_, data=sent, timeout=10)
        assert tables.list_tables()["TableNames"]
    finally:
        stop.set()
        server.join(30)
    assert not server.is_alive()


def test_no_client_that_is_made_meanwhile_can_reach_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "https://real.example")
    seen: list[dict[str, str]] = []

    def look(event: Event, delivery: Delivery) -> None:
        seen.append({name: value for name, value in os.environ.items() if name.startswith("AWS_")})

    with LocalFabric(ROOT / "infra/fabric.toml", handlers={"shipping": look}) as fabric:
        fabric.region(US).publish("orders", key="c", type="PaymentReceived")
        while fabric.step():
            pass
    (environment,) = seen
    assert environment["AWS_SECRET_ACCESS_KEY"] != "real"
    assert environment["AWS_REGION"] == US
    assert "AWS_PROFILE" not in environment
    assert not [name for name, value in environment.items() if "real" in value]
    assert os.environ["AWS_PROFILE"] == "production"
