"""Regions that are lost and come back, and lanes that are handed over, on the local fabric."""

from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

import boto3
import pytest

from eventfabric import Delivery, Event
from eventfabric.aws.ledger import AwsLedger
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition
from eventfabric.errors import FailoverError, OutcomeUnknownError
from eventfabric.model import EMPTY_TAIL, LaneKey, Parked, Region, StreamName, SubscriptionName
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.testing.local.replicator import Replication
from eventfabric.wire.keys import circuit_key
from tests.support.command_line import CommandLine
from tests.support.messages import missing_from

US, EU = "us-east-1", "eu-west-1"


def definition(deliver: str = "origin") -> Definition:
    return parse_definition(f"""
        [fabric]
        name = "shop"
        regions = ["{US}", "{EU}"]
        [streams.orders]
        lanes = 4
        [streams.local]
        regions = ["{US}"]
        durability = "regional"
        [subscriptions.all]
        stream = "orders"
        handler = "subscribers.any:handle"
        deliver = "{deliver}"
        [subscriptions.near]
        stream = "local"
        handler = "subscribers.any:handle"
    """)


def handle(event: Event, delivery: Delivery) -> None:
    if event.id in delivery_fails:
        raise ValueError(event.id)


delivery_fails: set[str | None] = set()
HANDLERS = {"all": handle, "near": handle}


@pytest.fixture
def fabric() -> Iterator[LocalFabric]:
    delivery_fails.clear()
    with LocalFabric(definition(), handlers=HANDLERS) as fabric:
        yield fabric


def publish(fabric: LocalFabric, names: range, *, region: str = US) -> None:
    for number in names:
        fabric.region(region).publish("orders", key=f"k{number % 5}", type="Placed", id=f"{region}-{number}")


def handled(fabric: LocalFabric, region: str | None = None) -> list[str | None]:
    return [entry.event.id for entry in fabric.subscription("all").handled(region)]


def check_order(fabric: LocalFabric) -> None:
    """In each Region, the events of a key by their sequence; what a takeover repeats begins again behind them."""
    for region in fabric.regions:
        last: dict[tuple[str, str], int] = {}
        for entry in fabric.subscription("all").handled(region):
            place = (str(entry.event.lane), entry.event.key)
            assert (entry.event.sequence or 0) > last.get(place, -1)
            last[place] = entry.event.sequence or 0


def check_replicas(fabric: LocalFabric) -> None:
    stream = fabric.topology.stream("orders")
    logs = [fabric.ports(region).log_of(stream) for region in fabric.regions]
    tails = [{lane: log.tail(lane) for lane in lanes_of(stream)} for log in logs]
    assert tails[0] == tails[1]
    assert any(tail != EMPTY_TAIL for tail in tails[0].values())


def test_a_planned_failover_and_its_failback_lose_and_repeat_nothing(fabric: LocalFabric) -> None:
    publish(fabric, range(10))
    fabric.settle()
    publish(fabric, range(10, 20))
    fabric.failover(US, EU)
    publish(fabric, range(20, 30))
    fabric.settle(timers=True)
    assert len(handled(fabric, US)) == 20
    publish(fabric, range(30, 35))
    fabric.failback(US)
    publish(fabric, range(35, 40))
    fabric.settle(timers=True)
    assert Counter(handled(fabric)) == {f"{US}-{number}": 1 for number in range(40)}
    assert set(handled(fabric, US)) >= {f"{US}-{number}" for number in range(35, 40)}
    check_order(fabric)
    check_replicas(fabric)


def test_parked_and_dead_keys_move_too(fabric: LocalFabric) -> None:
    delivery_fails.add(f"{US}-0")
    publish(fabric, range(10))
    fabric.settle()
    fabric.failover(US, EU)
    delivery_fails.clear()
    fabric.settle(timers=True)
    assert Counter(handled(fabric)) == {f"{US}-{number}": 1 for number in range(10)}
    assert handled(fabric, EU) == [f"{US}-0", f"{US}-5"]


def test_a_key_that_was_parked_and_freed_is_in_nobodys_way(fabric: LocalFabric) -> None:
    delivery_fails.add(f"{US}-1")
    publish(fabric, range(4))
    fabric.settle()
    assert (
        [parked.state for parked in parked_in(fabric, US)]
        == [parked.state for parked in parked_in(fabric, EU)]
        != []
    )
    delivery_fails.clear()
    fabric.settle(timers=True)
    assert parked_in(fabric, US) == parked_in(fabric, EU) == []
    fabric.failover(US, EU)
    publish(fabric, range(4, 8))
    fabric.settle()
    assert all(proof.is_proven for proof in fabric.subscription("all").prove(EU))


