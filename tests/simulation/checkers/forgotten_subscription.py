"""Forgotten subscription: something waits for it where nobody delivers it any more, and no pass tells of that."""

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.history_of_deployments import CatalogueListed
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "forgotten_subscription"


def check(of: History) -> Verdict:
    """Check that all that is undeployed in the end with events that wait is told of, and nothing else.

    Where a beginning is not the first event, what was published before does not wait, and may be all there is.
    """
    facts = facts_of(of)
    may_begin_later = of.plan.subscriptions[0].start != "earliest"
    reported = {
        (entry.region, entry.subscription)
        for entry in of.entries
        if isinstance(entry, history.Found) and entry.finding == "abandoned"
    }
    came_to_end = any(isinstance(entry, history.Ended) and entry.quiet for entry in of.entries)
    is_told_at_the_end = of.plan.declared and not of.plan.by_catalogue and came_to_end
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries if is_told_at_the_end else ()):
        if isinstance(entry, CatalogueListed) and entry.region == entry.lane and entry.changes:
            waits = _waits(facts, entry.region)
            for name, declared in entry.changes[-1].subscriptions.items():
                is_abandoned, is_told = (
                    declared.state == "undeployed" and waits,
                    (entry.region, name) in reported,
                )
                what = f"{name}, {declared.state} in {entry.region}"
                if is_told and not is_abandoned:
                    anomalies.append(Anomaly(f"{what}, is told of, and nothing waits for it", number))
                if is_abandoned and not (is_told or may_begin_later):
                    anomalies.append(Anomaly(f"{what}, is forgotten", number))
    return verdict(NAME, anomalies)


def _waits(facts: Facts, region: str) -> bool:
    """Tell if a Region has to deliver any event to a subscription of which nothing was ever delivered.

    Those that come and go are like the first one of the plan.
    """
    alike = facts.plan.subscriptions[0]
    delivers = {
        "origin": (region,),
        "everywhere": tuple(facts.plan.regions),
        "one": tuple(facts.plan.regions) if region == facts.plan.regions[0] else (),
    }[alike.deliver]
    return any(
        event.lane.partition("/")[0] in delivers and facts.wants(alike.name, event)
        for event in facts.logged.values()
    )
