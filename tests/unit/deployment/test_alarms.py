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
from eventfabric.deployment.alarm_rules import (
    DELAYED_SECONDS,
    HELD_BACK_SECONDS,
    HOLD_PERIODS,
    RELAY_LATE_MILLISECONDS,
    Missing,
    Rule,
)
from eventfabric.deployment.alarms import Alarm, alarms_of
from eventfabric.deployment.series import Series
from eventfabric.topology import Topology
from tests.unit.deployment.cloudwatch import Points, State, evaluate, states

MINUTE, HOUR = 60, 3_600
BEGINS, ENDS, UNTIL = 3 * HOUR, 6 * HOUR, 9 * HOUR
SELDOM = limits.VISIBILITY_TIMEOUT_SECONDS
"""From one invocation to the next where one doorbell comes again and again."""
HELD = (HOLD_PERIODS + 2) * 5 * MINUTE
"""By when an alarm of a gauge is over, after the last pass that reported it."""


def topology(alarms: str) -> Topology:
    return Topology(
        parse_definition(
            f'[fabric]\nname = "shop"\nalarms = "{alarms}"\nregions = ["us-east-1", "eu-west-1"]\n'
            '[streams.orders]\n[subscriptions.billing]\nstream = "orders"\nhandler = "subscribers.billing:charge"\n'
            "slo = { latency_ms = 1000, on_time_ratio = 0.99 }\nbackpressure = {}\n"
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
    """A gauge that is reported only while something is wrong."""
    return passes(lambda now: bad if BEGINS <= now < ENDS else None)


def burst(value: float = 1) -> Points:
    """Something wrong in one pass of a whole day."""
    return passes(lambda now: value if BEGINS <= now < BEGINS + 5 * MINUTE else None)


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
            passes(lambda now: now - BEGINS if BEGINS < now < ENDS else None),
            DELAYED_SECONDS + 12 * MINUTE,
            HELD,
        ),
        "an age that never gets there": Day(gauge(DELAYED_SECONDS - 1), None),
        "one pass that was late": Day(burst(DELAYED_SECONDS), None),
    },
    "held-back": {
        "a wait that grows": Day(
            passes(lambda now: now - BEGINS if BEGINS < now < ENDS else None),
            HELD_BACK_SECONDS + 12 * MINUTE,
            HELD,
        ),
        "waits that end soon": Day(gauge(HELD_BACK_SECONDS - 1), None),
        "one pass in which a lane was short by chance": Day(burst(HELD_BACK_SECONDS), None),
    },
    "circuit-open": {
        "it opens, as a delivery tells": Day([(BEGINS, 1), *gauge(1)], 2 * MINUTE, HELD),
        "it never does": Day([], None),
    },
    "keys-failing": {"keys that keep failing": Day(gauge(2), 6 * MINUTE, HELD), "none": Day([], None)},
    "dead-letters": {"one that lies there": Day(gauge(1), 6 * MINUTE, HELD)},
    "blocked": {
        "denied in 12 minutes": Day(counted(SELDOM), 20 * MINUTE, 45 * MINUTE),
        "denied every few seconds": Day(counted(5), 12 * MINUTE, 45 * MINUTE),
        "denied once": Day([(BEGINS, 1)], None),
        "denied for a minute, while a permission is replaced": Day(every(1, 1, BEGINS, BEGINS + 10), None),
    },
    "unverified": {
        "rounds that do not end": Day(gauge(limits.ROUND_LATE_SECONDS), 12 * MINUTE, HELD),
        "one that takes a week": Day(gauge(limits.ROUND_LATE_SECONDS // 2), None),
    },
    "not-reconciled": {
        "no pass comes to its end": Day(silence(while_wrong=True), 30 * MINUTE, 7 * MINUTE),
        "passes go on": Day(silence(while_wrong=False), None),
    },
    "findings": {
        "a finding that stays": Day(gauge(1), 6 * MINUTE, HELD),
        "none": Day([], None),
    },
    "repairs": {
        "in each pass": Day(
            passes(lambda now: 1 if BEGINS <= now < ENDS else None), 17 * MINUTE, 75 * MINUTE
        ),
        "once in 12 minutes": Day(counted(SELDOM), 32 * MINUTE, 75 * MINUTE),
        "once": Day([(BEGINS, 3)], None),
    },
    "stalled": {
        "for hours": Day(gauge(1), 6 * MINUTE, HELD),
        "never": Day([], None),
    },
    "unreachable": {
        "for hours": Day(gauge(4), 12 * MINUTE, HELD),
        "in one pass": Day(burst(), None),
    },
    "doorbells-failed": {
        "a queue that is gone, and little happens": Day(counted(SELDOM), 32 * MINUTE, 75 * MINUTE),
        "a queue that is gone": Day(counted(5), 17 * MINUTE, 75 * MINUTE),
        "two calls without an answer": Day([(BEGINS, 1), (BEGINS + 7 * MINUTE, 1)], None),
    },
    "refused": {
        "one that comes again": Day(counted(limits.REFUSED_AGAIN_SECONDS), 12 * MINUTE, 45 * MINUTE),
        "one time": Day([(BEGINS, 1)], None),
    },
    "doorbells-dead": {
        "messages that lie there": Day(every(MINUTE, 1, BEGINS, ENDS), 3 * MINUTE, 6 * MINUTE),
        "nothing is told of an empty queue": Day([], None),
    },
    "timers-dead": {"messages that lie there": Day(every(MINUTE, 1, BEGINS, ENDS), 3 * MINUTE, 6 * MINUTE)},
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
    return {
        alarm.rule.ending: alarm.rule
        for alarms in ("few", "all")
        for alarm in alarms_of(topology(alarms), "us-east-1")
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
    late = more * rule.period_seconds
    assert BEGINS <= went_off <= BEGINS + day.fires_within + (late if rule.is_below else 0)
    assert ENDS <= was_over <= ENDS + day.ends_within + late


@pytest.mark.parametrize(
    ("datapoints", "row", "breaching", "fine"),
    [
        (3, "0-X-X", "OK", "OK"),
        (3, "----0", "OK", "OK"),
        (3, "-----", "ALARM", "OK"),
        (3, "0XX-X", "ALARM", "ALARM"),
        (3, "--X--", "ALARM", "OK"),
        (2, "0-X-X", "ALARM", "ALARM"),
        (2, "00X0X", "ALARM", "ALARM"),
        (2, "0-X--", "ALARM", "OK"),
        (2, "----0", "ALARM", "OK"),
        (2, "----X", "ALARM", "OK"),
    ],
)
def test_alarms_are_evaluated_as_aws_documents_it(
    datapoints: int, row: str, breaching: str, fine: str
) -> None:
    points = [{"0": 0.0, "X": 1.0, "-": None}[mark] for mark in row]
    for missing, wanted in ((Missing.BAD, breaching), (Missing.FINE, fine)):
        rule = Rule("x", "", "", missing, periods=3, datapoints=datapoints)
        assert evaluate(rule, points) == wanted, missing


GAUGES = (
    "delayed",
    "circuit-open",
    "keys-failing",
    "dead-letters",
    "unverified",
    "findings",
    "stalled",
    "unreachable",
)


@pytest.mark.parametrize("ending", GAUGES)
@pytest.mark.parametrize("more", [0, 2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_an_alarm_is_not_over_in_silence_before_the_missing_passes_are_one(
    ending: str, more: int, seed: int
) -> None:
    """Passes end at `ENDS`, but what is wrong does not."""
    rule = rules()[ending]
    reported = passes(lambda now: 2 * rule.threshold if BEGINS <= now < ENDS else None, seed=seed)
    ended = passes(lambda now: 1 if now < ENDS else None, seed=seed)
    held = dict(states(rule, reported, until_minute=UNTIL // MINUTE, more=more))
    passes_missed = dict(states(rules()["not-reconciled"], ended, until_minute=UNTIL // MINUTE, more=more))
    on = [
        minute for minute in held if minute > BEGINS and State.ALARM in (held[minute], passes_missed[minute])
    ]
    assert on == list(range(min(on), UNTIL, MINUTE)), "a gap"
    assert held[UNTIL - MINUTE] is State.OK


def test_a_gauge_that_is_held_no_longer_than_passes_are_missed_would_leave_a_gap() -> None:
    rule, silent = rules()["findings"], rules()["not-reconciled"]
    short = replace(rule, periods=silent.periods - 1)
    reported = passes(lambda now: 1 if BEGINS <= now < ENDS else None)
    on = dict(states(short, reported, until_minute=UNTIL // MINUTE, more=0))
    ended = passes(lambda now: 1 if now < ENDS else None)
    passes_missed = dict(states(silent, ended, until_minute=UNTIL // MINUTE, more=0))
    assert any(
        State.ALARM not in (on[minute], passes_missed[minute]) for minute in range(ENDS, ENDS + HOUR, MINUTE)
    )


def test_a_rule_of_errors_in_three_periods_in_a_row_would_not_see_one_in_twelve_minutes() -> None:
    in_a_row = replace(rules()["fails"], periods=3, datapoints=3)
    assert changes(in_a_row, invocations(SELDOM), more=0) == []


@pytest.mark.parametrize(
    ("alarms", "name"),
    [("all", "billing-fails"), ("all", "billing-throttled"), ("all", "billing-blocked"), ("few", "blocked")],
)
def test_a_function_that_may_run_longer_is_seen_to_fail_at_its_slower_pace(alarms: str, name: str) -> None:
    slow = Topology(
        parse_definition(
            f'[fabric]\nname = "shop"\nalarms = "{alarms}"\nregions = ["us-east-1"]\n[streams.orders]\n'
            "[subscriptions.billing]\n"
            'stream = "orders"\nhandler = "a.b:c"\nfunction.timeout_seconds = 900\n'
        )
    )
    by_name = {alarm.name: alarm.rule for alarm in alarms_of(slow, "us-east-1")}
    rule, ending = by_name[f"shop-{name}"], name.rpartition("-")[2]
    seldom = slow.subscription("billing").queue.visibility_timeout_seconds
    assert rule.periods * rule.period_seconds >= seldom + 2 * rule.period_seconds
    assert [state for _, state in changes(rule, invocations(seldom), more=0)][:1] == [State.ALARM]
    assert changes(rules()[ending], invocations(seldom), more=0) == []
    assert by_name.get("shop-relay-fails", rule).periods in (rules()["fails"].periods, rule.periods)


def many(subscriptions: int, alarms: str, settings: str = "") -> Topology:
    fabric = f'[fabric]\nname = "many"\nalarms = "{alarms}"\nregions = ["us-east-1", "eu-west-1"]\n[streams.orders]\n'
    return Topology(
        parse_definition(
            fabric
            + "".join(
                f'[subscriptions.s{number}]\nstream = "orders"\nhandler = "subscribers.any:handle"\n{settings}\n'
                for number in range(subscriptions)
            )
        )
    )


@pytest.mark.parametrize(
    ("alarms", "subscriptions", "count"),
    [("few", 0, 14), ("few", 1, 21), ("few", 100, 21), ("all", 1, 24), ("all", 10, 105), ("all", 100, 915)],
)
def test_what_is_watched_costs_no_more_than_it_is_worth(alarms: str, subscriptions: int, count: int) -> None:
    """Alarms of one Region: each costs ten cents a month."""
    declared: list[Alarm] = alarms_of(many(subscriptions, alarms), "us-east-1")
    assert len(declared) == count
    assert len({alarm.name for alarm in declared}) == count
    assert len({alarm.series for alarm in declared}) == count, "a series that is watched twice"
    assert all(isinstance(alarm.series, Series) for alarm in declared)


def test_who_commits_first_has_an_alarm_of_its_own_for_what_nothing_else_shows() -> None:
    declared = alarms_of(many(2, "few", 'guarantee = "at_most_once"'), "us-east-1")
    assert {"many-s0-fails", "many-s1-fails"} == {
        alarm.name for alarm in declared if "-s0-" in alarm.name or "-s1-" in alarm.name
    }


def test_an_alarm_of_all_names_the_metric_that_says_whose_it_is() -> None:
    by_name = {alarm.name: alarm.description for alarm in alarms_of(topology("few"), "us-east-1")}
    assert "The metric KeysDead says which subscription." in by_name["shop-dead-letters"]
    assert "The metric LanesStalled says which stream." in by_name["shop-stalled"]
    assert not any("says which" in by_name[f"shop-{own}"] for own in ("not-reconciled", "relay-late"))
