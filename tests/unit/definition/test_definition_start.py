"""A definition's settings for the start of a subscription, and for replays."""

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.errors import DefinitionError, Problem
from tests.support.messages import TextWith

TEXT = """
[fabric]
name = "shop"
regions = ["us-east-1"]
[streams.orders]
durability = "regional"
[subscriptions.billing]
stream = "orders"
handler = "subscribers.billing:charge"
"""


def test_by_default_it_begins_with_the_earliest_and_may_be_replayed() -> None:
    billing = parse_definition(TEXT).subscriptions["billing"]
    assert (billing.start, billing.replay) == ("earliest", True)


@pytest.mark.parametrize(
    "start", ["earliest", "latest", "2026-11-01T00:00:00Z", "2026-11-01t00:00:00.123456789+05:30"]
)
def test_it_may_begin_there(start: str) -> None:
    assert parse_definition(TEXT + f'start = "{start}"').subscriptions["billing"].start == start


@pytest.mark.parametrize(
    ("start", "actual"),
    [
        ('"Latest"', '"Latest"'),
        ('""', '""'),
        ('"2026-11-01"', '"2026-11-01"'),
        ('"2026-11-01T00:00:00"', '"2026-11-01T00:00:00"'),
        ('"2026-02-30T00:00:00Z"', '"2026-02-30T00:00:00Z"'),
        ('"2026-11-01T00:00:00Z\\n"', '"2026-11-01T00:00:00Z\\n"'),
        ("2026-11-01T00:00:00Z", "2026-11-01 00:00:00+00:00"),
        ("0", "0"),
    ],
)
def test_it_may_begin_nowhere_else(start: str, actual: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        parse_definition(TEXT + f"start = {start}")
    (problem,) = refused.value.problems
    assert (problem.path, problem.found) == ("subscriptions.billing.start", actual)
    assert problem.allowed == TextWith('"earliest", "latest"', "RFC 3339", "zone", "quotes")


@pytest.mark.parametrize("replay", ['"no"', "0"])
def test_whether_it_may_be_replayed_is_true_or_false(replay: str) -> None:
    assert not parse_definition(TEXT + "replay = false").subscriptions["billing"].replay
    with pytest.raises(DefinitionError) as refused:
        parse_definition(TEXT + f"replay = {replay}")
    expected = Problem("subscriptions.billing.replay", replay, TextWith("true or false"))
    assert refused.value.problems == (expected,)
