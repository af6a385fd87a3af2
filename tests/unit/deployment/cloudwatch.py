"""CloudWatch's evaluation of an alarm, as AWS documents it, on a series that a test makes up.

A period's datapoint is the statistic of what was told in it. CloudWatch looks at some more datapoints than the alarm
has periods (how many more is not documented), takes the newest that are there, and fills up only what is still lacking.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from enum import StrEnum

from eventfabric.deployment.alarm_rules import Missing, Rule

Points = Sequence[tuple[float, float]]
"""Values of a metric with their times in seconds."""


class State(StrEnum):
    """An alarm's."""

    OK = "OK"
    ALARM = "ALARM"


def states(
    rule: Rule, datapoints: Points, *, until_minute: int, more: int = 2
) -> Iterator[tuple[int, State]]:
    """The state at each minute. `more`: datapoints that are looked at beyond the rule's periods."""
    minutes = defaultdict[int, list[float]](list)
    for seconds, value in datapoints:
        minutes[int(seconds // 60)].append(value)
    statistic, length = (sum if rule.statistic == "Sum" else max), rule.period_seconds // 60
    period: dict[int, float] = {}
    for end in range(until_minute):
        values = [value for minute in range(end - length, end) for value in minutes.get(minute, ())]
        if values:
            period[end] = statistic(values)
    for now in range(until_minute):
        points = [period.get(now - back * length) for back in reversed(range(rule.periods + more))]
        yield now * 60, evaluate(rule, points)


def evaluate(rule: Rule, points: Sequence[float | None]) -> State:
    """The state by the datapoints of the evaluation range."""
    there = [_breaches(rule, point) for point in points if point is not None]
    newest = there[-rule.periods :]
    if sum(newest) >= rule.datapoints:
        return State.ALARM
    lacking = rule.periods - len(newest) if rule.missing is Missing.BAD else 0
    return State.ALARM if sum(newest) + lacking >= rule.datapoints else State.OK


def _breaches(rule: Rule, value: float) -> bool:
    return value < rule.threshold if rule.is_below else value >= rule.threshold
