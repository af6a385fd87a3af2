"""The definition: what a file may hold, how a wrong one is refused, and what ships."""

import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from eventfabric.definition.file import parse_definition, read_definition
from eventfabric.definition.schema import Definition, from_json, to_json
from eventfabric.definition.sections import Breaker, Retry
from eventfabric.errors import DefinitionError, Problem
from tests.support.messages import TextWith

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "infra" / "fabric.toml"

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
NAME = ["1 to 28", "lower-case letters", "digits", "hyphens"]
REGION = ["AWS Region", "us-east-1"]
LANES = ["power of two", "from 1 to 4096"]
DAYS = ["whole number", "from 1 to 3650"]
TYPES = ["list of at least one", "1 to 128 characters"]
UNKNOWN = TextWith("unknown key")
NOTHING = "nothing"
STREAM_KEYS = "regions, durability, lanes, retention_days, express"


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text)
    return caught.value.problems


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
        definition.streams["orders"].lanes = 1  # type: ignore[misc]  # it is frozen


QUORUM = STREAM + 'durability = "quorum"\n'


@pytest.mark.parametrize(
    ("text", "path", "actual", "allowed"),
    [
        # unknown and missing keys
        (FABRIC + STREAM + "lane = 64", "streams.orders.lane", UNKNOWN, ["lanes?", STREAM_KEYS]),
        (
            FABRIC + STREAM + SUBSCRIPTION + "deployment = 'linear10'",
            "subscriptions.billing.deployment",
            UNKNOWN,
            ["did you mean deployment in [subscriptions.billing.function]? stream,"],
        ),
        (
            FABRIC + STREAM + "[functions]\naccount_concurrency = 1000",
            "functions.account_concurrency",
            UNKNOWN,
            ["or account_concurrency in [fabric]? memory_megabytes"],
        ),
        (FABRIC + STREAM + "zzz = 64", "streams.orders.zzz", UNKNOWN, [STREAM_KEYS]),
        (
            FABRIC + STREAM + "[subscription.billing]",
            "subscription",
            UNKNOWN,
            ["subscriptions?", "fabric, functions, streams, subscriptions"],
        ),
        (FABRIC + STREAM + 'name = "orders"', "streams.orders.name", '"orders"', ["no such key", "table"]),
        (
            STREAM,
            "fabric",
            NOTHING,
            ["table", "name, stage, regions, closing, lost, owner, former_owner, alarm_actions"],
        ),
        (FABRIC, "streams", NOTHING, ["tables", "at least one"]),
        (FABRIC + "[streams]", "streams", TextWith("empty table"), ["tables", "at least one"]),
        (
            FABRIC + STREAM + '[subscriptions.billing]\nhandler = "a.b:c"',
            "subscriptions.billing.stream",
            NOTHING,
            NAME,
        ),
        (
            FABRIC + STREAM + '[subscriptions.billing]\nstream = "orders"',
            "subscriptions.billing.handler",
            NOTHING,
            ["package.module:function"],
        ),
        # wrong types: nothing is converted
        (FABRIC + STREAM + 'lanes = "64"', "streams.orders.lanes", '"64"', LANES),
        (FABRIC + STREAM + "lanes = true", "streams.orders.lanes", "true", LANES),
        (
            FABRIC + STREAM + "retention_days = 2026-11-01",
            "streams.orders.retention_days",
            "2026-11-01",
            DAYS,
        ),
        (FABRIC + STREAM + "retention_days = 1.5", "streams.orders.retention_days", "1.5", DAYS),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'types = "OrderPlaced"',
            "subscriptions.billing.types",
            '"OrderPlaced"',
            TYPES,
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + "retry = 3",
            "subscriptions.billing.retry",
            "3",
            ["table", "immediate, attempts, backoff_seconds, backoff_max_seconds, permanent"],
        ),
        ('streams = "orders"\n' + FABRIC, "streams", '"orders"', ["tables", "at least one"]),
        ("streams.orders = 64" + FABRIC + SUBSCRIPTION, "streams.orders", "64", ["table", STREAM_KEYS]),
        # out of range
        (FABRIC + STREAM + "lanes = 48", "streams.orders.lanes", "48", LANES),
        (FABRIC + STREAM + "lanes = 8192", "streams.orders.lanes", "8192", LANES),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'concurrency = "most"',
            "subscriptions.billing.concurrency",
            '"most"',
            ["whole number", "from 1 to 64", '"auto"'],
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + "concurrency_max = 8",
            "subscriptions.billing.concurrency_max",
            "8",
            ["no such key", "auto"],
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + "concurrency = 65",
            "subscriptions.billing.concurrency",
            "65",
            ["whole number", "from 1 to 64"],
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + "retry.attempts = 0",
            "subscriptions.billing.retry.attempts",
            "0",
            ["whole number", "from 1 to 100"],
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + "retry.backoff_seconds = nan",
            "subscriptions.billing.retry.backoff_seconds",
            "nan",
            ["a number", "from 0.05 to 900"],
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + "breaker.failure_ratio = 2",
            "subscriptions.billing.breaker.failure_ratio",
            "2",
            ["a number", "from 0.01 to 1"],
        ),
        (FABRIC + STREAM + SUBSCRIPTION + "types = []", "subscriptions.billing.types", "[]", TYPES),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'order = "strict"',
            "subscriptions.billing.order",
            '"strict"',
            ['"key" or "none"'],
        ),
        # names
        (FABRIC.replace("shop", "Shop") + STREAM, "fabric.name", '"Shop"', NAME),
        (FABRIC + "[streams.Orders]", "streams.Orders", '"Orders"', NAME),
        (FABRIC + '[streams."the orders"]', 'streams."the orders"', '"the orders"', NAME),
        (FABRIC + f"[streams.{'o' * 29}]", f"streams.{'o' * 29}", f'"{"o" * 29}"', NAME),
        (FABRIC + "[streams.ledger]", "streams.ledger", '"ledger"', ["another name", "table of that name"]),
        (
            FABRIC + STREAM + SUBSCRIPTION.replace("billing]", "billing-dead]"),
            "subscriptions.billing-dead",
            '"billing-dead"',
            ["a name", "not end in dead"],
        ),
        (FABRIC.replace("eu-west-1", "europe") + STREAM, "fabric.regions[1]", '"europe"', REGION),
        (
            FABRIC.replace('"us-east-1", "eu-west-1", "ap-south-1"', '"europe"') + STREAM,
            "fabric.regions[0]",
            '"europe"',
            REGION,
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION.replace(":charge", ".charge"),
            "subscriptions.billing.handler",
            '"subscribers.billing.charge"',
            ["package.module:function"],
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'retry.permanent = ["CardRefused"]',
            "subscriptions.billing.retry.permanent[0]",
            '"CardRefused"',
            ["package.module:name"],
        ),
        # between keys
        (
            FABRIC + STREAM + SUBSCRIPTION.replace('"orders"', '"order"'),
            "subscriptions.billing.stream",
            '"order"',
            ["name of a stream", "orders?"],
        ),
        (
            FABRIC + QUORUM + SUBSCRIPTION + 'guarantee = "exactly_once"',
            "subscriptions.billing.guarantee",
            '"exactly_once"',
            ['"at_most_once" or "at_least_once"', '"quorum"', "no transactions"],
        ),
        (
            FABRIC + QUORUM + "retention_days = 30",
            "streams.orders.retention_days",
            "30",
            ["no such key", '"quorum"', "no TTL"],
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'on_expired = "skip"',
            "subscriptions.billing.on_expired",
            '"skip"',
            ['"halt"', 'nothing of stream "orders" expires'],
        ),
        (
            FABRIC.replace(', "ap-south-1"', "") + QUORUM,
            "streams.orders.regions",
            "eu-west-1, us-east-1",
            ["exactly three Regions", '"quorum"'],
        ),
        (
            FABRIC.replace(', "ap-south-1"', "") + STREAM + 'durability = "regional"',
            "streams.orders.regions",
            "eu-west-1, us-east-1",
            ["exactly one Region", '"regional"'],
        ),
        (
            FABRIC + STREAM + '[streams.other]\nregions = ["us-west-2"]',
            "streams.other.regions[0]",
            '"us-west-2"',
            ["Region of the fabric", "us-east-1, eu-west-1, ap-south-1"],
        ),
        (
            FABRIC + STREAM + 'regions = ["us-east-1", "ap-south-1"]',
            "fabric.regions[1]",
            '"eu-west-1"',
            ["Region", "at least one stream"],
        ),
        (
            FABRIC.replace("eu-west-1", "us-east-1") + STREAM,
            "fabric.regions[1]",
            TextWith('"us-east-1" again'),
            ["once"],
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'types = ["A", "B", "A"]',
            "subscriptions.billing.types[2]",
            TextWith('"A" again'),
            ["once"],
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'region = "us-east-1"',
            "subscriptions.billing.region",
            '"us-east-1"',
            ["no such key", 'deliver is "origin"', '"one"'],
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + 'deliver = "one"\nregion = "us-west-2"',
            "subscriptions.billing.region",
            '"us-west-2"',
            ["Region of stream orders", "us-east-1, eu-west-1, ap-south-1"],
        ),
        (
            FABRIC + STREAM + SUBSCRIPTION + "retry.backoff_seconds = 10\nretry.backoff_max_seconds = 5",
            "subscriptions.billing.retry.backoff_max_seconds",
            "5",
            ["at least", "backoff_seconds", 10],
        ),
    ],
)
def test_a_wrong_definition_is_refused_with_where_what_and_what_is_allowed(
    text: str, path: str, actual: str, allowed: list[object]
) -> None:
    assert problems(text) == (Problem(path, actual, TextWith(*allowed)),)


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
    assert [problem.path for problem in problems(text)] == [
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
    assert [problem.path for problem in problems(text)] == ["streams.orders.durability"]


def test_a_syntax_error_says_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "fabric.toml"
    file.write_text("[fabric]\nname = shop\n", encoding="utf-8")
    with pytest.raises(DefinitionError) as caught:
        read_definition(file)
    (problem,) = caught.value.problems
    assert (caught.value.where, problem.path) == (f"{file}:2", TextWith("line 2", "column 8"))
    assert "syntax error" in problem.found


def test_a_syntax_error_at_the_end_says_the_last_line() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_definition('[fabric]\nname = "shop', where="fabric.toml")
    assert caught.value.where == "fabric.toml:2"


@pytest.mark.parametrize(
    ("content", "actual"), [(None, "no readable file"), (b"\xff", "bytes that are not UTF-8")]
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes | None, actual: str) -> None:
    file = tmp_path / "fabric.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DefinitionError, match=actual):
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


def test_a_definition_is_read_without_pydantic() -> None:
    code = (
        "import sys; sys.modules['pydantic'] = None\n"
        "from eventfabric.definition.file import read_definition\n"
        "from eventfabric.definition.schema import from_json, to_json\n"
        "definition = read_definition(sys.argv[1])\n"
        "assert from_json(to_json(definition)) == definition\n"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(SAMPLE)], check=True, env=environment)
