"""A stuck lane, handled by the runbook: the person on call sees it, finds the cause, repairs it, and it goes on."""

from typing import Any

from eventfabric.wire.keys import PK, SK
from tests.local.commanded_fabric import LANE, US, CommandedFabric


def item_at(shop: CommandedFabric, place: str) -> dict[str, Any]:
    key = {PK: {"S": str(LANE)}, SK: {"N": place.partition("@")[2]}}
    item = shop.server.clients[US].dynamodb.get_item(TableName="shop-orders", Key=key)
    return dict(item["Item"])


def test_a_lane_that_is_stuck_is_found_and_goes_on_once_it_is_mended(shop: CommandedFabric) -> None:
    shop.publish("a0")
    shop.deliver()
    first, *_ = shop.publish("a1", "a2", "a3")
    lost, dynamodb = item_at(shop, first), shop.server.clients[US].dynamodb
    dynamodb.delete_item(TableName="shop-orders", Key={PK: lost[PK], SK: lost[SK]})

    lagging = shop.cli.run("lanes", "--subscription", "billing", "--lagging", *shop.options, "--json").json
    assert [(lane["lane"], lane["lag"]) for lane in lagging["lanes"]] == [(str(LANE), 3)]
    run = shop.cli.run("reconcile", *shop.options)
    assert "hole" in run.out
    proof = shop.cli.run("prove", "billing", *shop.options)
    sequence = first.partition("@")[2]
    assert proof.code == 4
    assert f"stuck, hole at {sequence}: missing" in proof.out
    assert "1 of 1 lanes proven" in proof.out
    assert "1 of 1 lanes stuck: 3 events" in proof.out
    (lane,) = shop.cli.run("prove", "billing", *shop.options, "--json").json["lanes"]
    assert (lane["proven"], lane["waiting"], lane["stuck"]["kind"]) == (True, 3, "hole")

    dynamodb.put_item(TableName="shop-orders", Item=lost)
    shop.cli.run("lanes", "--subscription", "billing", "--lagging", "--ring", *shop.options)
    shop.deliver()
    mended = shop.cli.run("prove", "billing", *shop.options)
    assert (mended.code, "stuck" in mended.out) == (0, False)
    assert shop.recorder.ids()[-3:] == ["a1", "a2", "a3"]
