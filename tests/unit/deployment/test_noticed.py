"""Each failure of the runbook's table raises the alarm that the table names, by when it says, and the alarm ends.

A failure is what CloudWatch would get while it lasts. Gauges are silent before and after it, and passes of
reconciliation end all the time, unless they are what fails.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from eventfabric import limits
from eventfabric.definition.file import parse_definition
from eventfabric.deployment.alarm_rules import RELAY_LATE_MILLISECONDS
from eventfabric.deployment.alarms import BURN_WINDOW_MINUTES, Alarm, alarms_of, objectives_of
from eventfabric.deployment.series import Series, of_fabric, of_function, of_metric, of_queue
from eventfabric.telemetry import Dimension, Metric
from eventfabric.topology import Topology
from tests.unit.deployment.cloudwatch import Points, State, states
from tests.unit.deployment.test_alarms import BEGINS, ENDS, HOUR, MINUTE, SELDOM, UNTIL, every, passes

PAGE = (Path(__file__).parents[3] / "docs" / "runbook.md").read_text(encoding="utf-8")
REGION = "us-east-1"


@cache
def fabric(alarms: str) -> Topology:
    return Topology(
        parse_definition(f"""
            [fabric]
            name = "shop"
            alarms = "{alarms}"
            regions = ["us-east-1", "eu-west-1"]
            [streams.orders]
            [subscriptions.billing]
            stream = "orders"
            handler = "a.b:c"
            slo = {{ latency_ms = 1000, on_time_ratio = 0.99 }}
            backpressure = {{}}
            [subscriptions.metrics]
            stream = "orders"
            handler = "a.b:c"
            guarantee = "at_most_once"
        """)
    )


@dataclass
class FailingDay:
    """All that CloudWatch gets of a fabric in a day in which something fails: series by what they are of."""

    begins: float
    """Second in which the failure begins. It lasts until ENDS."""
    series: defaultdict[Series, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def lasting(self, seconds: float, value: float = 1, after: float = 0) -> Points:
        """Make a value again and again, from some time after the failure began until it ends."""
        return every(seconds, value, self.begins + after, ENDS)

    def add(self, series: Series, points: Points) -> None:
        self.series[series] += points

    def metric(self, metric: Metric, points: Points) -> None:
        """Tell a metric of the stream or subscription, and of the fabric as a whole where functions do."""
        name = "orders" if metric.dimension is Dimension.STREAM else "billing"
        if metric.is_summed:
            self.add(of_fabric("shop", metric), points)
        self.add(of_metric("shop", metric, name), points)

    def gauge(self, metric: Metric, value: float = 1, *, after: float = 0) -> None:
        """Have each pass report the gauge, from some time after the failure began until it ends."""
        self.metric(metric, passes(lambda now: value if self.begins + after <= now < ENDS else None))

    def waits(self) -> None:
        """Let an event wait from the beginning of the failure to its end."""
        age = passes(lambda now: now - self.begins if self.begins < now < ENDS else None)
        self.metric(Metric.OLDEST_UNDELIVERED, age)

    def function(self, name: str, metric: str, seconds: float = SELDOM) -> None:
        """Have Lambda report something of a function."""
        (function,) = [own for own in fabric("all").functions(REGION) if own.name == name]
        self.add(of_function(function, metric), self.lasting(seconds))

    def dead(self, queue: str, after: float = 0) -> None:
        """Let messages lie in a dead-letter queue."""
        series = of_queue(queue, "ApproximateNumberOfMessagesVisible")
        self.add(series, self.lasting(MINUTE, after=after))


def held_back(day: FailingDay) -> None:
    """Lanes are short since the failure began; a few seconds of what is usual were left to them."""
    day.metric(
        Metric.CREDIT_SHORT_SECONDS,
        passes(lambda now: now - day.begins if day.begins < now < ENDS else None),
    )
    day.gauge(Metric.CREDIT_SHORT, 64)


def cannot_start(day: FailingDay) -> None:
    day.waits()
    day.function("shop-billing", "Errors")


def throttled(day: FailingDay) -> None:
    day.waits()
    day.function("shop-billing", "Throttles")


def dropped(day: FailingDay) -> None:
    day.waits()
    day.function("shop-billing", "RecursiveInvocationsDropped", 30)


def crashes(day: FailingDay) -> None:
    """Eight attempts, each of which ends the process; the doorbell comes again after its time-out at the latest."""
    day.function("shop-billing", "Errors")
    day.metric(Metric.EVENTS_CRASHED, day.lasting(SELDOM))
    day.gauge(Metric.KEYS_DEAD, after=7 * SELDOM)


def circuit_opens(day: FailingDay) -> None:
    day.metric(Metric.CIRCUIT_OPEN, [(day.begins, 1)])
    day.gauge(Metric.CIRCUIT_OPEN)


def doorbells_die(day: FailingDay) -> None:
    day.waits()
    day.dead("shop-billing-dead.fifo", after=limits.RECEIVE_COUNT_MAX * SELDOM)


def refused(day: FailingDay) -> None:
    """Messages come again, and are in the dead-letter queue in the end."""
    day.metric(Metric.MESSAGES_REFUSED, day.lasting(limits.REFUSED_AGAIN_SECONDS))
    day.dead("shop-billing-dead.fifo", after=limits.REFUSED_AGAIN_SECONDS * limits.RECEIVE_COUNT_MAX)


def cannot_ring(day: FailingDay) -> None:
    """Little is published at first, which is noticed last; and much in the end, which is over last."""
    day.metric(Metric.DOORBELLS_FAILED, day.lasting(SELDOM))
    day.metric(Metric.DOORBELLS_FAILED, every(MINUTE, 1, ENDS - HOUR, ENDS))


def clock_is_ahead(day: FailingDay) -> None:
    day.gauge(Metric.CLOCK_AHEAD, 90)
    day.gauge(Metric.FINDINGS_ALARMED)


def burns(day: FailingDay) -> None:
    (objective,) = objectives_of(fabric("all"), REGION)
    dimensions = (("SloName", objective.name), ("BurnRateWindowMinutes", str(BURN_WINDOW_MINUTES)))
    day.add(Series("AWS/ApplicationSignals", "BurnRate", dimensions), day.lasting(MINUTE, 20))


RELAY = fabric("all").relay_function(REGION)
NO_PASS = "passes of reconciliation do not end"
FAILURES: dict[str, Callable[[FailingDay], None]] = {
    "an event becomes a dead letter": lambda day: day.gauge(Metric.KEYS_DEAD),
    "a key's event fails": lambda day: day.gauge(Metric.KEYS_FAILING, after=limits.FAILING_SECONDS),
    "a single event ends the process": crashes,
    "a system that the handler calls": circuit_opens,
    "a lane stops": lambda day: day.metric(Metric.DELIVERIES_BLOCKED, day.lasting(SELDOM)),
    "events wait": lambda day: day.waits(),
    "producers of a stream are held back": held_back,
    "a subscription's function cannot start": cannot_start,
    "a function of an `at_most_once`": lambda day: day.function("shop-metrics", "Errors"),
    "a subscription's function gets no concurrency": throttled,
    "Lambda drops invocations": dropped,
    "messages in `<fabric>-<subscription>-dead.fifo`": doorbells_die,
    "messages that are no doorbells": refused,
    "a queue does not take doorbells": cannot_ring,
    "the relay is late": lambda day: day.add(
        of_function(RELAY, "IteratorAge"), day.lasting(10, 2 * RELAY_LATE_MILLISECONDS)
    ),
    "the relay gives up": lambda day: day.dead("shop-relay-dead"),
    "messages in `<fabric>-timers-dead`": lambda day: day.dead("shop-timers-dead"),
    "the relay's or the timer's function fails": lambda day: day.function("shop-timer", "Errors"),
    "timers do not ring": lambda day: day.gauge(Metric.FINDINGS_REPAIRED, after=limits.UNRUNG_SECONDS),
    "replication stands still": lambda day: day.gauge(Metric.LANES_STALLED, after=limits.STALL_SECONDS),
    "another Region does not answer": lambda day: day.gauge(Metric.LANES_UNREACHABLE),
    "the log or a cursor": lambda day: day.gauge(Metric.FINDINGS_ALARMED),
    "a producer's clock": clock_is_ahead,
    "the log is verified too slowly": lambda day: day.gauge(Metric.OLDEST_ROUND, limits.ROUND_LATE_SECONDS),
    NO_PASS: lambda day: None,
    "an objective is missed": burns,
}
"""Failures by the beginning of their row in the table."""


def rows() -> Iterator[list[str]]:
    """Yield the rows of the runbook's table."""
    section = PAGE.partition("### What notices what")[2].partition("\n### ")[0]
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith("| what fails"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def failure_of(what: str) -> str:
    """Find the failure of a row."""
    (key,) = [key for key in FAILURES if what.startswith(key)]
    return key


def moves(alarm: Alarm, day: FailingDay) -> list[tuple[int, State]]:
    """Return when an alarm goes off, and when it is over."""
    changed: list[tuple[int, State]] = []
    was_on = False
    for second, state in states(alarm.rule, day.series.get(alarm.series, []), until_minute=UNTIL // MINUTE):
        if second >= HOUR and (state is State.ALARM) != was_on:
            was_on = not was_on
            changed.append((second, state))
    return changed


def noticed(failure: str, alarms: str, ending: str, begins: int) -> tuple[float, float]:
    """Return after how many minutes the alarm goes off, and how many after the end of the failure it is over."""
    day = FailingDay(begins)
    fails_itself = failure == NO_PASS
    ended = passes(lambda now: None if fails_itself and begins <= now < ENDS else 1)
    day.add(of_fabric("shop", Metric.PASSES_COMPLETED), ended)
    FAILURES[failure](day)
    of_kind = [alarm for alarm in alarms_of(fabric(alarms), REGION) if alarm.rule.ending == ending]
    ((went_off, on), (was_over, off)) = next(filter(None, (moves(alarm, day) for alarm in of_kind)))
    assert (on, off) == (State.ALARM, State.OK)
    return (went_off - begins) / MINUTE, (was_over - ENDS) / MINUTE


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: failure_of(row[0]))
def test_a_failure_is_noticed_by_the_alarm_and_within_the_time_of_the_table(row: list[str]) -> None:
    """The table has the longest times, to the minute, whenever between two passes a failure begins."""
    all_over = []
    for alarms, cell in zip(("few", "all"), row[1:3], strict=True):
        said = re.fullmatch(r"`([a-z-]+)` (\d+) min", cell)
        assert said is not None, cell
        minutes = [
            noticed(failure_of(row[0]), alarms, said[1], BEGINS + 55 + minute * MINUTE) for minute in range(5)
        ]
        assert math.ceil(max(on_after for on_after, _ in minutes)) == int(said[2]), alarms
        all_over += [over for _, over in minutes]
    assert f"{math.ceil(max(all_over))} min" == row[3]


def test_every_failure_has_a_row_and_every_alarm_is_in_one() -> None:
    table = list(rows())
    assert sorted(failure_of(row[0]) for row in table) == sorted(FAILURES)
    named = {ending for row in table for ending in re.findall(r"`([a-z-]+)` \d+ min", " ".join(row[1:3]))}
    for alarms in ("few", "all"):
        assert {alarm.rule.ending for alarm in alarms_of(fabric(alarms), REGION)} <= named | {
            "doorbells-dead"
        }


def test_every_sign_of_the_runbook_is_noticed_or_said_to_need_no_alarm() -> None:
    signs = PAGE.partition("## Alarms")[0]
    section = PAGE.partition("### What notices what")[2].partition("\n### ")[0]
    metrics = {
        name
        for line in signs.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([A-Z]\w+)`", line.split("|")[1])
    }
    assert metrics & {str(metric) for metric in Metric}
    assert {name for name in metrics if f"`{name}`" not in section} == set()
