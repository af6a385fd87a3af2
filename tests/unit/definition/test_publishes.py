"""Streams into which subscriptions publish: what a definition may say, and what follows from it."""

from collections.abc import Callable

import pytest

from eventfabric.definition.circles import circles, published_by_each_region
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition, from_json, to_json
from eventfabric.deployment.permissions import Resource, Statement, of_function
from eventfabric.errors import DefinitionError
from eventfabric.topology import Topology

US, EU = "us-east-1", "eu-west-1"


def parsed(streams: str, **subscriptions: str) -> Definition:
    tables = "\n".join(
        f'[subscriptions.{name}]\nhandler = "subscribers.any:handle"\n{keys}'
        for name, keys in subscriptions.items()
    )
    return parse_definition(
        f'[fabric]\nname = "shop"\nregions = ["{US}", "{EU}"]\n[streams.orders]\n{streams}\n{tables}'
    )


def refused(make: Callable[[], Definition]) -> list[tuple[str, str]]:
    with pytest.raises(DefinitionError) as raised:
        make()
    return [(problem.path, problem.found) for problem in raised.value.problems]


def test_the_target_must_be_a_stream_and_stand_there_once() -> None:
    keys = 'stream = "orders"\npublishes = ["invoice", "orders", "orders"]'
    assert refused(lambda: parsed("[streams.invoices]", billing=keys)) == [
        ("subscriptions.billing.publishes[0]", '"invoice"'),
        ("subscriptions.billing.publishes[2]", '"orders" again'),
    ]


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_the_target_must_be_wherever_the_subscription_may_deliver(guarantee: str) -> None:
    keys = f'stream = "orders"\nguarantee = "{guarantee}"\npublishes = ["invoices"]'
    here = f'[streams.invoices]\ndurability = "regional"\nregions = ["{US}"]'
    assert refused(lambda: parsed(here, billing=keys)) == [
        ("subscriptions.billing.publishes[0]", f'"invoices", which is in {US}')
    ]


def test_only_exactly_once_needs_a_target_with_transactions() -> None:
    def make(guarantee: str) -> Definition:
        return parse_definition(f"""
            [fabric]
            name = "shop"
            regions = ["us-east-1", "us-east-2", "us-west-2"]
            [streams.orders]
            [streams.invoices]
            durability = "quorum"
            [subscriptions.billing]
            stream = "orders"
            handler = "subscribers.any:handle"
            guarantee = "{guarantee}"
            publishes = ["invoices"]
        """)

    assert make("at_least_once").subscriptions["billing"].publishes == ("invoices",)
    assert refused(lambda: make("exactly_once")) == [("subscriptions.billing.publishes[0]", '"invoices"')]


def test_it_ships_with_the_functions() -> None:
    keys = 'stream = "orders"\npublishes = ["invoices"]'
    definition = parsed("[streams.invoices]", billing=keys)
    assert from_json(to_json(definition)) == definition


def test_circles_are_named_once_each() -> None:
    streams = "[streams.invoices]\n[streams.mails]"
    definition = parsed(
        streams,
        billing='stream = "orders"\npublishes = ["invoices"]',
        mailing='stream = "invoices"\npublishes = ["mails", "orders"]',
        echoing='stream = "mails"\npublishes = ["mails"]',
        counting='stream = "mails"',
    )
    assert circles(definition) == [("billing", "mailing"), ("echoing",)]
    assert circles(parsed(streams, billing='stream = "orders"\npublishes = ["mails"]')) == []


def test_a_handler_that_publishes_in_each_region_is_named() -> None:
    keys = 'stream = "orders"\npublishes = ["mails"]\n'
    definition = parsed(
        "[streams.mails]",
        twice=f'{keys}deliver = "everywhere"',
        once=keys,
        silent='stream = "orders"\ndeliver = "everywhere"',
    )
    assert published_by_each_region(definition) == ["twice"]


def statements(publishes: str) -> list[Statement]:
    definition = parsed("[streams.invoices]\n[streams.mails]", billing=f'stream = "orders"\n{publishes}')
    topology = Topology(definition)
    return of_function(topology, topology.deliver_function("billing", US))


@pytest.mark.parametrize(
    ("publishes", "table", "region", "key", "allowed"),
    [
        ('publishes = ["invoices"]', "shop-invoices", US, f"{US}/0.3", True),
        ('publishes = ["invoices"]', "shop-invoices", US, f"once/{US}/abc", True),
        ('publishes = ["invoices"]', "shop-invoices", US, f"{EU}/0.3", False),
        ('publishes = ["invoices"]', "shop-invoices", US, f"@{US}/invoices", False),
        ('publishes = ["invoices"]', "shop-invoices", EU, f"{EU}/0.3", False),
        ('publishes = ["invoices"]', "shop-mails", US, f"{US}/0.3", False),
        ('publishes = ["invoices"]', "shop-orders", US, f"{US}/0.3", False),
        ("", "shop-invoices", US, f"{US}/0.3", False),
    ],
)
def test_the_function_may_append_to_its_regions_lanes_of_these_streams_alone(
    publishes: str, table: str, region: str, key: str, allowed: bool
) -> None:
    resource = Resource("dynamodb", region, f"table/{table}")
    granted = [
        statement
        for statement in statements(publishes)
        if statement.allows("dynamodb:PutItem", resource, [key])
    ]
    assert bool(granted) is allowed
    assert not any(
        statement.allows(f"dynamodb:{action}", resource, [key])
        for statement in statements(publishes)
        for action in ("UpdateItem", "DeleteItem")
    )
