"""What is watched in each Region: every alarm, and every objective, declared once.

The deployment makes them, the runbook has a section for each, and tests compare all three. Pure; it names metrics that
`telemetry` declares or that AWS keeps, and resources by the names that `topology` gives them.

    delay     the oldest undelivered event, the relay's lag, throttles, the objective: deliveries go on, late
    outage    an open circuit, functions that fail, what is refused, a Region that does not answer: they do not
    for good  dead letters, dead-letter queues, findings: they go on, and somebody is needed for the rest
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from eventfabric import limits
from eventfabric.definition.schema import Slo
from eventfabric.telemetry import NAMESPACE, Metric
from eventfabric.topology import (
    RECONCILE_MINUTES,
    FunctionTopology,
    StreamTopology,
    SubscriptionTopology,
    Topology,
)

RUNBOOK: Final = "docs/runbook.md"
DELAYED_SECONDS: Final = 900
"""Age of an undelivered event that is an alarm: reconciliation has rung for it again before that."""
RELAY_LATE_MILLISECONDS: Final = 60_000
BURN_WINDOW_MINUTES: Final = 60
BURN_SHARE: Final = 0.02
"""Of an objective's budget for all its days: burnt within the window, that is an alarm."""
_PASS_SECONDS: Final = 60 * RECONCILE_MINUTES
_AGAIN_PERIODS: Final = 6
"""Periods of which two with errors are an alarm: a doorbell that failed comes after its visibility at the latest."""
assert _AGAIN_PERIODS * _PASS_SECONDS >= limits.VISIBILITY_TIMEOUT_SECONDS + 2 * _PASS_SECONDS
_HOUR_PERIODS: Final = 3600 // _PASS_SECONDS


class Missing(StrEnum):
    """What is taken for the data that a period lacks."""

    FINE = "notBreaching"
    """Nothing happened: AWS tells of no message where there is none, of no error where nothing was invoked."""
    BAD = "breaching"
    """Silence is what the alarm is for."""
    AS_BEFORE = "ignore"
    """A gauge stands as it was last told: no pass, no news. That none came is an alarm of its own."""


@dataclass(frozen=True, slots=True)
class Series:
    """One metric as CloudWatch keeps it in a Region."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """When an alarm goes off: `datapoints` of `periods` are at the threshold, or beyond. `ending`: of its name.

    `means` says it in a line, `section` is the runbook's that says what to do.
    """

    ending: str
    means: str
    section: str
    missing: Missing
    threshold: float = 1
    statistic: str = "Maximum"
    period_seconds: int = _PASS_SECONDS
    periods: int = 1
    datapoints: int = 1
    is_below: bool = False
    """Whether it goes off below the threshold."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of a Region."""

    name: str
    series: Series
    rule: Rule

    @property
    def description(self) -> str:
        """What it means, and where it is said what to do."""
        return f"{self.rule.means} See {RUNBOOK}#{anchor(self.rule.section)}"


@dataclass(frozen=True, slots=True)
class Objective:
    """A service level objective of a subscription in a Region: a minute is good if the p99 of `series` is in time."""

    name: str
    description: str
    series: Series
    slo: Slo

    @property
    def goal_percent(self) -> float:
        """Share of the minutes that are to be good, in percent."""
        return round(100 * self.slo.on_time_ratio, 4)

    @property
    def burn_rate_max(self) -> float:
        """How many times as fast as is allowed its budget may burn for an hour; never more than can be."""
        share = max(1.0, BURN_SHARE * self.slo.days * 24 * 60 / BURN_WINDOW_MINUTES)
        return round(min(share, 0.9 / (1 - self.slo.on_time_ratio)), 2)


