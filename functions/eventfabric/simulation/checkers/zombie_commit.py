"""Zombie commit: somebody writes state that moved since he read it, or of a lane that he knew to be handed over."""

from eventfabric import limits
from eventfabric.simulation import history
from eventfabric.simulation.checkers.verdict import Anomaly, Facts, Verdict, verdict
from eventfabric.simulation.history import History

NAME = "zombie_commit"
_GRACE_MS = 1000 * (2 * limits.CIRCUIT_CACHE_SECONDS + 60)
"""A warm function may believe for so long, by clocks that differ, what it has read of its standing."""


def check(of: History) -> Verdict:
    """Versions go up one by one; and who reads a lane after he could know of a handover does not write it any more."""
    facts = Facts(of)
    anomalies: list[Anomaly] = []
    handed: dict[tuple[str, str, str], list[tuple[int, int, str]]] = {}
    reads: dict[tuple[str, str, str], int] = {}
    for number, entry in enumerate(of.entries):
        match entry:
            case history.HandedOver():
                key = (entry.region, entry.subscription, entry.origin)
                handed.setdefault(key, []).append((entry.at_ms, entry.epoch, entry.to))
            case history.LaneRead():
                reads[entry.actor, entry.subscription, entry.lane] = entry.at_ms
            case history.CursorMoved() | history.KeyChanged() if not entry.copied:
                before, after = entry.before, entry.after
                version = before.version if before else 0
                if after is not None and after.version != version + 1:
                    what = f"{entry.subscription} {entry.lane}: version {version} to {after.version}"
                    anomalies.append(Anomaly(what, number))
                elif isinstance(entry, history.CursorMoved):
                    anomalies += _fenced(facts, entry, number, handed, reads)
    return verdict(NAME, anomalies)


def _fenced(
    facts: Facts, entry: history.CursorMoved, number: int,
    handed: dict[tuple[str, str, str], list[tuple[int, int, str]]], reads: dict[tuple[str, str, str], int],
) -> list[Anomaly]:  # fmt: skip
    """The clocks of a plan with clock jumps say nothing of who could know what."""
    if any(one.what in ("clock", "days_pass") for one in facts.plan.happenings):
        return []
    origin = entry.lane.partition("/")[0]
    read_ms = reads.get((entry.actor, entry.subscription, entry.lane))
    for at_ms, epoch, to in handed.get((entry.region, entry.subscription, origin), []):
        if (
            to != entry.region
            and epoch > entry.after.epoch
            and read_ms is not None
            and read_ms > at_ms + _GRACE_MS
        ):
            what = f"{entry.region} wrote {entry.subscription} {entry.lane} at epoch {entry.after.epoch}"
            return [Anomaly(f"{what}, handed to {to} at {epoch}", number)]
    return []
