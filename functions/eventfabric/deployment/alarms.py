"""The alarms and objectives of each Region, declared once as data.

The deployment creates them, docs/runbook.md has a section for each, and tests compare the three. Nothing here calls
AWS: metrics are those of `telemetry` or of AWS itself, and resources have the names that `topology` gives them.

The first word of an alarm's description says what happens to deliveries:

    Delay    deliveries continue, but late: the oldest undelivered event, the relay's lag, throttles, the objective
    Outage   something is not delivered until its cause is gone: an open circuit, failing functions, refused calls
    (else)   deliveries continue, and a person must deal with what was set aside: dead letters, findings
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
"""Age of an undelivered event that raises an alarm. Reconciliation has rung for the event again before that."""
RELAY_LATE_MILLISECONDS: Final = 60_000
BURN_WINDOW_MINUTES: Final = 60
BURN_SHARE: Final = 0.02
"""Share of an objective's whole error budget that raises an alarm if it burns within BURN_WINDOW_MINUTES."""
_PASS_SECONDS: Final = 60 * RECONCILE_MINUTES
_AGAIN_PERIODS: Final = 6
"""Periods in which two errors raise an alarm: a failed doorbell comes again within them, after its time-out."""
assert _AGAIN_PERIODS * _PASS_SECONDS >= limits.VISIBILITY_TIMEOUT_SECONDS + 2 * _PASS_SECONDS
_HOUR_PERIODS: Final = 3600 // _PASS_SECONDS


class Missing(StrEnum):
    """CloudWatch's treatment of a period without data."""

    FINE = "notBreaching"
    """No data means that nothing happened: AWS reports no errors for a function that nobody invoked."""
    BAD = "breaching"
    """No data is the problem that the alarm is for."""
    AS_BEFORE = "ignore"
    """The alarm keeps its state: a gauge is reported by each pass of reconciliation, and a missing pass has its own."""


@dataclass(frozen=True, slots=True)
class Series:
    """One metric as CloudWatch keeps it in a Region."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """The condition of an alarm: `datapoints` of the last `periods` are at the threshold or beyond it.

    `ending` ends the alarm's name, `means` describes it in one or two sentences, and `section` is the heading in the
    runbook that says what to do.
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
    """If True, the alarm goes off below the threshold."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of a Region."""

    name: str
    series: Series
    rule: Rule

    @property
    def description(self) -> str:
        """The alarm's meaning, and a link to the runbook section that says what to do."""
        return f"{self.rule.means} See {RUNBOOK}#{anchor(self.rule.section)}"


@dataclass(frozen=True, slots=True)
class Objective:
    """A service level objective of a subscription in a Region. A minute is good if the p99 of `series` is in time."""

    name: str
    description: str
    series: Series
    slo: Slo

    @property
    def goal_percent(self) -> float:
        """Share of minutes that must be good, in percent."""
        return round(100 * self.slo.on_time_ratio, 4)

    @property
    def burn_rate_max(self) -> float:
        """Burn rate over one hour that raises the alarm; 1 uses up the budget in exactly `slo.days`.

        Capped below the highest rate that is possible, so that the alarm can always go off.
        """
        share = max(1.0, BURN_SHARE * self.slo.days * 24 * 60 / BURN_WINDOW_MINUTES)
        return round(min(share, 0.9 / (1 - self.slo.on_time_ratio)), 2)