_OF_SUBSCRIPTION: Final = (
    (
        Metric.OLDEST_UNDELIVERED,
        Rule(
            "delayed",
            f"Delay: an event waits for more than {DELAYED_SECONDS // 60} minutes, and nothing has delivered it.",
            "Deliveries are late",
            Missing.AS_BEFORE,
            threshold=DELAYED_SECONDS,
            periods=2,
            datapoints=2,
        ),
    ),
    (
        Metric.CIRCUIT_OPEN,
        Rule(
            "circuit-open",
            "Outage: what is downstream of the handler seems to be down; nothing but probes is attempted.",
            "A circuit is open",
            Missing.AS_BEFORE,
            period_seconds=60,
        ),
    ),
    (
        Metric.KEYS_RETRYING,
        Rule(
            "keys-failing",
            "Keys fail and have been tried again for a quarter of an hour; other keys go on.",
            "Keys keep failing",
            Missing.AS_BEFORE,
            periods=3,
            datapoints=3,
        ),
    ),
    (
        Metric.KEYS_DEAD,
        Rule(
            "dead-letters",
            "Events will not be tried again by themselves; their keys wait for somebody.",
            "Dead letters",
            Missing.AS_BEFORE,
        ),
    ),
    (
        Metric.DELIVERIES_BLOCKED,
        Rule(
            "blocked",
            "Outage: something is refused for a reason that does not pass by itself: denied, missing, undecodable.",
            "Deliveries are blocked",
            Missing.FINE,
            statistic="Sum",
            periods=_AGAIN_PERIODS,
            datapoints=2,
        ),
    ),
)
_REPAIRS: Final = Rule(
    "repairs",
    "Delay: pass after pass, reconciliation has to do what doorbells, timers or replication should have done.",
    "Reconciliation has to repair",
    Missing.FINE,
    statistic="Sum",
    periods=_HOUR_PERIODS,
    datapoints=3,
)
_STALLED: Final = Rule(
    "stalled",
    "Replication from another Region stands still; reconciliation copies what is missing.",
    "Replication stands still",
    Missing.AS_BEFORE,
)
_UNREACHABLE: Final = Rule(
    "unreachable",
    "Outage: another Region of the stream does not answer.",
    "A Region does not answer",
    Missing.AS_BEFORE,
    periods=2,
    datapoints=2,
)
_UNVERIFIED: Final = Rule(
    "unverified",
    "Doubt: passes of reconciliation do not get through the log again; what was removed from it is found late.",
    "The log is not verified again",
    Missing.FINE,
    threshold=limits.ROUND_LATE_SECONDS,
    periods=2,
    datapoints=2,
)
_FINDINGS: Final = Rule(
    "findings",
    "Reconciliation found what it cannot or must not repair.",
    "Findings to look at",
    Missing.AS_BEFORE,
)
_NOT_RECONCILED: Final = Rule(
    "not-reconciled",
    "No pass of reconciliation came to its end: nothing is repaired, and the alarms that it feeds are blind.",
    "No pass of reconciliation",
    Missing.BAD,
    statistic="Sum",
    periods=3,  # and not one of 15 minutes: where the last period lacks data, CloudWatch takes the one before for it
    datapoints=3,
    is_below=True,
)
_DOORBELLS_DEAD: Final = Rule(
    "doorbells-dead",
    "Outage of a function or a lane: doorbells were received too often. No event is lost with them.",
    "Messages in a dead-letter queue",
    Missing.FINE,
    period_seconds=60,
)
_RELAY_DEAD: Final = Rule(
    "relay-dead",
    "The relay gave up on a stretch of a stream; reconciliation rings for it. No event is lost with it.",
    "The relay is late or gave up",
    Missing.FINE,
    period_seconds=60,
)
_RELAY_LATE: Final = Rule(
    "relay-late",
    "Delay: the relay is a minute behind what is published.",
    "The relay is late or gave up",
    Missing.FINE,
    threshold=RELAY_LATE_MILLISECONDS,
    period_seconds=60,
    periods=5,
    datapoints=3,
)
_FAILS: Final = Rule(
    "fails",
    "Outage: invocations of the function end in errors, again and again: it cannot start, or crashes.",
    "A function fails",
    Missing.FINE,
    statistic="Sum",
    periods=_AGAIN_PERIODS,
    datapoints=2,
)
_THROTTLED: Final = Rule(
    "throttled",
    "Delay: Lambda refuses invocations of the function for want of concurrency.",
    "A function is throttled",
    Missing.FINE,
    statistic="Sum",
    periods=_AGAIN_PERIODS,
    datapoints=2,
)
_RECURSION: Final = Rule(
    "recursion-stopped",
    "Lambda took retries for an endless loop and stopped the function: its RecursiveLoop must be Allow.",
    "Recursion was stopped",
    Missing.FINE,
    statistic="Sum",
    period_seconds=60,
)


def alarms_of(topology: Topology, region: str) -> list[Alarm]:
    """Every alarm of a Region."""
    return [
        *_of_the_region(topology, region),
        *(alarm for stream in topology.streams_in(region) for alarm in _of_stream(stream)),
        *(
            alarm
            for one in topology.subscriptions_in(region)
            for alarm in _of_subscription(topology, one, region)
        ),
        *(_burning(objective) for objective in objectives_of(topology, region)),
    ]


