"""Subscriptions that hold producers back: what a definition may say of them."""

from typing import Any

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition, from_json, to_json
from eventfabric.definition.sections import Backpressure, WhilePaused
from eventfabric.errors import DefinitionError

US, EU = "us-east-1", "eu-west-1"
GATED = "backpressure = {}"


def parsed(subscriptions: dict[str, str], *streams: str, regions: str = f'"{US}", "{EU}"') -> Definition:
    tables = [f"[streams.{name}]" for name in ("orders", *streams)]
    for name, keys in subscriptions.items():
        tables.append(f'[subscriptions.{name}]\nhandler = "subscribers.any:handle"\n{keys}')
    return parse_definition(f'[fabric]\nname = "shop"\nregions = [{regions}]\n' + "\n".join(tables))


def refused(subscriptions: dict[str, str], *streams: str, **more: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(DefinitionError) as raised:
        parsed(subscriptions, *streams, **more)
    return [(problem.path, problem.found, problem.allowed) for problem in raised.value.problems]


def publishing(stream: str, *targets: str, more: str = GATED) -> str:
    return f'stream = "{stream}"\npublishes = {list(targets)}\n{more}'.replace("'", '"')


def test_the_table_says_how_far_producers_may_be_ahead_and_stays_so_in_an_environment() -> None:
    keys = 'stream = "orders"\nbackpressure = { seconds = 30, events_min = 100, while_paused = "hold" }'
    definition = parsed(
        {"billing": keys, "audit": f'stream = "orders"\n{GATED}', "mail": 'stream = "orders"'}
    )
    known = {name: own.backpressure for name, own in definition.subscriptions.items()}
    wanted = Backpressure(seconds=30, events_min=100, while_paused=WhilePaused.HOLD)
    assert known == {"billing": wanted, "audit": Backpressure(), "mail": None}
    assert from_json(to_json(definition)) == definition


@pytest.mark.parametrize(
    ("table", "path", "state"),
    [
        ("{ seconds = 4 }", ".seconds", "4"),
        ("{ seconds = 301 }", ".seconds", "301"),
        ("{ seconds = 7.5 }", ".seconds", "7.5"),
        ("{ events_min = 0 }", ".events_min", "0"),
        ('{ while_paused = "stop" }', ".while_paused", '"stop"'),
        ("{ second = 10 }", ".second", "an unknown key"),
        ("true", "", "true"),
        ("10", "", "10"),
    ],
)
def test_what_is_wrong_with_a_key_is_one_problem(table: str, path: str, state: str) -> None:
    [problem] = refused({"billing": f'stream = "orders"\nbackpressure = {table}'})
    assert problem[:2] == (f"subscriptions.billing.backpressure{path}", state)


@pytest.mark.parametrize("seconds", [5, 9])
def test_a_window_that_other_regions_would_hear_of_too_late_is_refused(seconds: int) -> None:
    keys = f'stream = "orders"\ndeliver = "one"\nregion = "{EU}"\nbackpressure = {{ seconds = {seconds} }}'
    [(path, state, allowed)] = refused({"billing": keys})
    assert (path, state) == ("subscriptions.billing.backpressure.seconds", str(seconds))
    assert allowed.startswith("10 to 300")


@pytest.mark.parametrize(
    ("keys", "regions"),
    [
        (f'deliver = "one"\nregion = "{US}"', f'"{US}"'),
        ('deliver = "origin"', f'"{US}", "{EU}"'),
        ('deliver = "everywhere"', f'"{US}", "{EU}"'),
    ],
)
def test_it_may_be_narrow_where_the_region_of_the_producers_grants(keys: str, regions: str) -> None:
    own = f'stream = "orders"\n{keys}\nbackpressure = {{ seconds = 5 }}'
    gate = parsed({"billing": own}, regions=regions).subscriptions["billing"].backpressure
    assert gate == Backpressure(seconds=5)


def test_a_circle_in_which_all_hold_producers_back_is_refused_with_its_names() -> None:
    circle = {
        "billing": publishing("orders", "invoices"),
        "shipping": publishing("invoices", "parcels"),
        "tracking": publishing("parcels", "orders"),
    }
    [(path, state, allowed)] = refused(circle, "invoices", "parcels")
    assert path == "subscriptions.billing.backpressure"
    assert "billing -> shipping -> tracking -> billing" in state
    assert "in one subscription of the circle" in allowed


def test_one_that_publishes_into_its_own_stream_must_not_hold_itself_back() -> None:
    [(path, state, _)] = refused({"billing": publishing("orders", "orders")})
    assert (path, "billing -> billing" in state) == ("subscriptions.billing.backpressure", True)


@pytest.mark.parametrize("free", ["billing", "shipping"])
def test_a_circle_is_allowed_as_long_as_one_of_it_holds_nobody_back(free: str) -> None:
    circle = {
        name: publishing(stream, target, more="" if name == free else GATED)
        for name, stream, target in (("billing", "orders", "invoices"), ("shipping", "invoices", "orders"))
    }
    assert set(parsed(circle, "invoices").subscriptions) == {"billing", "shipping"}


def test_each_circle_is_a_problem_of_its_own_and_others_hold_back_as_they_like() -> None:
    circles = {
        "billing": publishing("orders", "invoices"),
        "shipping": publishing("invoices", "orders"),
        "mail": publishing("letters", "letters"),
        "audit": publishing("orders"),
        "archive": publishing("orders", "letters"),
    }
    problems = refused(circles, "invoices", "letters")
    assert sorted(path for path, _, _ in problems) == [
        "subscriptions.billing.backpressure",
        "subscriptions.mail.backpressure",
    ]


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ('stream = 5\npublishes = ["orders"]', "subscriptions.billing.stream"),
        ('stream = "order"\npublishes = ["orders"]', "subscriptions.billing.stream"),
        ('stream = "orders"\npublishes = "orders"', "subscriptions.billing.publishes"),
        ('stream = "orders"\npublishes = ["order"]', "subscriptions.billing.publishes[0]"),
    ],
)
def test_one_mistake_of_the_circle_s_keys_is_one_problem(keys: str, path: str) -> None:
    assert [problem[0] for problem in refused({"billing": f"{keys}\n{GATED}"})] == [path]
