"""The rules of all alarms, as data: when each goes off, what it means, and where the runbook says what to do.

A metric of the fabric's own gets an alarm by a line in one of the tables OF_SUBSCRIPTION, OF_GATES, OF_STREAM and
OF_REPLICAS.

A gauge is not reported while it is 0, so a period without data is fine. It is also what there is if no pass of
reconciliation ends. So an alarm of a gauge stays on for HOLD_PERIODS after it was last reported. By then
NOT_RECONCILED is on, if no pass has ended.

The first word of an alarm's description says what happens to deliveries:

    Delay    deliveries continue, but late: the oldest undelivered event, the relay's lag, throttles, the objective
    Outage   something is not delivered, or not published, until its cause is gone: an open circuit, failing functions,
             refused calls, producers that are held back
    (else)   deliveries continue, and a person must deal with what was set aside: dead letters, findings
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil
from typing import Final

from eventfabric import limits
from eventfabric.telemetry import Metric
from eventfabric.topology import RECONCILE_MINUTES

DELAYED_SECONDS: Final = 900
"""Age of an undelivered event that raises an alarm. Reconciliation has rung for the event again before that."""
HELD_BACK_SECONDS: Final = 300
"""Time without credit in a lane that raises an alarm, once two passes have seen it last for so long."""
RELAY_LATE_MILLISECONDS: Final = 60_000
_PASS_SECONDS: Final = 60 * RECONCILE_MINUTES
_AGAIN_PERIODS: Final = 6
"""Periods in which two errors raise an alarm: a failed doorbell comes again within them, after its time-out."""
assert _AGAIN_PERIODS * _PASS_SECONDS >= limits.VISIBILITY_TIMEOUT_SECONDS + 2 * _PASS_SECONDS
_HOUR_PERIODS: Final = 3600 // _PASS_SECONDS
_SILENT_PERIODS: Final = 3
"""Periods without a completed pass that raise an alarm."""
HOLD_PERIODS: Final = _SILENT_PERIODS + 1
"""Periods for which an alarm of a gauge outlives the newest report that raised it."""


class Missing(StrEnum):
    """CloudWatch's treatment of a period without data."""

    FINE = "notBreaching"
    """No data means that nothing happened: AWS reports no errors for a function that nobody invoked."""
    BAD = "breaching"
    """No data is the problem that the alarm is for."""


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
    is_rung_again: bool = False
    """If True, data points may be as far apart as a doorbell and its return after a failure."""

    def returning_after(self, seconds: int) -> "Rule":
        """Return the rule for a function whose doorbells come again after so many seconds: longer, if need be."""
        if not self.is_rung_again:
            return self
        return replace(self, periods=max(self.periods, ceil(seconds / self.period_seconds) + 2))


