"""Skipped sequence: a cursor passes an event that was not handled, parked, discarded, filtered or gone."""

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.delivering import Delivering
from tests.simulation.checkers.facts import facts_of

NAME = "skipped_sequence"


def check(of: History) -> Verdict:
    """Check every event that a cursor passes, at each of its moves."""
    facts = facts_of(of)
    delivering = Delivering(facts)
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        delivering.feed(entry)
        if not isinstance(entry, history.CursorMoved) or entry.copied or entry.actor == "tamperer":
            continue
        if facts.subscriptions[entry.subscription].guarantee.commits_first:
            continue  # the cursor moves before the attempt
        if entry.lane in facts.changed_lanes:
            continue
        taken_over = entry.after.epoch > (entry.before.epoch if entry.before else 0)
        start = 0 if entry.before is None or taken_over else entry.before.sequence
        group = facts.group(entry.subscription, entry.region)
        for logged_event in facts.lanes.get(entry.lane, []):
            if not start <= logged_event.sequence < entry.after.sequence or delivering.is_over(
                entry.subscription, group, logged_event
            ):
                continue
            if delivering.waits(entry.writer, entry.subscription, entry.lane, logged_event.sequence):
                continue
            if logged_event.batch in facts.noted and len(facts.batches[logged_event.batch]) > 1:
                continue  # its other copy is to be handed out: see lost_event
            what = (
                f"{entry.subscription} passed {logged_event.id}, {entry.lane}@{logged_event.sequence},"
                f" going to {entry.after.sequence}"
            )
            anomalies.append(Anomaly(what, number))
        has_moved = entry.before is None or entry.before.sequence != entry.after.sequence
        if has_moved and entry.after.sequence > facts.ends.get(entry.lane, 0):
            anomalies.append(
                Anomaly(
                    f"{entry.subscription} stands at {entry.lane}@{entry.after.sequence}, beyond its end",
                    number,
                )
            )
    return verdict(NAME, anomalies)
