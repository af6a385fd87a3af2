"""The alarms and objectives of each Region, declared once as data: the rules of alarm_rules.py, for each resource.

With `alarms = "few"`, a rule is for all subscriptions or streams of the Region together; with "all", for each of them.

The deployment creates them, docs/runbook.md has a section for each, and tests compare the three. Nothing here calls
AWS: metrics are those of `telemetry` or of AWS itself, and resources have the names that `topology` gives them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from eventfabric import limits
from eventfabric.definition.sections import Slo
from eventfabric.deployment.alarm_rules import (
    DOORBELLS_DEAD,
    FAILS,
    NEW_VERSION_FAILS,
    NOT_RECONCILED,
    OF_GATES,
    OF_REPLICAS,
    OF_STREAM,
    OF_SUBSCRIPTION,
    RECURSION,
    REFUSED,
    RELAY_DEAD,
    RELAY_LATE,
    THROTTLED,
    TIMERS_DEAD,
    Missing,
    Rule,
)
from eventfabric.deployment.series import Series, of_fabric, of_function, of_metric, of_queue
from eventfabric.resources import FunctionTopology
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.telemetry import NAMESPACE, Metric
from eventfabric.topology import Topology

RUNBOOK: Final = "docs/runbook.md"
BURN_WINDOW_MINUTES: Final = 60
BURN_SHARE: Final = 0.02
"""Share of an objective's whole error budget that raises an alarm if it burns within BURN_WINDOW_MINUTES."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of a Region."""

    name: str
    series: Series
    rule: Rule

    @property
    def description(self) -> str:
        """The alarm's meaning, which metric says whose it is, and a link to the section that says what to do."""
        whose = ""
        if self.series.namespace == NAMESPACE and len(self.series.dimensions) == 1:
            dimension = Metric(self.series.name).dimension
            whose = f" The metric {self.series.name} says which {dimension}." if dimension else ""
        return f"{self.rule.means}{whose} See {RUNBOOK}#{anchor(self.rule.section)}"


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


def alarms_of(topology: Topology, region: str) -> list[Alarm]:
    """List every alarm of a Region that tells somebody, which is all but those of `gradual_in`."""
    return [
        *alarms_of_region(topology, region),
        *(
            alarm
            for subscription in topology.subscriptions_in(region)
            for alarm in alarms_of_subscription(topology, subscription, region)
        ),
    ]


def alarms_of_region(topology: Topology, region: str) -> list[Alarm]:
    """List the alarms of a Region that are not of a subscription."""
    streams = topology.streams_in(region)
    if not has_all(topology):
        return [*_of_the_region(topology, region), *_of_the_fabric(topology, region)]
    return [*_of_the_region(topology, region), *(alarm for stream in streams for alarm in _of_stream(stream))]


def alarms_of_subscription(
    topology: Topology, subscription: SubscriptionTopology, region: str
) -> list[Alarm]:
    """List the alarms of a subscription in a Region."""
    own = _of_subscription(topology, subscription, region)
    objective = objective_of(subscription, region)
    burning = [] if objective is None else [_burning(objective)]
    return [*(own if has_all(topology) else _of_unseen_losses(topology, subscription, region)), *burning]


def gradual_in(topology: Topology, region: str) -> list[SubscriptionTopology]:
    """List the subscriptions of a Region whose versions take over gradually.

    Each has `alarm_of_new_version` and a role for CodeDeploy, in its own stack.
    """
    return [own for own in topology.subscriptions_in(region) if own.definition.function.is_gradual]


def alarm_of_new_version(function: str, alias: str, version: str) -> Alarm:
    """Make the alarm at which CodeDeploy moves the alias of a function back from a version to the one before."""
    dimensions = (
        ("FunctionName", function),
        ("Resource", f"{function}:{alias}"),
        ("ExecutedVersion", version),
    )
    return Alarm(
        f"{function}-{NEW_VERSION_FAILS.ending}",
        Series("AWS/Lambda", "Errors", dimensions),
        NEW_VERSION_FAILS,
    )


def has_all(topology: Topology) -> bool:
    """Tell if each subscription and each stream has alarms of its own."""
    return topology.definition.fabric.alarms == "all"


def objectives_of(topology: Topology, region: str) -> list[Objective]:
    """List the objectives of a Region."""
    objectives = (objective_of(subscription, region) for subscription in topology.subscriptions_in(region))
    return [objective for objective in objectives if objective is not None]


def objective_of(subscription: SubscriptionTopology, region: str) -> Objective | None:
    """Return the objective of a subscription, if it has one and the Region delivers for it by the definition."""
    slo = subscription.definition.slo
    if slo is None or not any(subscription.delivers(origin, region) for origin in subscription.regions):
        return None
    return Objective(
        f"{subscription.function_name}-latency",
        f"{subscription.name}: events are committed {slo.latency_ms} ms after their append.",
        of_metric(subscription.fabric, Metric.DELIVERY_LATENCY, subscription.name),
        slo,
    )


