import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.definition.guarantee import Guarantee
from eventfabric.definition.schema import from_json, to_json

DEFINITION = """
    [fabric]
    name = "acme"
    regions = ["us-east-1"]
    [streams.orders]
    durability = "regional"
    [subscriptions.billing]
    stream = "orders"
    handler = "subscribers.billing:handle"
    guarantee = "{guarantee}"
"""


@pytest.mark.parametrize(
    ("guarantee", "properties"),
    [
        (Guarantee.AT_MOST_ONCE, {"commits_first", "may_lose"}),
        (Guarantee.AT_LEAST_ONCE, {"may_repeat", "sets_aside"}),
        (Guarantee.EXACTLY_ONCE, {"transactional", "sets_aside"}),
    ],
)
def test_a_guarantee_has_these_properties(guarantee: Guarantee, properties: set[str]) -> None:
    every = ("commits_first", "transactional", "may_lose", "may_repeat", "sets_aside")
    assert {name for name in every if getattr(guarantee, name)} == properties


@pytest.mark.parametrize("guarantee", Guarantee)
def test_a_definition_names_it_and_ships_its_name(guarantee: Guarantee) -> None:
    definition = parse_definition(DEFINITION.format(guarantee=guarantee))
    shipped = to_json(definition)
    assert f'"guarantee":"{guarantee.value}"'.encode() in shipped
    assert definition.subscriptions["billing"].guarantee is guarantee
    assert from_json(shipped).subscriptions["billing"].guarantee is guarantee
