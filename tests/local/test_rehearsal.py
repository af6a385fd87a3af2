"""Deployments rehearsed in the local fabric: all that they would lose; and subscriptions that are ended there."""

from collections.abc import Iterator

import pytest

from eventfabric import Delivery, Event
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition
from eventfabric.errors import DeclarationRefusedError, DrainError, UnknownNameError
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS
from eventfabric.testing.local.fabric import LocalFabric

US, EU = "us-east-1", "eu-west-1"
FABRIC = f"""
[fabric]
name = "shop"
regions = ["{US}", "{EU}"]
"""
STREAM = """
[streams.orders]
lanes = 2
"""
BILLING, AUDIT = (
    f'[subscriptions.{name}]\nstream = "orders"\nhandler = "shop:handle"\n' for name in ("billing", "audit")
)


def handle(event: Event, delivery: Delivery) -> None:
    assert event.type == "placed"


def of(*parts: str) -> Definition:
    return parse_definition("".join(parts))


@pytest.fixture
def fabric() -> Iterator[LocalFabric]:
    handlers = {"billing": handle, "audit": handle}
    with LocalFabric(of(FABRIC, STREAM, BILLING, AUDIT), handlers=handlers) as fabric:
        yield fabric


def publish(fabric: LocalFabric) -> None:
    fabric.region(US).publish("orders", key="k", type="placed")


def refused(fabric: LocalFabric, *parts: str) -> list[str]:
    with pytest.raises(DeclarationRefusedError) as raised:
        fabric.check_deployment(of(*parts))
    return sorted({problem.path for problem in raised.value.problems})


def test_what_loses_nothing_is_not_refused(fabric: LocalFabric) -> None:
    publish(fabric)
    more = BILLING.replace("billing", "mailing") + "[streams.payments]\n"
    fabric.check_deployment(of(FABRIC, STREAM, BILLING, AUDIT))
    fabric.check_deployment(of(FABRIC, STREAM, BILLING, AUDIT, more))


def test_what_would_be_lost_is_refused_all_at_once(fabric: LocalFabric) -> None:
    fabric.check_deployment(of(FABRIC, STREAM.replace("2", "4"), BILLING, AUDIT))  # nothing was published yet
    publish(fabric)
    fabric.settle()
    one_region = FABRIC.replace(f', "{EU}"', "")
    assert refused(fabric, one_region, STREAM.replace("2", "4"), BILLING) == [
        "streams.orders.lanes",
        "streams.orders.regions",
        "subscriptions.audit",
    ]


def test_once_it_is_retired_a_subscription_may_go_and_gets_nothing_more(fabric: LocalFabric) -> None:
    publish(fabric)
    assert refused(fabric, FABRIC, STREAM, BILLING) == ["subscriptions.audit"]
    fabric.retire("audit")
    assert len(fabric.subscription("audit").handled()) == 1
    fabric.check_deployment(of(FABRIC, STREAM, BILLING))
    fabric.run_for(CATALOGUE_SECONDS)
    publish(fabric)
    fabric.settle()
    assert (len(fabric.subscription("audit").handled()), len(fabric.subscription("billing").handled())) == (
        1,
        2,
    )


def test_an_end_that_not_every_region_hears_of_says_so(fabric: LocalFabric) -> None:
    fabric.faults.stop(EU)
    with pytest.raises(DrainError, match=EU):
        fabric.retire("audit", drain=False)
    with pytest.raises(UnknownNameError, match="audits"):
        fabric.retire("audits")
