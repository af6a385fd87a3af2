"""Zombie commit: a process writes state that moved since it read it, or of a lane that it knew to be handed over."""

from eventfabric import limits
from eventfabric.model import Lane
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import facts_of

NAME = "zombie_commit"
_BELIEF_MS = 1000 * (limits.CIRCUIT_CACHE_SECONDS + 10)
"""Time for which a warm function may rely on the standing that it read, including the calls in between."""


def check(of: History) -> Verdict:
    """Check that versions are consecutive, former owners stop once told, and no standing is relied on too long."""
    facts = facts_of(of)
    anomalies: list[Anomaly] = []
    handed: dict[tuple[str, str, str], list[tuple[int, history.HandedOver]]] = {}
    standings: dict[tuple[str, str], tuple[int, int]] = {}
    reads: dict[tuple[str, str, str], tuple[int, int]] = {}
    is_swift = facts.plan.slowness <= 20 and not facts.plan.rates.keys() & {"slow", "stale", "stall"}
    for number, entry in enumerate(of.entries):
        match entry:
            case history.HandedOver():
                key = (entry.region, entry.subscription, entry.origin)
                handed.setdefault(key, []).append((number, entry))
            case history.StandingRead() if number not in facts.unheard:
                standings[entry.actor, entry.subscription] = (number, entry.at_ms)
            case history.LaneRead():
                standing_number, standing_ms = standings.get(
                    (entry.actor, entry.subscription), (0, entry.at_ms)
                )
                reads[entry.actor, entry.subscription, entry.lane] = (
                    standing_number,
                    entry.at_ms - standing_ms,
                )
            case history.AttemptBegan() if is_swift:
                _, believed_ms = reads.get((entry.actor, entry.subscription, entry.events[0].lane), (0, 0))
                if believed_ms > _BELIEF_MS:
                    what = f"{entry.actor} delivers by what it had read {believed_ms // 1000} s before"
                    anomalies.append(Anomaly(what, number))
            case history.CursorMoved() | history.KeyChanged() if not entry.copied:
                wrong = _versions(entry)
                if wrong:
                    anomalies.append(Anomaly(f"{entry.subscription} {entry.lane}: version {wrong}", number))
                elif isinstance(entry, history.CursorMoved):
                    anomalies += _fenced(entry, number, handed, reads)
    return verdict(NAME, anomalies)


def _versions(entry: history.CursorMoved | history.KeyChanged) -> str:
    """Return the versions if they are not consecutive. A key that is parked begins with a number of its own."""
    before, after = entry.before, entry.after
    if after is None or (before is None and isinstance(entry, history.KeyChanged)):
        return ""
    version = before.version if before else 0
    return "" if after.version == version + 1 else f"{version} to {after.version}"


def _fenced(
    entry: history.CursorMoved,
    number: int,
    handed: dict[tuple[str, str, str], list[tuple[int, history.HandedOver]]],
    reads: dict[tuple[str, str, str], tuple[int, int]],
) -> list[Anomaly]:
    """Check that a process that read its standing after the handover, and then the lane, does not write that lane."""
    origin = entry.lane.partition("/")[0]
    if not (entry.after.has_begun or Lane.parse(entry.lane).is_root):
        return []  # keys are copied there, which count for nothing until the lane begins
    known = reads.get((entry.actor, entry.subscription, entry.lane))
    for there, to in handed.get((entry.region, entry.subscription, origin), []):
        if to.to != entry.region and to.epoch > entry.after.epoch and known is not None and known[0] > there:
            what = f"{entry.region} wrote {entry.subscription} {entry.lane} at epoch {entry.after.epoch}"
            return [Anomaly(f"{what}, handed to {to.to} at {to.epoch}", number)]
    return []