def topics_in(topology: Topology, region: str) -> list[str]:
    """List the SNS topics that the alarms of a Region notify."""
    return [arn for arn in topology.definition.fabric.alarm_actions if arn.split(":")[3] == region]


def anchor(heading: str) -> str:
    """Turn a heading of a Markdown page into the fragment that links to it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _of_the_region(topology: Topology, region: str) -> Iterator[Alarm]:
    relay, timer = topology.relay_function(region), topology.timer_function(region)
    visible = of_queue(topology.relay_dead_name, "ApproximateNumberOfMessagesVisible")
    yield Alarm(topology.relay_dead_name, visible, RELAY_DEAD)
    yield Alarm(f"{topology.fabric}-{RELAY_LATE.ending}", of_function(relay, "IteratorAge"), RELAY_LATE)
    yield from _of_function(relay)
    yield from _of_function(timer)
    if topology.subscriptions_in(region):
        dead = of_queue(topology.timers.dead_letter_name, "ApproximateNumberOfMessagesVisible")
        yield Alarm(topology.timers.dead_letter_name, dead, TIMERS_DEAD)
    completed = of_fabric(topology.fabric, Metric.PASSES_COMPLETED)
    yield Alarm(f"{topology.fabric}-{NOT_RECONCILED.ending}", completed, NOT_RECONCILED)


def _of_the_fabric(topology: Topology, region: str) -> Iterator[Alarm]:
    """Yield the alarms of all subscriptions and streams of a Region together."""
    subscriptions, streams = topology.subscriptions_in(region), topology.streams_in(region)
    returning = max((own.queue.visibility_timeout_seconds for own in subscriptions), default=0)
    is_replicated = any(len(stream.definition.regions) > 1 for stream in streams)
    for metric, rule in (
        *((*OF_SUBSCRIPTION, (Metric.MESSAGES_REFUSED, REFUSED)) if subscriptions else ()),
        *(OF_GATES if any(map(_is_gate, subscriptions)) else ()),
        *(OF_STREAM if streams else ()),
        *(OF_REPLICAS if is_replicated else ()),
    ):
        name = f"{topology.fabric}-{rule.ending}"
        yield Alarm(name, of_fabric(topology.fabric, metric), rule.returning_after(returning))


def _of_unseen_losses(topology: Topology, subscription: SubscriptionTopology, region: str) -> Iterator[Alarm]:
    """Yield the alarm of a function whose failures nothing else shows: its cursor has passed the events before.

    Any other function that fails leaves events undelivered, or doorbells that come again.
    """
    if subscription.definition.guarantee.commits_first:
        yield next(_of_function(topology.deliver_function(subscription.name, region)))


def _of_stream(stream: StreamTopology) -> Iterator[Alarm]:
    replicas = OF_REPLICAS if len(stream.definition.regions) > 1 else ()
    for metric, rule in (*OF_STREAM, *replicas):
        series = of_metric(stream.fabric, metric, stream.name)
        yield Alarm(f"{stream.fabric}-{stream.name}-{rule.ending}", series, rule)


def _of_subscription(topology: Topology, subscription: SubscriptionTopology, region: str) -> Iterator[Alarm]:
    name = subscription.function_name
    returning = subscription.queue.visibility_timeout_seconds
    for metric, rule in (*OF_SUBSCRIPTION, *(OF_GATES if _is_gate(subscription) else ())):
        series = of_metric(subscription.fabric, metric, subscription.name)
        yield Alarm(f"{name}-{rule.ending}", series, rule.returning_after(returning))
    dead = of_queue(subscription.queue.dead_letter_name, "ApproximateNumberOfMessagesVisible")
    yield Alarm(f"{name}-{DOORBELLS_DEAD.ending}", dead, DOORBELLS_DEAD)
    yield from _of_function(topology.deliver_function(subscription.name, region))


def _is_gate(subscription: SubscriptionTopology) -> bool:
    """Tell if a subscription holds producers back."""
    return subscription.definition.backpressure is not None


def _of_function(function: FunctionTopology) -> Iterator[Alarm]:
    returning = limits.VISIBILITY_TIMEOUTS * function.timeout_seconds
    for name, rule in (("Errors", FAILS), ("Throttles", THROTTLED)):
        series = of_function(function, name)
        yield Alarm(f"{function.name}-{rule.ending}", series, rule.returning_after(returning))
    if function.may_recur:
        dropped = of_function(function, "RecursiveInvocationsDropped")
        yield Alarm(f"{function.name}-{RECURSION.ending}", dropped, RECURSION)


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