_OF_SUBSCRIPTION: Final = (
    (
        Metric.OLDEST_UNDELIVERED,
        Rule(
            "delayed",
            f"Delay: the oldest undelivered event has waited for more than {DELAYED_SECONDS // 60} minutes. "
            "It is still in the log: no event is lost.",
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
            "Outage: so many events fail that a system which the handler calls is probably down. Deliveries are "
            f"stopped, except for one probe every {limits.CIRCUIT_PROBE_SECONDS} seconds; events wait in the log.",
            "A circuit is open",
            Missing.AS_BEFORE,
            period_seconds=60,
        ),
    ),
    (
        Metric.KEYS_RETRYING,
        Rule(
            "keys-failing",
            "For 15 minutes there have been keys whose events fail and are retried. Other keys are delivered.",
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
            "At least one event is a dead letter: it failed for good and is not retried until someone redrives or "
            "discards it. Later events of its key wait behind it.",
            "Dead letters",
            Missing.AS_BEFORE,
        ),
    ),
    (
        Metric.DELIVERIES_BLOCKED,
        Rule(
            "blocked",
            "Outage: a lane has stopped, or AWS refuses calls of this function, for a reason that does not go away "
            "by itself: a missing permission, table or key, a quota, or a record that cannot be read.",
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
    "Delay: reconciliation had to repair something in 3 passes within the last hour. Doorbells, timers or replication "
    "do not work as they should, so events arrive late.",
    "Reconciliation has to repair",
    Missing.FINE,
    statistic="Sum",
    periods=_HOUR_PERIODS,
    datapoints=3,
)
_STALLED: Final = Rule(
    "stalled",
    "Replication from another Region has stopped. Reconciliation copies the missing records instead, so events of "
    "that Region arrive late.",
    "Replication stands still",
    Missing.AS_BEFORE,
)
_UNREACHABLE: Final = Rule(
    "unreachable",
    "Outage: another Region of this stream has not answered two passes of reconciliation in a row.",
    "A Region does not answer",
    Missing.AS_BEFORE,
    periods=2,
    datapoints=2,
)
_UNVERIFIED: Final = Rule(
    "unverified",
    f"Part of this stream's log was last verified more than {limits.ROUND_LATE_SECONDS // 86_400} days ago, because "
    "reconciliation cannot keep up. Deliveries continue, but a record that someone removed would be noticed late.",
    "The log is not verified again",
    Missing.FINE,
    threshold=limits.ROUND_LATE_SECONDS,
    periods=2,
    datapoints=2,
)
_FINDINGS: Final = Rule(
    "findings",
    "Reconciliation found a problem that it cannot or must not repair; `eventfabric reconcile` lists it.",
    "Findings to look at",
    Missing.AS_BEFORE,
)
_NOT_RECONCILED: Final = Rule(
    "not-reconciled",
    "No pass of reconciliation has completed for 15 minutes. Lost doorbells are not repaired, and the alarms that "
    "depend on reconciliation do not change: age of events, keys, circuits, replication, findings.",
    "No pass of reconciliation",
    Missing.BAD,
    statistic="Sum",
    periods=3,  # not one of 15 minutes: where the latest period has no data yet, CloudWatch uses the one before it
    datapoints=3,
    is_below=True,
)
_DOORBELLS_DEAD: Final = Rule(
    "doorbells-dead",
    "Outage: a doorbell was received many times without success, because the function cannot start or a lane is "
    "stopped. A doorbell carries no events, so no event is lost.",
    "Messages in a dead-letter queue",
    Missing.FINE,
    period_seconds=60,
)
_RELAY_DEAD: Final = Rule(
    "relay-dead",
    "The relay gave up on part of a table's DynamoDB stream after retrying for an hour. Reconciliation rings for the "
    "events in it, which arrive late; no event is lost.",
    "The relay is late or gave up",
    Missing.FINE,
    period_seconds=60,
)
_RELAY_LATE: Final = Rule(
    "relay-late",
    "Delay: the relay is more than a minute behind what is published, so deliveries start late.",
    "The relay is late or gave up",
    Missing.FINE,
    threshold=RELAY_LATE_MILLISECONDS,
    period_seconds=60,
    periods=5,
    datapoints=3,
)
_FAILS: Final = Rule(
    "fails",
    "Outage: invocations of this function keep ending in errors. It cannot start, or it crashes.",
    "A function fails",
    Missing.FINE,
    statistic="Sum",
    periods=_AGAIN_PERIODS,
    datapoints=2,
)
_THROTTLED: Final = Rule(
    "throttled",
    "Delay: Lambda refuses invocations of this function because no concurrency is left for it.",
    "A function is throttled",
    Missing.FINE,
    statistic="Sum",
    periods=_AGAIN_PERIODS,
    datapoints=2,
)
_RECURSION: Final = Rule(
    "recursion-stopped",
    "Lambda mistook retries for an endless loop and drops invocations of this function. Set its RecursiveLoop to "
    "Allow, as the deployment does.",
    "Recursion was stopped",
    Missing.FINE,
    statistic="Sum",
    period_seconds=60,
)


def alarms_of(topology: Topology, region: str) -> list[Alarm]:
    """List every alarm of a Region."""
    return [
        *_of_the_region(topology, region),
        *(alarm for stream in topology.streams_in(region) for alarm in _of_stream(stream)),
        *(
            alarm
            for subscription in topology.subscriptions_in(region)
            for alarm in _of_subscription(topology, subscription, region)
        ),
        *(_burning(objective) for objective in objectives_of(topology, region)),
    ]


def objectives_of(topology: Topology, region: str) -> list[Objective]:
    """List the objectives of the subscriptions that, by the definition, a Region delivers."""
    return [
        Objective(
            f"{topology.fabric}-{subscription.name}-latency",
            f"{subscription.name}: events are committed {slo.latency_ms} ms after their append.",
            of_metric(topology.fabric, Metric.DELIVERY_LATENCY, subscription.name),
            slo,
        )
        for subscription in topology.subscriptions_in(region)
        if (slo := subscription.definition.slo)
        and any(subscription.delivers(origin, region) for origin in subscription.regions)
    ]


def topics_in(topology: Topology, region: str) -> list[str]:
    """List the SNS topics that the alarms of a Region notify."""
    return [arn for arn in topology.definition.fabric.alarm_actions if arn.split(":")[3] == region]


def of_metric(fabric: str, metric: Metric, of: str) -> Series:
    """One of the fabric's own metrics, for the stream or subscription named `of`."""
    return Series(NAMESPACE, metric, (("fabric", fabric), (metric.dimension, of)))


def of_function(function: FunctionTopology, name: str) -> Series:
    """A metric that Lambda keeps of a function."""
    return Series("AWS/Lambda", name, (("FunctionName", function.name),))


def of_queue(queue: str, name: str) -> Series:
    """A metric that SQS keeps of a queue."""
    return Series("AWS/SQS", name, (("QueueName", queue),))


def anchor(heading: str) -> str:
    """Turn a heading of a Markdown page into the fragment that links to it."""
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


def _of_subscription(topology: Topology, subscription: SubscriptionTopology, region: str) -> Iterator[Alarm]:
    name = subscription.function_name
    for metric, rule in _OF_SUBSCRIPTION:
        yield Alarm(f"{name}-{rule.ending}", of_metric(subscription.fabric, metric, subscription.name), rule)
    dead = of_queue(subscription.queue.dead_letter_name, "ApproximateNumberOfMessagesVisible")
    yield Alarm(f"{name}-{_DOORBELLS_DEAD.ending}", dead, _DOORBELLS_DEAD)
    yield from _of_function(topology.deliver_function(subscription.name, region))


def _of_function(function: FunctionTopology) -> Iterator[Alarm]:
    yield Alarm(f"{function.name}-{_FAILS.ending}", of_function(function, "Errors"), _FAILS)
    yield Alarm(f"{function.name}-{_THROTTLED.ending}", of_function(function, "Throttles"), _THROTTLED)
    if function.may_recur:
        dropped = of_function(function, "RecursiveInvocationsDropped")
        yield Alarm(f"{function.name}-{_RECURSION.ending}", dropped, _RECURSION)


def _burning(objective: Objective) -> Alarm:
    """Make the alarm that warns before the error budget of an objective is used up."""
    dimensions = (("SloName", objective.name), ("BurnRateWindowMinutes", str(BURN_WINDOW_MINUTES)))
    rule = Rule(
        "burning",
        f"Delay: {BURN_SHARE:.0%} of the error budget burned within one hour, because deliveries are slower than the "
        "objective.",
        "An objective is being missed",
        Missing.FINE,  # no data: nothing was delivered, so nothing was late
        threshold=objective.burn_rate_max,
        period_seconds=60,
        periods=5,
        datapoints=3,
    )
    return Alarm(
        f"{objective.name}-{rule.ending}", Series("AWS/ApplicationSignals", "BurnRate", dimensions), rule
    )
