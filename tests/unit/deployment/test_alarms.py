"""Alarms: each goes off when it should, does not when it should not, and is over when its cause is.

Each rule is evaluated, by CloudWatch's own rules, over what would be told in a day that is like the one it is for: at
much traffic and at an invocation in twelve minutes, however the periods lie, with passes that come early and late.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

import pytest

from eventfabric import limits
from eventfabric.definition.file import parse_definition
from eventfabric.deployment.alarm_rules import DELAYED_SECONDS, RELAY_LATE_MILLISECONDS, Missing, Rule
from eventfabric.deployment.alarms import Alarm, Series, alarms_of
from eventfabric.topology import Topology
from tests.unit.deployment.cloudwatch import Points, State, evaluate, states

MINUTE, HOUR = 60, 3_600
BEGINS, ENDS, UNTIL = 3 * HOUR, 6 * HOUR, 9 * HOUR
SELDOM = limits.VISIBILITY_TIMEOUT_SECONDS
"""From one invocation to the next where one doorbell comes again and again."""

TOPOLOGY = Topology(
    parse_definition(
        '[fabric]\nname = "shop"\nregions = ["us-east-1", "eu-west-1"]\n[streams.orders]\n'
        '[subscriptions.billing]\nstream = "orders"\nhandler = "subscribers.billing:charge"\n'
        "slo = { latency_ms = 1000, on_time_ratio = 0.99 }\n"
    )
)


def every(seconds: float, value: float, start: float = 0, end: float = UNTIL) -> list[tuple[float, float]]:
    """The value told again and again."""
    return [(start + n * seconds, value) for n in range(int((end - start) // seconds))]


def passes(value: Callable[[float], float | None], *, seed: int = 0) -> list[tuple[float, float]]:
    """Return a gauge of passes of reconciliation: one in five minutes, each a little earlier or later."""
    random = Random(seed)
    series = []
    for number in range(0, UNTIL, 5 * MINUTE):
        now = number + random.uniform(0, 50)
        said = value(now)
        if said is not None:
            series.append((now, said))
    return series


def gauge(bad: float) -> Points:
    """A gauge that stands at nought but while something is wrong."""
    return passes(lambda now: bad if BEGINS <= now < ENDS else 0)


def burst(value: float = 1) -> Points:
    """Something wrong in one pass of a whole day."""
    return passes(lambda now: value if BEGINS <= now < BEGINS + 5 * MINUTE else 0)


def silence(while_wrong: bool) -> Points:
    """Passes that do not come to their end while something is wrong."""
    return passes(lambda now: None if while_wrong and BEGINS <= now < ENDS else 1)


def invocations(seconds: float) -> Points:
    """Errors of a function that is invoked so often: all of them while something is wrong, and else none."""
    return [(time, 1.0 if BEGINS <= time < ENDS else 0.0) for time, _ in every(seconds, 0)]


def one_error(seconds: float) -> Points:
    """One invocation of a whole day that ended in an error."""
    return [*every(seconds, 0), (BEGINS + 1, 1)]


def counted(seconds: float) -> Points:
    """A metric that is told only where there is something to count."""
    return every(seconds, 1, BEGINS, ENDS)


@dataclass(frozen=True)
class Day:
    """Values of a metric over a day, and by when an alarm has to go off and to be over; None: it never goes off."""

    points: Points
    fires_within: float | None
    ends_within: float = 0


ALWAYS_FAILS = {
    "an error in 12 minutes": Day(invocations(SELDOM), 20 * MINUTE, 35 * MINUTE),
    "an error in 5 seconds": Day(invocations(5), 12 * MINUTE, 35 * MINUTE),
    "one error among many successes": Day(one_error(5), None),
    "one error where little happens": Day(one_error(SELDOM), None),
    "nothing is invoked at all": Day([], None),
}
DAYS: dict[str, dict[str, Day]] = {
    "delayed": {
        "an age that grows": Day(
            passes(lambda now: now - BEGINS if BEGINS <= now < ENDS else 0),
            DELAYED_SECONDS + 12 * MINUTE,
            12 * MINUTE,
        ),
        "an age that never gets there": Day(gauge(DELAYED_SECONDS - 1), None),
        "one pass that was late": Day(burst(DELAYED_SECONDS), None),
    },
    "circuit-open": {
        "it opens, as a delivery tells": Day([(BEGINS, 1), *gauge(1), (ENDS, 0)], 2 * MINUTE, 6 * MINUTE),
        "it never does": Day(gauge(0), None),
    },
    "keys-failing": {
        "keys that keep failing": Day(gauge(2), 17 * MINUTE, 7 * MINUTE),
        "a key that is tried once more": Day(burst(), None),
    },
    "dead-letters": {"one that lies there": Day(gauge(1), 6 * MINUTE, 7 * MINUTE)},
    "blocked": {
        "denied in 12 minutes": Day(counted(SELDOM), 20 * MINUTE, 45 * MINUTE),
        "denied every few seconds": Day(counted(5), 12 * MINUTE, 45 * MINUTE),
        "denied once": Day([(BEGINS, 1)], None),
        "denied for a minute, while a permission is replaced": Day(every(1, 1, BEGINS, BEGINS + 10), None),
    },
    "unverified": {
        "rounds that do not end": Day(gauge(limits.ROUND_LATE_SECONDS), 12 * MINUTE, 12 * MINUTE),
        "one that takes a week": Day(gauge(limits.ROUND_LATE_SECONDS // 2), None),
    },
    "not-reconciled": {
        "no pass comes to its end": Day(silence(while_wrong=True), 30 * MINUTE, 7 * MINUTE),
        "passes go on": Day(silence(while_wrong=False), None),
    },
    "findings": {
        "a finding that stays": Day(gauge(1), 6 * MINUTE, 7 * MINUTE),
        "none": Day(gauge(0), None),
    },
    "repairs": {
        "in each pass": Day(
            passes(lambda now: 1 if BEGINS <= now < ENDS else None), 17 * MINUTE, 75 * MINUTE
        ),
        "once in 12 minutes": Day(counted(SELDOM), 32 * MINUTE, 75 * MINUTE),
        "once": Day([(BEGINS, 3)], None),
    },
    "stalled": {
        "for hours": Day(gauge(1), 6 * MINUTE, 7 * MINUTE),
        "never": Day(gauge(0), None),
    },
    "unreachable": {
        "for hours": Day(gauge(4), 12 * MINUTE, 7 * MINUTE),
        "in one pass": Day(burst(), None),
    },
    "doorbells-dead": {
        "messages that lie there": Day(every(MINUTE, 1, BEGINS, ENDS), 3 * MINUTE, 6 * MINUTE),
        "nothing is told of an empty queue": Day([], None),
    },
    "relay-dead": {"messages that lie there": Day(every(MINUTE, 1, BEGINS, ENDS), 3 * MINUTE, 6 * MINUTE)},
    "relay-late": {
        "behind for hours": Day(
            every(10, 2 * RELAY_LATE_MILLISECONDS, BEGINS, ENDS), 6 * MINUTE, 12 * MINUTE
        ),
        "one late minute": Day(every(10, RELAY_LATE_MILLISECONDS, BEGINS, BEGINS + MINUTE), None),
        "in time": Day(every(10, 500), None),
    },
    "fails": ALWAYS_FAILS,
    "throttled": ALWAYS_FAILS,
    "recursion-stopped": {"it is": Day(counted(10), 3 * MINUTE, 6 * MINUTE), "it is not": Day([], None)},
    "burning": {
        "for hours": Day(every(MINUTE, 20, BEGINS, ENDS), 6 * MINUTE, 12 * MINUTE),
        "one bad minute": Day([*every(MINUTE, 0), (BEGINS, 20)], None),
        "nothing is delivered": Day([], None),
    },
}


def rules() -> dict[str, Rule]:
    """Every rule by its ending."""
    alarms = [alarm for region in TOPOLOGY.regions for alarm in alarms_of(TOPOLOGY, region)]
    return {alarm.rule.ending: alarm.rule for alarm in alarms} | {
        "relay-dead": next(alarm.rule for alarm in alarms if alarm.name.endswith("relay-dead"))
    }


def cases() -> Iterator[tuple[str, str]]:
    for ending, days in DAYS.items():
        yield from ((ending, name) for name in days)


def changes(rule: Rule, points: Points, *, more: int) -> list[tuple[int, State]]:
    """Return when the alarm went off, and when it was over, once it has existed for an hour."""
    moves: list[tuple[int, State]] = []
    was_on = False
    for minute, state in states(rule, points, until_minute=UNTIL // MINUTE, more=more):
        if minute >= HOUR and (state is State.ALARM) != was_on:
            was_on = not was_on
            moves.append((minute, state))
    return moves


def test_there_is_a_day_for_each_alarm() -> None:
    assert set(rules()) == set(DAYS)


@pytest.mark.parametrize(("ending", "name"), list(cases()))
@pytest.mark.parametrize("more", [0, 2, 5])
def test_it_goes_off_and_is_over_when_it_should(ending: str, name: str, more: int) -> None:
    rule, day = rules()[ending], DAYS[ending][name]
    moves = changes(rule, day.points, more=more)
    if day.fires_within is None:
        assert moves == []
        return
    assert [state for _, state in moves] == [State.ALARM, State.OK]
    (went_off, _), (was_over, _) = moves
    # Datapoints beyond the rule's periods are taken for those that are missing, which holds both back.
    late = more * rule.period_seconds if rule.missing is not Missing.AS_BEFORE else 0
    assert BEGINS <= went_off <= BEGINS + day.fires_within + (late if rule.is_below else 0)
    assert ENDS <= was_over <= ENDS + day.ends_within + late


@pytest.mark.parametrize(
    ("datapoints", "row", "ignored", "breaching", "fine"),
    [
        (3, "0-X-X", "OK", "OK", "OK"),
        (3, "----0", "OK", "OK", "OK"),
        (3, "-----", "before", "ALARM", "OK"),
        (3, "0XX-X", "ALARM", "ALARM", "ALARM"),
        (3, "--X--", "before", "ALARM", "OK"),
        (2, "0-X-X", "ALARM", "ALARM", "ALARM"),
        (2, "00X0X", "ALARM", "ALARM", "ALARM"),
        (2, "0-X--", "OK", "ALARM", "OK"),
        (2, "----0", "OK", "ALARM", "OK"),
        (2, "----X", "before", "ALARM", "OK"),
    ],
)
def test_alarms_are_evaluated_as_aws_documents_it(
    datapoints: int, row: str, ignored: str, breaching: str, fine: str
) -> None:
    points = [{"0": 0.0, "X": 1.0, "-": None}[mark] for mark in row]
    for missing, wanted in ((Missing.AS_BEFORE, ignored), (Missing.BAD, breaching), (Missing.FINE, fine)):
        rule = Rule("x", "", "", missing, periods=3, datapoints=datapoints)
        for before in (State.OK, State.ALARM):
            assert evaluate(rule, points, before) == (before if wanted == "before" else wanted), missing


def test_a_rule_of_errors_in_three_periods_in_a_row_would_not_see_one_in_twelve_minutes() -> None:
    in_a_row = replace(rules()["fails"], periods=3, datapoints=3)
    assert changes(in_a_row, invocations(SELDOM), more=0) == []


@pytest.mark.parametrize("ending", ["fails", "throttled", "blocked"])
def test_a_function_that_may_run_longer_is_seen_to_fail_at_its_slower_pace(ending: str) -> None:
    slow = Topology(
        parse_definition(
            '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\n[subscriptions.billing]\n'
            'stream = "orders"\nhandler = "a.b:c"\nfunction.timeout_seconds = 900\n'
        )
    )
    by_name = {alarm.name: alarm.rule for alarm in alarms_of(slow, "us-east-1")}
    rule = by_name[f"shop-billing-{ending}"]
    seldom = slow.subscription("billing").queue.visibility_timeout_seconds
    assert rule.periods * rule.period_seconds >= seldom + 2 * rule.period_seconds
    assert [state for _, state in changes(rule, invocations(seldom), more=0)][:1] == [State.ALARM]
    assert changes(rules()[ending], invocations(seldom), more=0) == []
    assert by_name.get("shop-relay-fails", rule).periods in (rules()["fails"].periods, rule.periods)


@pytest.mark.parametrize(("subscriptions", "alarms"), [(1, 22), (10, 103), (100, 913)])
def test_what_is_watched_costs_no_more_than_it_is_worth(subscriptions: int, alarms: int) -> None:
    """Alarms of one Region: nine a subscription, six a stream, seven a Region; each costs ten cents a month."""
    many = "".join(
        f'[subscriptions.s{number}]\nstream = "orders"\nhandler = "subscribers.any:handle"\n'
        for number in range(subscriptions)
    )
    fabric = '[fabric]\nname = "many"\nregions = ["us-east-1", "eu-west-1"]\n[streams.orders]\n'
    declared: list[Alarm] = alarms_of(Topology(parse_definition(fabric + many)), "us-east-1")
    assert len(declared) == alarms
    assert len({alarm.series for alarm in declared}) == len(declared), "a series that is watched twice"
    assert all(isinstance(alarm.series, Series) for alarm in declared)