def parked_in(fabric: LocalFabric, region: str) -> list[Parked]:
    """Return what a Region knows of the keys that the first Region has parked."""
    stream, ledger = fabric.topology.stream("orders"), fabric.ports(region).ledger
    keys = [LaneKey(StreamName("orders"), SubscriptionName("all"), lane) for lane in lanes_of(stream)]
    return [parked for key in keys for parked in ledger.state(key).parked.get(Region(US), {}).values()]


@pytest.mark.parametrize("seed", range(6))
def test_a_region_that_is_lost_in_the_middle_of_load_loses_nothing(seed: int) -> None:
    delivery_fails.clear()
    replication = Replication(0.0, 4.0)
    with LocalFabric(definition(), handlers=HANDLERS, replication=replication, seed=seed) as fabric:
        for number in range(0, 60, 3):
            publish(fabric, range(number, number + 3))
            publish(fabric, range(number, number + 1), region=EU)
            for _ in range(seed):
                fabric.step()
            fabric.clock.advance(seconds=0.3)
        fabric.faults.stop(US)
        fabric.failover(US, EU, drain=False)
        publish(fabric, range(100, 120), region=EU)
        fabric.settle(timers=True)
        fabric.faults.heal()
        publish(fabric, range(200, 210))
        fabric.settle(timers=True)
        fabric.failback(US)
        fabric.settle(timers=True)
        acknowledged = {f"{US}-{n}" for n in [*range(60), *range(200, 210)]}
        acknowledged |= {f"{EU}-{n}" for n in [*range(0, 60, 3), *range(100, 120)]}
        assert set(handled(fabric)) == acknowledged
        check_order(fabric)
        check_replicas(fabric)


def test_what_one_region_alone_has_is_not_handed_over(fabric: LocalFabric) -> None:
    fabric.failover(US, EU)
    fabric.region(US).publish("local", key="a", type="Placed", id="near")
    fabric.settle(timers=True)
    assert [entry.event.id for entry in fabric.subscription("near").handled()] == ["near"]


@pytest.mark.parametrize(
    ("source", "message"), [(EU, "allowed: another Region"), ("ap-south-1", "allowed: one of fabric shop")]
)
def test_a_failover_that_makes_no_sense_is_refused(fabric: LocalFabric, source: str, message: str) -> None:
    with pytest.raises(FailoverError, match=message):
        fabric.failover(source, EU)


def test_a_failover_to_where_the_data_is_not_is_refused() -> None:
    definition = parse_definition(f"""
        [fabric]
        name = "shop"
        regions = ["{US}", "{EU}"]
        [streams.a]
        regions = ["{US}"]
        durability = "regional"
        [streams.b]
        regions = ["{EU}"]
        durability = "regional"
        [subscriptions.all]
        stream = "a"
        handler = "subscribers.any:handle"
    """)
    with (
        LocalFabric(definition, handlers={"all": handle}) as fabric,
        pytest.raises(FailoverError, match="the data is not where"),
    ):
        fabric.failover(US, EU)


def test_a_failover_waits_for_replication_and_goes_back_where_that_does_not_come(fabric: LocalFabric) -> None:
    fabric.settle()
    fabric.faults.cut(US, EU)
    publish(fabric, range(3))
    with pytest.raises(FailoverError, match="not in eu-west-1"):
        fabric.failover(US, EU)
    fabric.faults.heal()
    publish(fabric, range(3, 6))
    fabric.settle(timers=True)
    assert len(handled(fabric, US)) == 6
    assert handled(fabric, EU) == []


@pytest.mark.parametrize("seed", range(3))
def test_with_a_quorum_nothing_that_was_committed_is_handled_again(seed: int) -> None:
    strict = parse_definition(f"""
        [fabric]
        name = "shop"
        regions = ["{US}", "{EU}", "ap-northeast-1"]
        [streams.orders]
        lanes = 4
        durability = "quorum"
        [subscriptions.all]
        stream = "orders"
        handler = "subscribers.any:handle"
    """)
    delivery_fails.clear()
    with LocalFabric(strict, handlers={"all": handle}, seed=seed) as fabric:
        delivery_fails.add(f"{US}-3")
        publish(fabric, range(15))
        for _ in range(4 + seed):
            fabric.step()
        fabric.faults.stop(US)
        fabric.failover(US, EU, drain=False)
        fabric.settle()
        delivery_fails.clear()
        fabric.settle(timers=True)
        assert Counter(handled(fabric)) == {f"{US}-{number}": 1 for number in range(15)}
        assert handled(fabric, EU)
        fabric.faults.heal()
        publish(fabric, range(15, 18))
        fabric.settle(timers=True)
        assert Counter(handled(fabric)) == {f"{US}-{number}": 1 for number in range(18)}
        check_order(fabric)


