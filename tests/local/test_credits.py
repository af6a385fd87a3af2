"""Backpressure on the local fabric, over the real adapters: grants, producers that wait or are refused, and go on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from eventfabric import Delivery, Event
from eventfabric.definition.file import parse_definition
from eventfabric.deployment.people import publisher
from eventfabric.errors import BackpressureError, PublishFailedError
from eventfabric.model import LaneKey, Region, SequenceNumber, StreamName, SubscriptionName
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.testing.local.guard import acting
from tests.support.command_line import CommandLine

US, EU = Region("us-east-1"), Region("eu-west-1")
WINDOW = 4


def handle(event: Event, delivery: Delivery) -> None:
    """Handle by doing nothing."""


@contextmanager
def opened(
    keys: str = f"events_min = {WINDOW}",
    *,
    regions: str = f'"{US}"',
    stream: str = "",
    billing: str = "",
    more: str = "",
    file: Path | None = None,
    **handlers: Any,
) -> Iterator[LocalFabric]:
    """A fabric whose subscription `billing` holds producers back. `stream`, `billing`, `more`: in the definition.

    `file`: gets the definition.
    """
    text = f"""
        [fabric]
        name = "shop"
        regions = [{regions}]
        [streams.orders]
        lanes = 1
        {stream}
        [subscriptions.billing]
        {billing}
        stream = "orders"
        handler = "subscribers.billing:charge"
        backpressure = {{ {keys} }}
        {more}
    """
    if file is not None:
        file.write_text(text)
    with LocalFabric(parse_definition(text), handlers={"billing": handle, **handlers}) as fabric:
        table = {"AttributeName": "id", "AttributeType": "S"}
        fabric.client("dynamodb", US).create_table(
            TableName="theirs",
            AttributeDefinitions=[table],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield fabric


def begin(fabric: LocalFabric) -> None:
    """Have the first event delivered, so that the lane is granted for the first time, and let producers learn of it."""
    publish(fabric)
    fabric.settle()
    fabric.clock.advance(seconds=6)


def publish(fabric: LocalFabric, **event: Any) -> int:
    return fabric.region(US).publish("orders", key="k", type="Placed", **event).sequence


def publish_all(fabric: LocalFabric) -> BackpressureError:
    """Publish one by one as long as that is allowed."""
    for _ in range(100):
        try:
            publish(fabric)
        except BackpressureError as error:
            return error
    raise AssertionError("nobody is held back")


def items(fabric: LocalFabric, table: str) -> list[dict[str, Any]]:
    return list(fabric.client("dynamodb", US).scan(TableName=table)["Items"])


def drain(fabric: LocalFabric) -> None:
    """Deliver all that waits, and let producers read what is granted by then."""
    fabric.settle()
    fabric.clock.advance(seconds=2)


def test_producers_are_held_back_at_the_grant_and_go_on_once_the_consumer_has_drained_the_lane() -> None:
    with opened() as fabric:
        begin(fabric)
        refused = publish_all(fabric)
        log = fabric.ports(US).log_of(fabric.topology.stream("orders"))
        assert refused.grant == log.tail(refused.lane).sequence  # type: ignore[arg-type]  # it is a lane
        assert (refused.gates, refused.no_effect, refused.retryable) == (("billing",), True, True)
        assert 0 < refused.retry_after <= 1.25
        waiting = refused.grant
        drain(fabric)
        assert publish(fabric) == waiting
        fabric.settle()
        assert len(fabric.subscription("billing").handled()) == waiting + 1


def test_a_publisher_waits_for_the_consumer_and_each_event_is_delivered_once_and_in_order() -> None:
    with opened() as fabric:
        begin(fabric)
        clock_sleep: Callable[[float], None] = fabric.clock.sleep

        def sleep(seconds: float) -> None:
            clock_sleep(seconds)
            fabric.settle()

        fabric.clock.sleep = sleep  # type: ignore[method-assign]  # the consumer goes on while the producer waits
        with fabric.region(US).publisher("orders") as sender:
            pending = [
                sender.publish(key="k", type="Placed", data={"number": number}) for number in range(60)
            ]
        assert [receipt.result().sequence for receipt in pending] == list(range(1, 61))
        fabric.settle()
        handled = [entry.event.data for entry in fabric.subscription("billing").handled()]
        assert handled == [None, *({"number": number} for number in range(60))]


def test_a_publisher_that_must_not_wait_for_ever_names_what_was_not_published() -> None:
    with opened() as fabric:
        begin(fabric)
        with pytest.raises(PublishFailedError) as failed, fabric.region(US).publisher("orders") as sender:
            for _ in range(60):
                sender.publish(key="k", type="Placed")
        published = failed.value.published
        assert {type(error) for _, error in failed.value.failures} == {BackpressureError}
        assert published + len(failed.value.failures) == 60
        fabric.settle()
        assert len(fabric.subscription("billing").handled()) == 1 + published


def test_a_transaction_that_is_refused_wrote_nothing_at_all() -> None:
    with opened() as fabric:
        begin(fabric)
        publish_all(fabric)
        before, calls = items(fabric, "shop-orders"), fabric.meter.calls["TransactWriteItems"]
        transaction = fabric.region(US).transaction()
        transaction.put("theirs", {"id": "1"})
        transaction.publish("orders", key="k", type="Placed")
        with pytest.raises(BackpressureError):
            transaction.commit()
        with pytest.raises(BackpressureError):
            publish(fabric, id="one", once=True)
        assert (items(fabric, "theirs"), items(fabric, "shop-orders")) == ([], before)
        assert fabric.meter.calls["TransactWriteItems"] == calls
        drain(fabric)
        [receipt] = transaction.commit()
        assert [item["id"]["S"] for item in items(fabric, "theirs")] == ["1"]
        fabric.settle()
        assert len(fabric.subscription("billing").handled()) == receipt.sequence + 1


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_handler_that_publishes_is_held_back_and_loses_nothing(guarantee: str) -> None:
    def bill(event: Event, delivery: Delivery) -> None:
        delivery.publish("invoices", key=event.key, type="Billed")

    more = f"""
        [streams.invoices]
        lanes = 1
        [subscriptions.invoicing]
        stream = "orders"
        handler = "subscribers.billing:charge"
        guarantee = "{guarantee}"
        publishes = ["invoices"]
        [subscriptions.ledger]
        stream = "invoices"
        handler = "subscribers.billing:charge"
        backpressure = {{ events_min = 2, while_paused = "hold" }}
    """
    with opened("events_min = 1000", more=more, invoicing=bill, ledger=handle) as fabric:
        publish(fabric)
        fabric.settle(timers=True)
        fabric.operations(US).pause("ledger", "migrates")
        for _ in range(12):
            publish(fabric)
            fabric.run_for(1)
        records = [item for item in items(fabric, "shop-invoices") if item["pk"]["S"].startswith(f"{US}/")]
        [slot] = [item for item in items(fabric, "shop-ledger") if "ledger/credits/" in item["pk"]["S"]]
        assert sum(int(record["n"]["N"]) for record in records) == int(slot["0"]["N"]) < 13
        fabric.operations(US).resume("ledger")
        fabric.settle(timers=True)
        assert len(fabric.subscription("ledger").handled()) == 13
        assert fabric.subscription("invoicing").dead_letters() == []


def test_a_producer_without_the_right_to_read_what_is_granted_is_not_held_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with opened() as fabric:
        begin(fabric)
        policy = publisher(fabric.topology, fabric.topology.stream("orders"))
        without = [own for own in policy if not any("credits" in key for key in own.leading_keys)]
        with acting(without):
            for _ in range(10 * WINDOW):
                publish(fabric)
        assert [record.levelname for record in caplog.records if record.name == "eventfabric"] == ["WARNING"]
        assert fabric.guard.denied
        fabric.guard.denied.clear()
        with acting(policy):
            fabric.clock.advance(seconds=6)
            publish_all(fabric)
        assert not fabric.guard.denied


def test_what_is_granted_is_one_item_of_the_ledger_that_says_so_in_numbers() -> None:
    with opened() as fabric:
        begin(fabric)
        [item] = [item for item in items(fabric, "shop-ledger") if "/credits/" in item["pk"]["S"]]
        grant = int(item.pop("0")["N"])
        assert item == {"pk": {"S": f"orders/billing/credits/{US}/0"}, "sk": {"S": f"{US}/0"}}
        assert grant >= 1 + WINDOW
        assert not [item for item in items(fabric, "shop-orders") if "credits" in item["pk"]["S"]]


def test_who_opens_the_lanes_lets_producers_go_on_at_once() -> None:
    with opened() as fabric:
        begin(fabric)
        refused = publish_all(fabric)
        [lane] = lanes_of(fabric.topology.stream("orders"))
        key = LaneKey(StreamName("orders"), SubscriptionName("billing"), lane)
        assert refused.grant is not None
        fabric.ports(US).credits.grant(key, SequenceNumber(refused.grant + 10))
        fabric.clock.advance(seconds=2)
        assert publish_all(fabric).grant == refused.grant + 10


def test_while_the_subscription_is_paused_producers_go_on_from_where_lanes_end() -> None:
    with opened() as fabric:
        begin(fabric)
        fabric.operations(US).pause("billing", "migrates")
        fabric.clock.advance(seconds=60)
        grants = []
        for _ in range(4):
            grants.append(publish_all(fabric).grant or 0)
            drain(fabric)
        assert [later - earlier for earlier, later in pairwise(grants)] == [WINDOW] * 3
        assert len(fabric.subscription("billing").handled()) == 1


@pytest.mark.parametrize("deliver", ["one", "everywhere"])
def test_producers_obey_the_region_that_delivers_and_under_everywhere_their_own(deliver: str) -> None:
    billing = f'deliver = "{deliver}"' + (f'\nregion = "{EU}"' if deliver == "one" else "")
    with opened(regions=f'"{US}", "{EU}"', billing=billing) as fabric:
        begin(fabric)
        fabric.run_for(5)
        refused = publish_all(fabric)
        assert refused.grant is not None
        slots = [item for item in items(fabric, "shop-ledger") if "/credits/" in item["pk"]["S"]]
        granting = {item["sk"]["S"] for item in slots if item["pk"]["S"].endswith(f"/{US}/0")}
        assert granting == ({f"{EU}/0"} if deliver == "one" else {f"{US}/0", f"{EU}/0"})
        fabric.run_for(5)
        assert publish(fabric) == refused.grant


def test_a_quorum_stream_has_what_is_granted_in_its_own_ledger() -> None:
    regions = f'"{US}", "us-east-2", "us-west-2"'
    with opened(regions=regions, stream='durability = "quorum"') as fabric:
        begin(fabric)
        refused = publish_all(fabric)
        assert [item["sk"]["S"] for item in items(fabric, "shop-orders-ledger") if "0" in item] == [f"{US}/0"]
        drain(fabric)
        assert publish(fabric) == refused.grant


def test_the_command_line_says_who_holds_an_event_back(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    file = tmp_path / "fabric.toml"
    with opened(file=file) as fabric:
        begin(fabric)
        refused = publish_all(fabric)
        event = ("publish", "orders", "--key", "k", "--type", "Placed", "--region", US, "--definition", file)
        ran = cli.run(*map(str, event))
        assert ran.code == 1
        assert "billing" in ran.err
        assert str(refused.grant) in ran.err
        drain(fabric)
        assert cli.run(*map(str, event)).code == 0
