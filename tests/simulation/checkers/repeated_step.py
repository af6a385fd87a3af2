"""Repeated step: an effect outside happens twice for its event, or never although the event counts as handled."""

from collections import Counter

from eventfabric import limits
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "repeated_step"


def check(of: History) -> Verdict:
    """Check that each event is charged at most once, with one key wherever it is attempted, and before it is handled.

    Both copies of a batch in two lanes may be handed out, each by an owner that does not know of the other (decision
    0015); it is still one event and one step. If a process freezes in a step until its doorbell comes again, only the
    service that it calls can prevent a repetition, since it knows the step by its key.
    """
    facts = facts_of(of)
    anomalies: list[Anomaly] = []
    counts: Counter[tuple[str, str]] = Counter()
    keys: dict[tuple[str, str], str] = {}
    began_ms: dict[tuple[str, str], int] = {}
    for number, entry in enumerate(of.entries):
        match entry:
            case history.AttemptBegan():
                began_ms.update(((entry.actor, place.id), entry.at_ms) for place in entry.events)
            case history.Charged():
                step = (entry.subscription, entry.id)
                lasts_ms = entry.at_ms - began_ms.get((entry.actor, entry.id), entry.at_ms)
                counts[step] += lasts_ms < 1000 * limits.VISIBILITY_TIMEOUT_SECONDS
                if counts[step] > _allowed(facts, entry):
                    anomalies.append(
                        Anomaly(f"{entry.subscription} charged {entry.id} {counts[step]} times", number)
                    )
                if keys.setdefault(step, entry.key) != entry.key:
                    anomalies.append(
                        Anomaly(f"{entry.id} is charged by {entry.key}, and was by {keys[step]}", number)
                    )
            case history.AttemptEnded(error="") if facts.subscriptions[entry.subscription].steps:
                anomalies += [
                    Anomaly(f"{entry.subscription} handled {place.id} and charged nothing", number)
                    for place in entry.events
                    if (entry.subscription, place.id) not in keys
                ]
            case _:
                pass
    return verdict(NAME, anomalies)


def _allowed(facts: Facts, entry: history.Charged) -> int:
    """Return how often an event may be charged: once by each Region that attempted it, unaware of the others."""
    regions = {
        attempt.region
        for attempt in facts.entries
        if isinstance(attempt, history.AttemptBegan)
        and attempt.subscription == entry.subscription
        and any(event.id == entry.id for event in attempt.events)
    }
    return len(regions)
