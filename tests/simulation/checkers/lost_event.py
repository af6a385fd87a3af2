"""Lost event: the log lacks an event for which a producer has a receipt; or a subscription was never handed one."""

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.logged import Logged
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.delivering import Delivering
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "lost_event"


def check(of: History) -> Verdict:
    """Check that every receipt names its event's place, and that in the end every event's fate is known."""
    facts = facts_of(of)
    anomalies = _receipts(facts)
    if facts.end is None or not facts.end.quiet:
        return verdict(NAME, anomalies, unknown=True)
    delivering = Delivering(facts)
    for entry in of.entries:
        delivering.feed(entry)
    for logged_event in facts.logged.values():
        copies = (logged_event, *facts.copies(logged_event))
        if any(logged_event.lane in facts.changed_lanes for logged_event in copies):
            continue  # that lane stops, with an alarm; and its copy may be the one to deliver
        for name, subscription in facts.subscriptions.items():
            if subscription.guarantee.may_lose:
                continue
            for group in facts.groups(name):
                if not any(
                    _is_known(facts, delivering, name, group, logged_event) for logged_event in copies
                ):
                    anomalies.append(
                        Anomaly(
                            f"{name} {group} was never handed {logged_event.id},"
                            f" {logged_event.lane}@{logged_event.sequence}",
                            logged_event.entry,
                        )
                    )
    return verdict(NAME, anomalies)


def _receipts(facts: Facts) -> list[Anomaly]:
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(facts.entries):
        if isinstance(entry, history.Acknowledged) and entry.lane not in facts.overwritten_lanes:
            logged_event = facts.logged.get((entry.lane, entry.sequence))
            if logged_event is None or logged_event.id != entry.id:
                there = "nothing" if logged_event is None else logged_event.id
                anomalies.append(
                    Anomaly(
                        f"{entry.id} was acknowledged at {entry.lane}@{entry.sequence}: {there} is there",
                        number,
                    )
                )
    return anomalies


def _is_known(facts: Facts, delivering: Delivering, name: str, group: str, logged_event: Logged) -> bool:
    if delivering.is_over(name, group, logged_event):
        return True
    regions = [group] if group else facts.plan.regions
    for region in regions:
        if any(
            key.holds(logged_event.sequence, logged_event.key)
            and delivering.is_dead(region, name, lane, parking_id)
            for lane in delivering.lanes_waiting(region, name, logged_event.lane)
            for parking_id, key in delivering.parked[region, name, lane].items()
        ):
            return True
    begun = any((region, name, logged_event.lane) in delivering.cursors for region in regions)
    return not begun and facts.subscriptions[name].start == "latest"
