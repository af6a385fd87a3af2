"""Replica divergence: two Regions hold different records at one place, or their lanes end differently."""

from collections import defaultdict

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History, LaneStand
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "replica_divergence"


def check(of: History) -> Verdict:
    """Check that all chains are equal. Lanes that somebody changed behind the fabric's back are ignored."""
    facts = facts_of(of)
    anomalies: list[Anomaly] = []
    chains: dict[tuple[str, int], str] = {}
    for number, entry in enumerate(of.entries):
        is_record = isinstance(entry, history.Appended) and not entry.skipped
        if isinstance(entry, history.Appended) and is_record and entry.lane not in facts.changed_lanes:
            known = chains.setdefault((entry.lane, entry.sequence), entry.chain)
            if known != entry.chain:
                what = f"{entry.lane}@{entry.sequence} differs between {entry.region} and another Region"
                anomalies.append(Anomaly(what, number))
    if facts.end is None or not facts.end.quiet:
        return verdict(NAME, anomalies, unknown=True)
    if facts.plan.durability == "replicated":
        anomalies += _ends(facts, facts.end.ends, len(of.entries) - 1)
    return verdict(NAME, anomalies)


def _ends(facts: Facts, ends: tuple[LaneStand, ...], number: int) -> list[Anomaly]:
    anomalies: list[Anomaly] = []
    by_lane: defaultdict[str, dict[str, tuple[int, str, int]]] = defaultdict(dict)
    for end in ends:
        records = 0 if facts.plan.retention_days else end.records
        by_lane[end.lane][end.region] = (end.sequence, end.chain, records)
    for lane, copies in by_lane.items():
        if lane in facts.changed_lanes or facts.plan.retention_days:
            continue
        if len(copies) < len(facts.plan.regions) or len(set(copies.values())) > 1:
            message = ", ".join(
                f"{region} at {sequence} ({records} records)"
                for region, (sequence, _, records) in copies.items()
            )
            anomalies.append(Anomaly(f"{lane} does not end equal: {message}", number))
    return anomalies