OF_SUBSCRIPTION: Final = (
    (
        Metric.OLDEST_UNDELIVERED,
        Rule(
            "delayed",
            f"Delay: the oldest undelivered event has waited for more than {DELAYED_SECONDS // 60} minutes. "
            "It is still in the log: no event is lost.",
            "Deliveries are late",
            Missing.FINE,
            threshold=DELAYED_SECONDS,
            periods=2 + HOLD_PERIODS,
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
            Missing.FINE,
            periods=1 + HOLD_PERIODS,
        ),
    ),
    (
        Metric.KEYS_FAILING,
        Rule(
            "keys-failing",
            f"For {limits.FAILING_SECONDS // 60} minutes there have been keys whose events fail and are retried. Other "
            "keys are delivered.",
            "Keys keep failing",
            Missing.FINE,
            periods=1 + HOLD_PERIODS,
        ),
    ),
    (
        Metric.KEYS_DEAD,
        Rule(
            "dead-letters",
            "At least one event is a dead letter: it failed for good and is not retried until someone redrives or "
            "discards it. Later events of its key wait behind it.",
            "Dead letters",
            Missing.FINE,
            periods=1 + HOLD_PERIODS,
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
            is_rung_again=True,
            datapoints=2,
        ),
    ),
)
"""Rules for the metrics of subscriptions."""
OF_GATES: Final = (
    (
        Metric.CREDIT_SHORT_SECONDS,
        Rule(
            "held-back",
            f"Outage: for more than {HELD_BACK_SECONDS // 60} minutes, producers of a stream have been waiting for a "
            "subscription that holds them back until it has delivered what they published before. What is in the log "
            "is not lost; what producers do not publish may be.",
            "Producers wait",
            Missing.FINE,
            threshold=HELD_BACK_SECONDS,
            periods=2 + HOLD_PERIODS,
            datapoints=2,
        ),
    ),
)
"""Rules for the metrics of subscriptions that hold producers back, beside those."""
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
    Missing.FINE,
    periods=1 + HOLD_PERIODS,
)
_UNREACHABLE: Final = Rule(
    "unreachable",
    "Outage: another Region of this stream has not answered two passes of reconciliation in a row.",
    "A Region does not answer",
    Missing.FINE,
    periods=2 + HOLD_PERIODS,
    datapoints=2,
)
_UNVERIFIED: Final = Rule(
    "unverified",
    f"Part of this stream's log was last verified more than {limits.ROUND_LATE_SECONDS // 86_400} days ago, because "
    "reconciliation cannot keep up. Deliveries continue, but a record that someone removed would be noticed late.",
    "The log is not verified again",
    Missing.FINE,
    threshold=limits.ROUND_LATE_SECONDS,
    periods=2 + HOLD_PERIODS,
    datapoints=2,
)
_FINDINGS: Final = Rule(
    "findings",
    "Reconciliation found a problem that it cannot or must not repair; `eventfabric reconcile` lists it.",
    "Findings to look at",
    Missing.FINE,
    periods=1 + HOLD_PERIODS,
)
NOT_RECONCILED: Final = Rule(
    "not-reconciled",
    "No pass of reconciliation has completed for 15 minutes. Lost doorbells are not repaired, and the alarms that "
    "depend on reconciliation cannot go off, and end soon: age of events, keys, circuits, replication, findings.",
    "No pass of reconciliation",
    Missing.BAD,
    statistic="Sum",
    # Not one of 15 minutes: where the latest period has no data yet, CloudWatch uses the one before it.
    periods=_SILENT_PERIODS,
    datapoints=_SILENT_PERIODS,
    is_below=True,
)
_DOORBELLS_FAILED: Final = Rule(
    "doorbells-failed",
    "Delay: a subscription's queue, or the timers, did not take doorbells, again and again. Timers or reconciliation "
    "ring later for the events, which are in the log.",
    "A queue does not take doorbells",
    Missing.FINE,
    statistic="Sum",
    periods=_HOUR_PERIODS,
    datapoints=3,  # a single call without an answer is nothing unusual
)
OF_STREAM: Final = (
    (Metric.DOORBELLS_FAILED, _DOORBELLS_FAILED),
    (Metric.FINDINGS_ALARMED, _FINDINGS),
    (Metric.FINDINGS_REPAIRED, _REPAIRS),
    (Metric.OLDEST_ROUND, _UNVERIFIED),
)
"""Rules for the metrics of streams."""
OF_REPLICAS: Final = ((Metric.LANES_STALLED, _STALLED), (Metric.LANES_UNREACHABLE, _UNREACHABLE))
"""Rules for the metrics of streams that are kept in several Regions, beside those."""
REFUSED: Final = Rule(
    "refused",
    "Messages that are no doorbells came to a queue of the fabric, and will be in its dead-letter queue. Somebody else "
    "sends to it, or a deployment is not complete. No event is lost.",
    "Messages in a dead-letter queue",
    Missing.FINE,
    statistic="Sum",
    periods=_AGAIN_PERIODS,
    datapoints=2,
)
DOORBELLS_DEAD: Final = Rule(
    "doorbells-dead",
    "Outage: a doorbell was received many times without success, because the function cannot start or a lane is "
    "stopped. A doorbell carries no events, so no event is lost.",
    "Messages in a dead-letter queue",
    Missing.FINE,
    period_seconds=60,
)
TIMERS_DEAD: Final = Rule(
    "timers-dead",
    "Delay: a timer was received many times without success, because the timer function cannot ring a subscription's "
    "queue, or the message is no timer. Reconciliation rings for parked keys that are overdue; no event is lost.",
    "Messages in a dead-letter queue",
    Missing.FINE,
    period_seconds=60,
)
RELAY_DEAD: Final = Rule(
    "relay-dead",
    "The relay gave up on part of a table's DynamoDB stream after retrying for an hour. Reconciliation rings for the "
    "events in it, which arrive late; no event is lost.",
    "The relay is late or gave up",
    Missing.FINE,
    period_seconds=60,
)
RELAY_LATE: Final = Rule(
    "relay-late",
    "Delay: the relay is more than a minute behind what is published, so deliveries start late.",
    "The relay is late or gave up",
    Missing.FINE,
    threshold=RELAY_LATE_MILLISECONDS,
    period_seconds=60,
    periods=5,
    datapoints=3,
)
FAILS: Final = Rule(
    "fails",
    "Outage: invocations of this function keep ending in errors. It cannot start, or it crashes.",
    "A function fails",
    Missing.FINE,
    statistic="Sum",
    periods=_AGAIN_PERIODS,
    is_rung_again=True,
    datapoints=2,
)
NEW_VERSION_FAILS: Final = Rule(
    "new-version-fails",
    "A version that is being deployed fails, so CodeDeploy goes back to the one before.",
    "A new version fails",
    Missing.FINE,
    statistic="Sum",
    period_seconds=60,
)
THROTTLED: Final = Rule(
    "throttled",
    "Delay: Lambda refuses invocations of this function because no concurrency is left for it.",
    "A function is throttled",
    Missing.FINE,
    statistic="Sum",
    periods=_AGAIN_PERIODS,
    is_rung_again=True,
    datapoints=2,
)
RECURSION: Final = Rule(
    "recursion-stopped",
    "Lambda mistook retries for an endless loop and drops invocations of this function. Set its RecursiveLoop to "
    "Allow, as the deployment does.",
    "Recursion was stopped",
    Missing.FINE,
    statistic="Sum",
    period_seconds=60,
)
