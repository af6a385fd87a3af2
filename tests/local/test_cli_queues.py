"""`eventfabric subscriptions` and `queues` against a fabric that runs as a server: pause, resume, ring again."""

from itertools import count

import pytest

from eventfabric.model import ANY_TAIL, Doorbell
from eventfabric.wire.doorbell import from_body, to_body
from tests.local.commanded_fabric import EU, LANE, US, CommandedFabric
from tests.support.messages import TextWith, missing_from

_numbers = count(1)


def queue_url(shop: CommandedFabric, name: str, region: str = US) -> str:
    return shop.server.clients[region].sqs.get_queue_url(QueueName=name)["QueueUrl"]


def send(shop: CommandedFabric, name: str, body: str, region: str = US) -> None:
    sqs, url = shop.server.clients[region].sqs, queue_url(shop, name, region)
    if name.endswith(".fifo"):
        group = body.replace(" ", "-")
        sqs.send_message(
            QueueUrl=url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=str(next(_numbers))
        )
    else:
        sqs.send_message(QueueUrl=url, MessageBody=body)


def taken(shop: CommandedFabric, name: str, region: str = US) -> list[str]:
    """The bodies of what a queue holds, which it does not hold any more."""
    sqs, url, bodies = shop.server.clients[region].sqs, queue_url(shop, name, region), []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            bodies.append(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return bodies


def rung(shop: CommandedFabric, subscription: str, region: str = US) -> list[Doorbell]:
    return [from_body(body) for body in taken(shop, f"shop-{subscription}.fifo", region)]


def bell(shop: CommandedFabric, again: int = 0, *, timer_of: str = "") -> str:
    return to_body(Doorbell(shop.key.stream, LANE, ANY_TAIL, again=again), timer_of=timer_of)


def test_a_paused_subscription_says_why_and_since_when_and_delivers_nothing_until_it_is_resumed(
    shop: CommandedFabric,
) -> None:
    def circuit() -> tuple[str, str, bool]:
        report = shop.cli.run("subscriptions", "list", *shop.options, "--json").json["billing"]
        return report["state"], report["reason"], report["since_ms"] > 0

    rung(shop, "billing")
    paused = shop.cli.run("subscriptions", "pause", "billing", "--reason", "a [b] migrates", *shop.options)
    assert (paused.code, paused.out, circuit()) == (
        0,
        TextWith("billing", "paused"),
        ("paused", "a [b] migrates", True),
    )
    output = shop.cli.run("subscriptions", "list", *shop.options).out
    assert "a [b] migrates" in output
    assert "everywhere" in output
    shop.publish("a1")
    shop.deliver()
    assert shop.recorder.ids() == []

    again = shop.cli.run("subscriptions", "pause", "billing", "--reason", "still", *shop.options, "--json")
    assert (again.json, circuit()[1]) == ({"subscription": "billing", "state": "paused"}, "still")
    resumed = shop.cli.run("subscriptions", "resume", "billing", *shop.options, "--json")
    assert (resumed.code, resumed.json) == (0, {"subscription": "billing", "state": "resumed"})
    assert circuit()[:2] == ("closed", "")
    assert [doorbell.lane for doorbell in rung(shop, "billing")] == [LANE]
    shop.deliver()
    assert shop.recorder.ids() == ["a1"]
    once_more = shop.cli.run("subscriptions", "resume", "billing", *shop.options)
    assert (once_more.code, once_more.out, rung(shop, "billing")) == (0, TextWith("billing", "resumed"), [])


def test_a_pause_is_of_one_region(shop: CommandedFabric) -> None:
    def states(region: str) -> dict[str, str]:
        reports = shop.cli.run("subscriptions", "list", "--region", region, *shop.options, "--json").json
        return {name: circuit["state"] for name, circuit in reports.items()}

    assert shop.cli.run("subscriptions", "pause", "everywhere", "--region", EU, *shop.options).code == 0
    assert states(EU) == {"everywhere": "paused"}
    assert states(US) == {"billing": "closed", "audit": "closed", "everywhere": "closed"}
    assert shop.cli.run("subscriptions", "resume", "everywhere", "--region", EU, *shop.options).code == 0
    assert states(EU) == {"everywhere": "closed"}


@pytest.mark.parametrize(
    "command", [("subscriptions", "pause"), ("subscriptions", "resume"), ("queues", "redrive")], ids=" ".join
)
@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (("nobody",), ["no subscription", "'nobody'", "audit, billing, everywhere"]),
        (("",), ["no subscription", "''", "audit, billing, everywhere"]),
        (("billing", "--region", EU), ["stream orders", f"not in Region {EU}", f"in: {US}"]),
        (("billing", "--region", "mars"), ["fabric shop", "not in Region mars", f"in: {US}, {EU}"]),
    ],
    ids=["unknown", "empty", "elsewhere", "nowhere"],
)
def test_a_subscription_or_region_that_is_none_is_refused_and_nothing_is_changed(
    shop: CommandedFabric, command: tuple[str, ...], arguments: tuple[str, ...], facts: list[str]
) -> None:
    assert missing_from(shop.refused(*command, *arguments, code=2), *facts) == []


