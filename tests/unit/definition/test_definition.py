"""Owns the tests of the definition: what a file may say, what is said of a wrong one, and what ships."""

import subprocess
import sys
import tomllib
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from eventfabric.definition import reference as definition_reference
from eventfabric.definition.file import parse_definition, read_definition
from eventfabric.definition.reference import json_schema
from eventfabric.definition.schema import Breaker, Definition, Retry, from_json, to_json
from eventfabric.errors import DefinitionError

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "infra" / "fabric.toml"
REGENERATE = "python -m eventfabric.definition.reference infra/fabric.schema.json docs/definition.md"

FABRIC = """
[fabric]
name = "shop"
regions = ["us-east-1", "eu-west-1", "ap-south-1"]
"""
STREAM = "[streams.orders]\n"
SUBSCRIPTION = """
[subscriptions.billing]
stream = "orders"
handler = "subscribers.billing:charge"
"""
NAME = "1 to 28 lower-case letters, digits and hyphens, a letter first"
REGION = "the name of an AWS Region, such as us-east-1"
STREAM_KEYS = "regions, durability, lanes, retention_days, express"


def problems(text: str) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text)
    return [str(problem) for problem in caught.value.problems]


def test_a_definition_of_names_only_gets_every_default() -> None:
    definition = parse_definition(FABRIC + STREAM + SUBSCRIPTION)
    stream, subscription = definition.streams["orders"], definition.subscriptions["billing"]
    assert (stream.name, stream.regions) == ("orders", ("us-east-1", "eu-west-1", "ap-south-1"))
    assert (stream.durability, stream.lanes, stream.retention_days) == ("replicated", 64, None)
    assert (subscription.name, subscription.types, subscription.concurrency) == ("billing", None, 1)
    assert (subscription.guarantee, subscription.order) == ("at_least_once", "key")
    assert (subscription.deliver, subscription.region) == ("origin", None)
    assert subscription.retry == Retry(
        immediate=2, attempts=8, backoff_seconds=1, backoff_max_seconds=900, permanent=()
    )
    assert subscription.breaker == Breaker(failure_ratio=0.5, parked_keys=100)


def test_a_fabric_without_subscriptions_is_a_fabric() -> None:
    assert parse_definition(FABRIC + STREAM).subscriptions == {}


def test_one_delivering_region_is_the_streams_first_unless_it_is_named() -> None:
    stream = STREAM + 'regions = ["eu-west-1", "us-east-1", "ap-south-1"]\n'
    text = FABRIC + stream + SUBSCRIPTION + 'deliver = "one"\n'
    assert parse_definition(text).subscriptions["billing"].region == "eu-west-1"
    named = text + 'region = "us-east-1"\n'
    assert parse_definition(named).subscriptions["billing"].region == "us-east-1"


def test_a_definition_cannot_be_changed() -> None:
    definition = parse_definition(FABRIC + STREAM)
    with pytest.raises(FrozenInstanceError):
        definition.streams["orders"].lanes = 1  # type: ignore[misc]


