"""Verdicts on effects, for runs made by hand: the clock explains seconds, and order of arrival is no repetition."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from eventfabric.testing.idempotency.effects import Call, Comparison, Left, Store, compared

NOW = 1_800_000_000.0
DAY = 86_400
TABLE, OTHER_REGION = Store("dynamodb", "rows", "us-east-1"), Store("dynamodb", "rows", "eu-west-1")
PAID_UNTIL, CHARGE = "taker: dynamodb rows: paid_until", "taker: charge"


def left(
    items: dict[str, dict[str, str]],
    *,
    elsewhere: dict[str, dict[str, str]] | None = None,
    calls: dict[str, int] | None = None,
    now_seconds: float = NOW,
) -> Left:
    """A run of a second. `calls`: how often "charge" was made of each event."""
    left_seconds = Left(began_seconds=now_seconds, ended_seconds=now_seconds + 1)
    left_seconds.state[TABLE] = items
    if elsewhere is not None:
        left_seconds.state[OTHER_REGION] = elsewhere
    left_seconds.calls = Counter(
        {Call("taker", event, "charge"): times for event, times in (calls or {}).items()}
    )
    left_seconds.writers["dynamodb", "rows"].add("taker")
    return left_seconds


def judged(run: Left, *calm: Left) -> Comparison:
    return compared(run, calm, may_lose=frozenset())


def named(comparison: Comparison) -> list[str]:
    return [difference.effect for difference in comparison.differences]


def paid_until(text: str, *, now_seconds: float = NOW) -> Left:
    return left({"k1": {"paid_until": text}}, now_seconds=now_seconds)


@pytest.mark.parametrize(
    "add",
    [
        lambda seconds: str(int(NOW + seconds)),
        lambda seconds: str(int(1000 * (NOW + seconds))),
        lambda seconds: datetime.fromtimestamp(NOW + seconds, UTC).isoformat(),
        lambda seconds: datetime.fromtimestamp(NOW + seconds, UTC).date().isoformat(),
    ],
    ids=["seconds", "milliseconds", "ISO 8601", "a date"],
)
def test_a_month_added_once_too_often_is_no_matter_of_the_clock(add: Callable[[float], str]) -> None:
    comparison = judged(paid_until(add(60 * DAY)), *[paid_until(add(30 * DAY), now_seconds=NOW + 2)] * 3)
    assert named(comparison) == [PAID_UNTIL]


def test_a_time_that_is_as_much_later_as_its_run_was_is_the_clocks_and_not_judged() -> None:
    expires = 30 * DAY + NOW
    calm = [paid_until(str(int(expires + 40)), now_seconds=NOW + 40)] * 3
    comparison = judged(paid_until(str(int(expires))), *calm)
    assert (named(comparison), comparison.unsteady) == ([], frozenset({PAID_UNTIL}))
    # One that is later than that is the handler's.
    assert named(judged(paid_until(str(int(expires - 60))), *calm)) == [PAID_UNTIL]


def test_what_was_excused_of_one_item_counts_as_judged_of_none() -> None:
    def items(second: int) -> dict[str, dict[str, str]]:
        return {"k1": {"paid_until": str(int(NOW))}, "k2": {"paid_until": str(int(NOW) + second)}}

    comparison = judged(left(items(0)), *[left(items(1), now_seconds=NOW + 1)] * 3)
    assert PAID_UNTIL not in comparison.judged
    assert comparison.unsteady == frozenset({PAID_UNTIL})


def test_a_day_that_begins_between_the_runs_is_the_clocks() -> None:
    midnight = NOW - NOW % DAY
    days = [datetime.fromtimestamp(seconds, UTC).date().isoformat() for seconds in (midnight - DAY, midnight)]
    calm = [paid_until(days[1], now_seconds=midnight + 1)] * 3
    assert judged(paid_until(days[0], now_seconds=midnight - 2), *calm).differences == ()
    assert named(judged(paid_until(days[0], now_seconds=midnight + 10), *calm)) == [PAID_UNTIL]


def test_an_attribute_that_the_order_of_keys_decides_for_one_item_is_judged_for_none() -> None:
    """The middle one of three keys is the second forwards, and backwards."""

    def numbers(*of: str) -> dict[str, dict[str, str]]:
        return {event: {"id": event, "invoice": number} for event, number in zip("abc", of, strict=True)}

    calm = [left(numbers("1", "2", "3")), left(numbers("1", "2", "3")), left(numbers("3", "2", "1"))]
    comparison = judged(left(numbers("2", "1", "3")), *calm)
    assert comparison.differences == ()
    assert comparison.judged == {"taker: dynamodb rows: id"}
    assert comparison.unsteady == {"taker: dynamodb rows: invoice"}


def test_what_the_order_decides_in_one_region_is_judged_in_no_other() -> None:
    def run(first: str, second: str, alone: str) -> Left:
        here = {"a": {"invoice": first}, "b": {"invoice": second}}
        return left(here, elsewhere={"c": {"invoice": alone}})

    comparison = judged(run("1", "2", "2"), run("1", "2", "1"), run("1", "2", "1"), run("2", "1", "1"))
    assert (comparison.differences, comparison.judged) == ((), frozenset())


def test_a_call_that_goes_to_whoever_comes_first_is_counted_for_all_events_together() -> None:
    def run(*events: str) -> Left:
        return left({}, calls=Counter(events))

    calm = [run("a"), run("a"), run("c")]
    assert named(judged(run("b"), *calm)) == []
    (twice,) = judged(run("b", "b"), *calm).differences
    assert (twice.effect, twice.what) == (CHARGE, "made twice in all; without faults made once")
    (lost,) = judged(run(), *calm).differences
    assert (lost.effect, lost.what) == (CHARGE, "not made in all; without faults made once")


def test_a_call_that_is_made_by_chance_is_not_judged() -> None:
    calm = [left({}, calls=calls) for calls in ({"a": 1}, {}, {"a": 1, "b": 1})]
    comparison = judged(left({}, calls={"a": 1, "b": 1, "c": 1}), *calm)
    assert (named(comparison), comparison.judged, comparison.unsteady) == (
        [],
        frozenset(),
        frozenset({CHARGE}),
    )


def test_a_handler_answers_for_no_dead_letter_but_of_its_own_exceptions() -> None:
    def dead(error: str) -> list[str]:
        run = left({})
        run.unresolved["taker", "e1"] = error
        return named(judged(run, left({}), left({})))

    assert dead("shop:RefusedError") == ["taker: dead letter"]
    for error in (
        "Crashed",
        "RecordExpired",
        "eventfabric.errors:UnknownStepError",
        "eventfabric.testing.simulation.subscribers:DownstreamDown",
    ):
        assert dead(error) == []