def test_a_reason_that_is_no_text_is_kept_escaped(shop: CommandedFabric) -> None:
    assert shop.cli.run("subscriptions", "pause", "billing", "--reason", "caf\udce9", *shop.options).code == 0
    listed = shop.cli.run("subscriptions", "list", *shop.options, "--json").json
    assert listed["billing"]["reason"] == "caf\\udce9"
    assert shop.cli.run("subscriptions", "resume", "billing", *shop.options).code == 0


def test_dead_doorbells_are_counted_first_and_then_rung_again(shop: CommandedFabric) -> None:
    rung(shop, "billing")
    for again in range(12):
        send(shop, "shop-billing-dead.fifo", bell(shop, again))
    send(shop, "shop-timers-dead", bell(shop, timer_of="billing"))
    send(shop, "shop-timers-dead", bell(shop, timer_of="audit"))
    before = shop.everything()
    dry = shop.cli.run("queues", "redrive", "billing", "--dry-run", *shop.options)
    assert (dry.code, dry.out) == (
        0,
        TextWith("billing", "12 left", "timers of all subscriptions: 2 left"),
    )
    report = shop.cli.run("queues", "redrive", "--dry-run", *shop.options, "--json").json
    assert (report["redriven"], report["timers_waiting"]) == ({}, 2)
    assert (report["waiting"]["billing"], report["waiting"]["everywhere"]) == (12, 0)
    assert shop.everything() == before

    done = shop.cli.run("queues", "redrive", "billing", *shop.options, "--json")
    report = {"redriven": {"billing": 13}, "waiting": {"billing": 0}, "timers_waiting": 1}
    assert (done.code, done.json) == (0, report)
    assert {(doorbell.lane, doorbell.tail) for doorbell in rung(shop, "billing")} == {(LANE, ANY_TAIL)}
    assert taken(shop, "shop-billing-dead.fifo") == []
    shop.server.clients[US].sqs.purge_queue(QueueUrl=queue_url(shop, "shop-timers-dead"))
    assert shop.cli.run("queues", "redrive", "billing", *shop.options).out == TextWith(
        "billing", "0 doorbells", "timers of all subscriptions", "0 left"
    )


def test_what_is_no_doorbell_stays_in_the_dead_letter_queue(shop: CommandedFabric) -> None:
    send(shop, "shop-audit-dead.fifo", "no doorbell at all")
    send(shop, "shop-audit-dead.fifo", bell(shop))
    assert shop.cli.run("queues", "redrive", "audit", *shop.options).out == TextWith(
        "audit", "1 doorbells", "1 left", "timers of all subscriptions", "0 left"
    )
    assert [doorbell.lane for doorbell in rung(shop, "audit")] == [LANE]
    url = queue_url(shop, "shop-audit-dead.fifo")
    left = shop.server.clients[US].sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])[
        "Attributes"
    ]
    assert left["ApproximateNumberOfMessagesNotVisible"] == "1"
    shop.server.clients[US].sqs.purge_queue(QueueUrl=url)


def test_without_a_name_all_subscriptions_of_the_region_are_rung_for(shop: CommandedFabric) -> None:
    rung(shop, "everywhere", EU)
    send(shop, "shop-everywhere-dead.fifo", bell(shop), EU)
    result = shop.cli.run("queues", "redrive", "--region", EU, *shop.options, "--json")
    report = {"redriven": {"everywhere": 1}, "waiting": {"everywhere": 0}, "timers_waiting": 0}
    assert result.json == report
    assert len(rung(shop, "everywhere", EU)) == 1