QUORUM = STREAM + 'durability = "quorum"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # unknown and missing keys
        (
            FABRIC + STREAM + "lane = 64",
            f"streams.orders.lane: found an unknown key, allowed: did you mean lanes? {STREAM_KEYS}",
        ),
        (
            FABRIC + STREAM + "zzz = 64",
            f"streams.orders.zzz: found an unknown key, allowed: {STREAM_KEYS}",
        ),
        (
            FABRIC + STREAM + "[subscription.billing]",
            "subscription: found an unknown key, "
            "allowed: did you mean subscriptions? fabric, streams, subscriptions",
        ),
        (
            FABRIC + STREAM + 'name = "orders"',
            'streams.orders.name: found "orders", allowed: no such key: the name is the table\'s',
        ),
        (STREAM, "fabric: found nothing, allowed: a table with: name, regions, alarm_actions"),
        (FABRIC, "streams: found nothing, allowed: tables with names of their own, at least one"),
        (
            FABRIC + "[streams]",
            "streams: found an empty table, allowed: tables with names of their own, at least one",
        ),
        (
            FABRIC + STREAM + '[subscriptions.billing]\nhandler = "a.b:c"',
            f"subscriptions.billing.stream: found nothing, allowed: {NAME}",
        ),
        (
            FABRIC + STREAM + '[subscriptions.billing]\nstream = "orders"',
            "subscriptions.billing.handler: found nothing, allowed: package.module:function",
        ),
        # wrong types: nothing is converted
        (
            FABRIC + STREAM + 'lanes = "64"',
            'streams.orders.lanes: found "64", allowed: a power of two from 1 to 4096',
        ),
        (
            FABRIC + STREAM + "lanes = true",
            "streams.orders.lanes: found true, allowed: a power of two from 1 to 4096",
        ),
        (
            FABRIC + STREAM + "retention_days = 2026-11-01",
            "streams.orders.retention_days: found 2026-11-01, allowed: a whole number from 1 to 3650",
        ),
        (
            FABRIC + STREAM + "retention_days = 1.5",
            "streams.orders.retention_days: found 1.5, allowed: a whole number from 1 to 3650",
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'types = "OrderPlaced"',
            'subscriptions.billing.types: found "OrderPlaced", '
            "allowed: a list of at least one, each an event type of 1 to 128 characters",
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + "retry = 3",
            "subscriptions.billing.retry: found 3, allowed: a table with: "
            "immediate, attempts, backoff_seconds, backoff_max_seconds, permanent",
        ),
        (
            'streams = "orders"\n' + FABRIC,
            'streams: found "orders", allowed: tables with names of their own, at least one',
        ),
        (
            "streams.orders = 64" + FABRIC + SUBSCRIPTION,
            f"streams.orders: found 64, allowed: a table with: {STREAM_KEYS}",
        ),
        # out of range
        (
            FABRIC + STREAM + "lanes = 48",
            "streams.orders.lanes: found 48, allowed: a power of two from 1 to 4096",
        ),
        (
            FABRIC + STREAM + "lanes = 8192",
            "streams.orders.lanes: found 8192, allowed: a power of two from 1 to 4096",
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + "concurrency = 65",
            "subscriptions.billing.concurrency: found 65, allowed: a whole number from 1 to 64",
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + "retry.attempts = 0",
            "subscriptions.billing.retry.attempts: found 0, allowed: a whole number from 1 to 100",
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + "retry.backoff_seconds = nan",
            "subscriptions.billing.retry.backoff_seconds: found nan, allowed: a number from 0.05 to 900",
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + "breaker.failure_ratio = 2",
            "subscriptions.billing.breaker.failure_ratio: found 2, allowed: a number from 0.01 to 1",
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + "types = []",
            "subscriptions.billing.types: found [], "
            "allowed: a list of at least one, each an event type of 1 to 128 characters",
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'order = "strict"',
            'subscriptions.billing.order: found "strict", allowed: "key" or "none"',
        ),
        # names
        (FABRIC.replace("shop", "Shop") + STREAM, f'fabric.name: found "Shop", allowed: {NAME}'),
        (FABRIC + "[streams.Orders]", f'streams.Orders: found "Orders", allowed: {NAME}'),
        (FABRIC + '[streams."the orders"]', f'streams."the orders": found "the orders", allowed: {NAME}'),
        (
            FABRIC + f"[streams.{'o' * 29}]",
            f'streams.{"o" * 29}: found "{"o" * 29}", allowed: {NAME}',
        ),
        (
            FABRIC + "[streams.ledger]",
            'streams.ledger: found "ledger", allowed: another name: the fabric has a table of that name',
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION.replace("billing]", "billing-dead]"),
            'subscriptions.billing-dead: found "billing-dead", '
            "allowed: a name that does not end in dead: the fabric uses that itself",
        ),
        (
            FABRIC.replace("eu-west-1", "europe") + STREAM,
            f'fabric.regions[1]: found "europe", allowed: {REGION}',
        ),
        (
            FABRIC.replace('"us-east-1", "eu-west-1", "ap-south-1"', '"europe"') + STREAM,
            f'fabric.regions[0]: found "europe", allowed: {REGION}',
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION.replace(":charge", ".charge"),
            "subscriptions.billing.handler: "
            'found "subscribers.billing.charge", allowed: package.module:function',
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'retry.permanent = ["CardRefused"]',
            'subscriptions.billing.retry.permanent[0]: found "CardRefused", allowed: package.module:name',
        ),
        # between keys
        (
            FABRIC + STREAM + SUBSCRIPTION.replace('"orders"', '"order"'),
            'subscriptions.billing.stream: found "order", '
            "allowed: the name of a stream: did you mean orders? orders",
        ),
        (
            FABRIC + QUORUM + SUBSCRIPTION + 'guarantee = "exactly_once"',
            'subscriptions.billing.guarantee: found "exactly_once", allowed: "at_most_once" or '
            '"at_least_once", as the durability of the stream is "quorum": '
            "strongly consistent global tables have no transactions",
        ),
        (
            FABRIC + QUORUM + "retention_days = 30",
            'streams.orders.retention_days: found 30, allowed: no such key, as durability is "quorum": '
            "strongly consistent global tables have no TTL",
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'on_expired = "skip"',
            'subscriptions.billing.on_expired: found "skip", allowed: "halt", as nothing of stream "orders" expires',
        ),
        (
            FABRIC.replace(', "ap-south-1"', "") + QUORUM,
            "streams.orders.regions: found eu-west-1, us-east-1, "
            'allowed: exactly three Regions, as durability is "quorum"',
        ),
        (
            FABRIC.replace(', "ap-south-1"', "") + STREAM + 'durability = "regional"',
            "streams.orders.regions: found eu-west-1, us-east-1, "
            'allowed: exactly one Region, as durability is "regional"',
        ),
        (
            FABRIC + STREAM + '[streams.other]\nregions = ["us-west-2"]',
            'streams.other.regions[0]: found "us-west-2", '
            "allowed: a Region of the fabric: us-east-1, eu-west-1, ap-south-1",
        ),
        (
            FABRIC + STREAM + 'regions = ["us-east-1", "ap-south-1"]',
            'fabric.regions[1]: found "eu-west-1", allowed: a Region that at least one stream has',
        ),
        (
            FABRIC.replace("eu-west-1", "us-east-1") + STREAM,
            'fabric.regions[1]: found "us-east-1" again, allowed: each value once',
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'types = ["A", "B", "A"]',
            'subscriptions.billing.types[2]: found "A" again, allowed: each value once',
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'region = "us-east-1"',
            'subscriptions.billing.region: found "us-east-1", '
            'allowed: no such key, as deliver is "origin" and not "one"',
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'deliver = "one"\nregion = "us-west-2"',
            'subscriptions.billing.region: found "us-west-2", '
            "allowed: a Region of stream orders: us-east-1, eu-west-1, ap-south-1",
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + "retry.backoff_seconds = 10\nretry.backoff_max_seconds = 5",
            "subscriptions.billing.retry.backoff_max_seconds: found 5, allowed: at least backoff_seconds, 10",
        ),
    ],
)
def test_a_wrong_definition_is_refused_with_where_what_and_what_is_allowed(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_all_problems_are_reported_together_in_the_order_of_the_file() -> None:
    text = """
        [fabric]
        name = "Shop"
        regions = ["us-east-1", "us-east-1"]
        [streams.orders]
        lanes = 48
        retension_days = 30
        [subscriptions.billing]
        stream = "invoices"
        guarantee = "twice"
        region = "us-east-1"
        retry.attempts = -1
    """
    paths = [problem.partition(":")[0] for problem in problems(text)]
    assert paths == [
        "fabric.name",
        "fabric.regions[1]",
        "streams.orders.lanes",
        "streams.orders.retension_days",
        "subscriptions.billing.stream",
        "subscriptions.billing.guarantee",
        "subscriptions.billing.region",
        "subscriptions.billing.retry.attempts",
        "subscriptions.billing.handler",
    ]


def test_a_value_that_is_wrong_by_itself_breaks_no_rule_between_keys() -> None:
    text = FABRIC + STREAM + 'durability = "quorums"\nretention_days = 3\n' + SUBSCRIPTION
    assert [problem.partition(":")[0] for problem in problems(text)] == ["streams.orders.durability"]


def test_a_syntax_error_says_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "fabric.toml"
    file.write_text("[fabric]\nname = shop\n", encoding="utf-8")
    with pytest.raises(DefinitionError) as caught:
        read_definition(file)
    assert str(caught.value).startswith(f"{file}:2: line 2, column 8: found a syntax error (Invalid value)")


def test_a_syntax_error_at_the_end_says_the_last_line() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_definition('[fabric]\nname = "shop', where="fabric.toml")
    assert str(caught.value).startswith("fabric.toml:2: ")


@pytest.mark.parametrize(
    ("content", "found"), [(None, "no readable file"), (b"\xff", "bytes that are not UTF-8")]
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes | None, found: str) -> None:
    file = tmp_path / "fabric.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DefinitionError, match=found):
        read_definition(file)


@pytest.fixture(name="sample")
def read_sample() -> Definition:
    return read_definition(SAMPLE)


def test_the_sample_reads(sample: Definition) -> None:
    assert sample.fabric.regions == sample.streams["orders"].regions == ("us-east-1", "eu-west-1")
    assert list(sample.subscriptions) == ["billing", "shipping", "analytics"]
    assert sample.subscriptions["billing"].retry.permanent == ("subscribers.billing:CardRefused",)


def test_what_ships_to_lambda_reads_back_equal(sample: Definition) -> None:
    assert from_json(to_json(sample)) == sample
    assert to_json(from_json(to_json(sample))) == to_json(sample)


def test_the_definition_ships_without_pydantic() -> None:
    code = "import sys, eventfabric.definition.schema; sys.exit('pydantic' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], check=False, env={"PYTHONPATH": ":".join(sys.path)}
        ).returncode
        == 0
    )


def test_the_schema_accepts_the_sample_and_refuses_what_the_file_refuses() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    validator.validate(tomllib.loads(SAMPLE.read_text(encoding="utf-8")))
    for wrong in ("lanes = 48", "lane = 64", 'name = "orders"', "retention_days = 0"):
        assert not validator.is_valid(tomllib.loads(FABRIC + STREAM + wrong)), wrong
    assert not validator.is_valid(tomllib.loads(FABRIC + "[streams.Orders]"))


def test_the_schema_describes_every_key() -> None:
    definitions = json_schema()["$defs"]
    assert isinstance(definitions, dict)
    for name, table in definitions.items():
        for key, described in table["properties"].items():
            assert described.get("description") or "$ref" in described, f"{name}.{key}"


def test_the_schema_file_and_the_reference_page_are_up_to_date() -> None:
    schema = (ROOT / "infra" / "fabric.schema.json").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "definition.md").read_text(encoding="utf-8")
    assert schema == definition_reference.schema_text(), REGENERATE
    assert page == definition_reference.definition_page(), REGENERATE


def test_the_sample_names_its_schema_for_editors() -> None:
    assert SAMPLE.read_text(encoding="utf-8").startswith("#:schema fabric.schema.json\n")
