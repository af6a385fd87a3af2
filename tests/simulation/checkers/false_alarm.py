"""False alarm: reconciliation raises an alarm although nothing went wrong."""

from typing import Final

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "false_alarm"
_NEVER: Final = (
    "divergence",
    "cursor_ahead",
    "cursor_broken",
    "cursor_back",
    "parked_differs",
    "stale_owner",
)
_EXPIRY: Final = ("expires_soon", "expired_unread")
_OF_ITEMS: Final = ("unreadable", "far_tail")
_OF_CLOCKS: Final = ("clock", "producer_clock")


def check(of: History) -> Verdict:
    """Check that alarms need a reason: of tampering, a change; of expiry, a retention; of waiting, a wanted event.

    Of what is abandoned, a deletion.
    """
    facts = facts_of(of)
    anomalies: list[Anomaly] = []
    touched = {entry.lane for entry in of.entries if isinstance(entry, history.Tampered)}
    for number, entry in enumerate(of.entries):
        if not isinstance(entry, history.Found) or entry.lane in touched:
            continue
        if entry.finding == "unrung" and not _waits(facts, entry, number):
            what = f"{entry.region} rang {entry.subscription} for {entry.lane}@{entry.sequence}, where nothing waits"
            anomalies.append(Anomaly(what, number))
        if not entry.alarm:
            continue
        if entry.finding == "stale_owner" and _went_on(of, number, entry):
            continue
        wrong = (
            entry.finding in _NEVER
            or (entry.finding in _EXPIRY and not facts.plan.retention_days)
            or (entry.finding in _OF_ITEMS and not touched)
            or (entry.finding == "clock_ahead" and _clocks_are_right(facts))
            or (entry.finding == "abandoned" and facts.plan.by_catalogue)  # no stack is deleted there
        )
        if wrong:
            what = (
                f"{entry.region} found {entry.finding} of {entry.lane}@{entry.sequence} {entry.subscription}"
            )
            anomalies.append(Anomaly(what, number))
    return verdict(NAME, anomalies)


def _clocks_are_right(facts: Facts) -> bool:
    return not facts.plan.rate("skew") and all(
        happening.what not in _OF_CLOCKS for happening in facts.plan.happenings
    )


def _waits(facts: Facts, finding: history.Found, number: int) -> bool:
    """Tell if the lane has a wanted event at the cursor or behind it, or a seal that is to be passed."""
    return facts.seals.get(finding.lane, -1) >= finding.sequence or any(
        event.sequence >= finding.sequence
        and event.entry < number
        and facts.wants(finding.subscription, event)
        for event in facts.lanes.get(finding.lane, [])
    )


def _went_on(of: History, number: int, finding: history.Found) -> bool:
    """Tell if a Region wrote a cursor after its lane was handed over, as a machine that was frozen may do."""
    origin = finding.lane.partition("/")[0]
    handed = [
        entry
        for entry in of.entries[:number]
        if isinstance(entry, history.HandedOver)
        and (entry.subscription, entry.origin) == (finding.subscription, origin)
    ]
    moved = [
        entry
        for entry in of.entries[:number]
        if isinstance(entry, history.CursorMoved)
        and not entry.copied
        and (entry.subscription, entry.lane) == (finding.subscription, finding.lane)
    ]
    # The handover's own time counts, since its writer may be delayed before writing it.
    return any(move.after.epoch < to.epoch and move.at_ms > to.since_ms for move in moved for to in handed)