def objectives_of(topology: Topology, region: str) -> list[Objective]:
    """The objectives of the subscriptions that a Region delivers by the definition."""
    return [
        Objective(
            f"{topology.fabric}-{one.name}-latency",
            f"Deliveries of {one.name} within {one.definition.slo.latency_ms} ms, from append to commit.",
            of_metric(topology.fabric, Metric.DELIVERY_LATENCY, one.name),
            one.definition.slo,
        )
        for one in topology.subscriptions_in(region)
        if one.definition.slo and any(one.delivers(origin, region) for origin in one.regions)
    ]


def topics_in(topology: Topology, region: str) -> list[str]:
    """The topics that alarms of a Region tell."""
    return [arn for arn in topology.definition.fabric.alarm_actions if arn.split(":")[3] == region]


def of_metric(fabric: str, metric: Metric, of: str) -> Series:
    """A metric of the fabric, of a stream or subscription."""
    return Series(NAMESPACE, metric, (("fabric", fabric), (metric.dimension, of)))


def of_function(function: FunctionTopology, name: str) -> Series:
    """A metric of Lambda's."""
    return Series("AWS/Lambda", name, (("FunctionName", function.name),))


def of_queue(queue: str, name: str) -> Series:
    """A metric of a queue's."""
    return Series("AWS/SQS", name, (("QueueName", queue),))


def anchor(heading: str) -> str:
    """Under which a heading of a page in Markdown is linked to."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _of_the_region(topology: Topology, region: str) -> Iterator[Alarm]:
    relay, timer = topology.relay_function(region), topology.timer_function(region)
    visible = of_queue(topology.relay_dead_name, "ApproximateNumberOfMessagesVisible")
    yield Alarm(topology.relay_dead_name, visible, _RELAY_DEAD)
    yield Alarm(f"{topology.fabric}-{_RELAY_LATE.ending}", of_function(relay, "IteratorAge"), _RELAY_LATE)
    yield from _of_function(relay)
    yield from _of_function(timer)


def _of_stream(stream: StreamTopology) -> Iterator[Alarm]:
    rules = [
        (Metric.PASSES_COMPLETED, _NOT_RECONCILED),
        (Metric.FINDINGS_ALARMED, _FINDINGS),
        (Metric.FINDINGS_REPAIRED, _REPAIRS),
        (Metric.OLDEST_ROUND, _UNVERIFIED),
    ]
    if len(stream.definition.regions) > 1:
        rules += [(Metric.LANES_STALLED, _STALLED), (Metric.LANES_UNREACHABLE, _UNREACHABLE)]
    for metric, rule in rules:
        series = of_metric(stream.fabric, metric, stream.name)
        yield Alarm(f"{stream.fabric}-{stream.name}-{rule.ending}", series, rule)


def _of_subscription(topology: Topology, one: SubscriptionTopology, region: str) -> Iterator[Alarm]:
    name = one.function_name
    for metric, rule in _OF_SUBSCRIPTION:
        yield Alarm(f"{name}-{rule.ending}", of_metric(one.fabric, metric, one.name), rule)
    dead = of_queue(one.queue.dead_letter_name, "ApproximateNumberOfMessagesVisible")
    yield Alarm(f"{name}-{_DOORBELLS_DEAD.ending}", dead, _DOORBELLS_DEAD)
    yield from _of_function(topology.deliver_function(one.name, region))


def _of_function(function: FunctionTopology) -> Iterator[Alarm]:
    yield Alarm(f"{function.name}-{_FAILS.ending}", of_function(function, "Errors"), _FAILS)
    yield Alarm(f"{function.name}-{_THROTTLED.ending}", of_function(function, "Throttles"), _THROTTLED)
    if function.may_recur:
        dropped = of_function(function, "RecursiveInvocationsDropped")
        yield Alarm(f"{function.name}-{_RECURSION.ending}", dropped, _RECURSION)


def _burning(objective: Objective) -> Alarm:
    """The objective's budget burns so fast that somebody should look before it is gone."""
    dimensions = (("SloName", objective.name), ("BurnRateWindowMinutes", str(BURN_WINDOW_MINUTES)))
    rule = Rule(
        "burning",
        f"Delay: within an hour, {BURN_SHARE:.0%} of the time burnt by which deliveries may miss their objective.",
        "An objective is being missed",
        Missing.FINE,  # nothing was delivered, so nothing was late
        threshold=objective.burn_rate_max,
        period_seconds=60,
        periods=5,
        datapoints=3,
    )
    return Alarm(
        f"{objective.name}-{rule.ending}", Series("AWS/ApplicationSignals", "BurnRate", dimensions), rule
    )
