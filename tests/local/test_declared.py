"""Producers that know the fabric's name: whatever a file says, they publish as it is deployed."""

from dataclasses import replace
from pathlib import Path

import pytest

from eventfabric import Delivery, Event, Fabric
from eventfabric.definition.file import parse_definition
from eventfabric.errors import SettingError, UnknownStreamError
from eventfabric.local import LocalFabric
from eventfabric.model import Region
from eventfabric.model.catalogue import State
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS
from eventfabric.settings import fabric_named

US, EU = "us-east-1", "eu-west-1"
KEYS = [f"key-{number}" for number in range(40)]


def ignore(event: Event, delivery: Delivery) -> None:
    """Handle by doing nothing."""


def definition(lanes: int) -> str:
    return f"""
[fabric]
name = "shop"
stage = "dev"
regions = ["{US}", "{EU}"]
[streams.orders]
lanes = {lanes}
[subscriptions.billing]
stream = "orders"
handler = "a:b"
"""


@pytest.mark.parametrize(("deployed", "edited"), [(4, 2), (2, 8)])
def test_lanes_that_were_edited_but_not_deployed_lose_and_reorder_nothing(
    deployed: int, edited: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "fabric.toml"
    file.write_text(definition(edited))
    monkeypatch.chdir(tmp_path)
    with LocalFabric(parse_definition(definition(deployed)), handlers={"billing": ignore}) as local:
        elsewhere = [
            local.region(US),
            Fabric.from_definition(file, region=US),
            Fabric.connect(region=US),
            Fabric.connect("shop_dev", region=US),
        ]
        for key in KEYS:
            receipts = [
                producer.publish("orders", key=key, type="Placed", id=f"{key}-{number}")
                for number, producer in enumerate(elsewhere)
            ]
            assert len({receipt.lane for receipt in receipts}) == 1
            assert receipts[0].lane.index < deployed
        local.settle()
        handled = [str(entry.event.id) for entry in local.subscription("billing").handled()]
        assert sorted(handled) == sorted(f"{key}-{number}" for key in KEYS for number in range(4))
        assert [id_ for id_ in handled if id_.startswith("key-7-")] == [
            f"key-7-{number}" for number in range(4)
        ]


def test_a_name_or_region_that_is_not_there_is_said_at_the_first_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with LocalFabric(parse_definition(definition(1)), handlers={"billing": ignore}):
        for producer, stream in (
            (Fabric.connect("shop", region=US), "orders"),  # without its stage
            (Fabric.connect("shop_dev", region=US), "order"),
            (Fabric.connect("shop_dev", region="ap-south-1"), "orders"),
        ):
            with pytest.raises(
                UnknownStreamError, match=f"Region {producer.region} has no table {producer.name}-"
            ):
                producer.publish(stream, key="k", type="Placed")
        monkeypatch.setenv("EVENTFABRIC_STAGE", "dev")
        assert Fabric.connect("shop", region=US).publish("orders", key="k", type="Placed").sequence == 0
        monkeypatch.delenv("AWS_REGION", raising=False)
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
        with pytest.raises(SettingError, match="region: found None, allowed: region="):
            Fabric.connect("shop")
        with pytest.raises(SettingError, match=r"failover\[1\]"):
            Fabric.connect("shop", region=US, failover=[EU, EU])


@pytest.mark.parametrize(
    "name", ["", "Shop", "shop-", "shop_", "shop_De", "shop_dev_x", "_dev", "a/b", "x" * 100]
)
def test_what_names_no_fabric_is_refused(name: str) -> None:
    if name == "shop-":
        assert fabric_named(name, {}) == name  # as a definition has it
    else:
        with pytest.raises(SettingError, match="fabric: found"):
            fabric_named(name, {})


def test_a_stage_in_the_name_counts_more_than_that_of_the_environment() -> None:
    assert fabric_named("shop", {}) == "shop"
    assert fabric_named("shop", {"EVENTFABRIC_STAGE": "dev"}) == "shop_dev"
    assert fabric_named("shop_prod", {"EVENTFABRIC_STAGE": "dev"}) == "shop_prod"


def test_what_is_retired_is_delivered_no_more_and_begins_anew_under_its_name() -> None:
    with LocalFabric(parse_definition(definition(4)), handlers={"billing": ignore}) as local:
        producer = local.region(US)
        deployers = [
            Deployer(local.topology, Region(name), local.ports(name), "test", "one") for name in (US, EU)
        ]

        def publish(name: str) -> list[str]:
            producer.publish("orders", key="a", type="Placed", id=name)
            local.settle()
            return [str(entry.event.id) for entry in local.subscription("billing").handled()]

        assert publish("before") == ["before"]
        for deployer in deployers:
            deployer.declare_state(local.topology.stream("orders"), "billing", State.RETIRED)
        local.run_for(CATALOGUE_SECONDS + 1)
        assert publish("after") == ["before"]
        for deployer in deployers:
            declare_all(replace(deployer, request_id="two"))
        local.run_for(CATALOGUE_SECONDS + 1)
        # The new life of the name has no cursor yet, and begins with the first event.
        assert publish("again") == ["before", "before", "after", "again"]