def test_by_the_command_line(cli: CommandLine, endpoint: str) -> None:
    options, there = ("--endpoint-url", endpoint), ("--from", US, "--to", EU)
    cli.run("publish", "orders", "--key", "a", "--type", "OrderPlaced", *options)
    report = cli.run("failover", *there, "--dry-run", *options, "--json").json
    billing = next(r for r in report["readiness"] if r["subscription"] == "billing")
    assert (billing["origin"], billing["owner"]) == (US, US)
    epoch = billing["epoch"] + 1
    assert billing["waiting"] + billing["not_replicated"] == 1
    assert billing["handled_again"] == 0
    done = cli.run("failover", *there, "--no-drain", "--yes", "--reason", "a drill", *options, "--json").json
    assert {"origin": US, "owner": EU, "epoch": epoch} in done["handed_over"]
    assert "nothing to hand over" in cli.refused("failover", *there, "--dry-run", *options, code=1)
    listed = cli.run("subscriptions", "list", "--region", EU, *options, "--json").json["billing"]["owners"][
        US
    ]
    assert (listed["region"], listed["epoch"], listed["reason"]) == (EU, epoch, "a drill")
    assert listed["since_ms"] > 0
    output = cli.run("subscriptions", "list", "--region", EU, *options).out
    assert missing_from(output, "billing", f"events of {US}", f"delivered by {EU}") == []
    back = cli.run("failback", US, "--no-drain", "--yes", *options)
    assert (back.code, "handovers written" in back.out) == (0, True)


@pytest.mark.parametrize(
    ("error", "code"), [(OutcomeUnknownError("hand over", "no reply"), 1), (KeyboardInterrupt(), 130)]
)
def test_what_was_handed_over_before_an_error_is_reported(
    cli: CommandLine, endpoint: str, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    hand_over, calls = AwsLedger.hand_over, count(1)

    def second_fails(*arguments: Any) -> Any:
        if next(calls) == 2:
            raise error
        return hand_over(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(AwsLedger, "hand_over", second_fails)
        ended = cli.run(
            *(
                "failover",
                "--from",
                US,
                "--to",
                EU,
                "--no-drain",
                "--yes",
                "--json",
                "--endpoint-url",
                endpoint,
            )
        )
    assert ended.code == code
    assert [owner["owner"] for owner in ended.json["handed_over"]] == [EU]
    assert f"1 of {len(ended.json['readiness'])} handovers were written" in ended.err
    assert cli.run("failback", US, "--no-drain", "--yes", "--endpoint-url", endpoint).code == 0


def test_what_is_left_out_because_it_cannot_be_read_is_named_and_the_rest_is_handed_over(
    cli: CommandLine, endpoint: str
) -> None:
    there = ("--no-drain", "--yes", "--json", "--endpoint-url", endpoint)
    key = circuit_key(StreamName("orders"), SubscriptionName("billing"), Region(EU))
    client: Any = boto3.client(
        "dynamodb", EU, endpoint_url=endpoint, aws_access_key_id="local", aws_secret_access_key="local"
    )
    client.put_item(TableName="shop-ledger", Item={**key, "f": {"S": "{]"}, "v": {"N": "1"}})
    ended = cli.run("failover", "--from", US, "--to", EU, *there)
    client.delete_item(TableName="shop-ledger", Key=key)
    assert (ended.code, missing_from(ended.err, "billing", "left out")) == (1, [])
    names = [ready["subscription"] for ready in ended.json["readiness"]]
    assert (len(ended.json["handed_over"]), "billing" in names) == (len(names), False)
    assert cli.run("failback", US, *there).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("failover", "--from", US, "--to", US), 2, "another Region than the source"),
        (("failover", "--from", "mars-north-1", "--to", EU), 2, "Region mars-north-1"),
        (("failover", "--from", US, "--to", "mars-north-1"), 2, "mars-north-1"),
        (("failover", "--from", US, "--to", EU, "--json"), 2, "--json needs --dry-run or --yes"),
        (("failback", EU, "--dry-run"), 1, "nothing to hand over"),
    ],
    ids=["itself", "no source", "no target", "json", "nothing"],
)
def test_wrong_input_changes_nothing(
    cli: CommandLine, endpoint: str, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    result = cli.run(*arguments, "--endpoint-url", endpoint)
    assert (result.code, complaint in result.err) == (code, True)
