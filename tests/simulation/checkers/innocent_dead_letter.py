"""Innocent dead letter: an event is dead that neither used up its own attempts, nor crashed alone, nor was refused."""

from collections import Counter

from eventfabric import limits
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.logged import Logged
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.delivering import Delivering
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "innocent_dead_letter"


class _Blame:
    """Results of each event's own attempts, by subscription, group and event."""

    def __init__(self) -> None:
        self.failed: Counter[tuple[str, str, str]] = Counter()
        self.crashed: Counter[tuple[str, str, str]] = Counter()
        self.refused: set[tuple[str, str, str]] = set()
        self._open: dict[str, tuple[str, str, str]] = {}

    def feed(self, facts: Facts, entry: history.AnyEntry) -> None:
        """Take in the next entry. Only attempts at an event by itself count."""
        if isinstance(entry, history.AttemptBegan | history.AttemptEnded) and len(entry.events) == 1:
            key = (entry.subscription, facts.group(entry.subscription, entry.region), entry.events[0].id)
            if isinstance(entry, history.AttemptBegan):
                self.crashed[key] += 1  # taken back when the attempt ends
                return
            self.crashed[key] -= 1
            self.failed[key] += bool(entry.error)
            if entry.error == "RefusedForGood":
                self.refused.add(key)


def check(of: History) -> Verdict:
    """Check every key that becomes dead, by the attempts at its first event."""
    facts = facts_of(of)
    delivering, blame = Delivering(facts), _Blame()
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        delivering.feed(entry)
        blame.feed(facts, entry)
        if not isinstance(entry, history.KeyChanged) or entry.copied or entry.after is None:
            continue
        after, before = entry.after, entry.before
        if after.state != "dead" or (
            before and before.state == "dead" and before.waiting[0] == after.waiting[0]
        ):
            continue
        logged_event = facts.logged_in(entry.lane, after.waiting[0])
        if logged_event is None:
            anomalies.append(Anomaly(f"{entry.lane}@{after.waiting[0]} is dead, and not in the log", number))
        elif not _is_guilty(facts, blame, entry, after, logged_event):
            how = f"{after.error}, {after.attempts} attempts, {after.crashes} crashes"
            what = f"{entry.subscription}: {logged_event.id} is dead ({how})"
            anomalies.append(Anomaly(what, number))
    return verdict(NAME, anomalies)


def _is_guilty(
    facts: Facts, blame: _Blame, entry: history.KeyChanged, after: history.ParkedStand, logged_event: Logged
) -> bool:
    subscription = facts.subscriptions[entry.subscription]
    key = (entry.subscription, facts.group(entry.subscription, entry.region), logged_event.id)
    if key in blame.refused or (logged_event.lane, logged_event.sequence) in facts.removed:
        return True
    if "LateEvent" in after.error:
        return subscription.on_late == "dead_letter"
    if after.crashes >= limits.CRASHES_MAX and blame.crashed[key] >= limits.CRASHES_MAX:
        return True
    return after.attempts >= subscription.attempts and blame.failed[key] >= subscription.attempts
