"""Reordered key: an event is handed out while an earlier one of its key and lane is still waiting."""

from collections import defaultdict

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.logged import Logged
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.delivering import Delivering
from tests.simulation.checkers.facts import Facts, facts_of, root_of

NAME = "reordered_key"


def check(of: History) -> Verdict:
    """Check that before each first attempt at an event, all earlier ones of its key are over; replays do not count."""
    facts = facts_of(of)
    delivering = Delivering(facts)
    anomalies: list[Anomaly] = []
    of_key: defaultdict[tuple[str, str], list[Logged]] = defaultdict(list)
    for logged_event in sorted(facts.logged.values(), key=lambda logged_event: logged_event.sequence):
        of_key[root_of(logged_event.lane), logged_event.key].append(logged_event)
    latest: dict[tuple[str, str, str, str, int], int] = {}
    for number, entry in enumerate(of.entries):
        delivering.feed(entry)
        if not isinstance(entry, history.AttemptBegan) or entry.replay:
            continue
        subscription = facts.subscriptions[entry.subscription]
        if subscription.order == "none" or facts.is_reordered:
            continue
        group = facts.group(entry.subscription, entry.region)
        beside = {(place.lane, place.sequence) for place in entry.events}
        for place in entry.events:
            if subscription.guarantee.may_lose:
                continue  # a crash may have dropped earlier events for good
            for earlier in of_key[root_of(place.lane), place.key]:
                if earlier.sequence >= place.sequence:
                    break
                if (earlier.lane, earlier.sequence) in beside or delivering.is_over(
                    entry.subscription, group, earlier
                ):
                    continue
                if facts.copies(earlier):
                    continue  # it may come in the other lane's order
                what = f"{entry.subscription} was handed {place.id} before {earlier.id} of {place.lane} {place.key}"
                anomalies.append(Anomaly(what, number))
        if subscription.guarantee.may_lose:
            anomalies += _backwards(facts, delivering, entry, number, latest)
    return verdict(NAME, anomalies)


def _backwards(
    facts: Facts,
    delivering: Delivering,
    entry: history.AttemptBegan,
    number: int,
    latest: dict[tuple[str, str, str, str, int], int],
) -> list[Anomaly]:
    """Check at_most_once: earlier events of a key come back only after a replay or a handover."""
    anomalies: list[Anomaly] = []
    for place in entry.events:
        stand = delivering.cursors.get((entry.region, entry.subscription, place.lane))
        again = facts.replays(
            entry.subscription, facts.group(entry.subscription, entry.region), before=number
        )
        epoch = (stand.epoch if stand else 0) * 1000 + again
        key = (entry.subscription, entry.region, place.lane, place.key, epoch)
        if place.sequence < latest.get(key, -1):
            anomalies.append(
                Anomaly(f"{entry.subscription} was handed {place.id} after a later one of its key", number)
            )
        latest[key] = max(place.sequence, latest.get(key, -1))
    return anomalies
