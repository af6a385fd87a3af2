"""Cursor regression: a cursor goes back without a replay, or a Region takes over behind what it knew."""

from eventfabric.model import Lane
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import CursorStand, History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "cursor_regression"
Known = dict[tuple[str, str, str], dict[str, CursorStand]]


def check(of: History) -> Verdict:
    """Check each write of each Region's cursors, and where handovers begin."""
    facts = facts_of(of)
    anomalies: list[Anomaly] = []
    known: Known = {}
    read: Known = {}
    for number, entry in enumerate(of.entries):
        if isinstance(entry, history.LaneRead):
            stands = known.get((entry.region, entry.subscription, entry.lane), {})
            read[entry.actor, entry.subscription, entry.lane] = dict(stands)
        if not isinstance(entry, history.CursorMoved):
            continue
        if not entry.copied:
            what = _wrong(facts, entry, number) or _taken_over_behind(entry, read)
            if what:
                anomalies.append(
                    Anomaly(f"{entry.subscription} {entry.lane} in {entry.writer}: {what}", number)
                )
        known.setdefault((entry.region, entry.subscription, entry.lane), {})[entry.writer] = entry.after
    return verdict(NAME, anomalies)


def _wrong(facts: Facts, entry: history.CursorMoved, number: int) -> str:
    before, after = entry.before, entry.after
    if before is None:
        return ""
    if after.epoch < before.epoch:
        return f"epoch {before.epoch} to {after.epoch}"
    if after.epoch == before.epoch and after.sequence < before.sequence:
        replayed = facts.replays(
            entry.subscription, facts.group(entry.subscription, entry.region), before=number
        )
        # If the table was created anew, none of the events handed out before is left to be replayed.
        is_anew = any(happening.what == "made_anew" for happening in facts.plan.happenings)
        if not (replayed and (after.replay_until > after.sequence or is_anew)):
            return f"from {before.sequence} back to {after.sequence}"
    return ""


def _taken_over_behind(entry: history.CursorMoved, read: Known) -> str:
    """Check that a takeover begins at the furthest cursor that the Region read, or at the first event parked there."""
    if entry.after.epoch <= (entry.before.epoch if entry.before else 0):
        return ""
    if not Lane.parse(entry.lane).is_root:
        return ""  # a cursor counts there only beneath the passing that began it: else it begins at the seal
    stands = read.get((entry.actor, entry.subscription, entry.lane), {})
    if not stands:
        return ""
    latest = max(stands.values(), key=lambda stand: (stand.epoch, stand.sequence))
    least = latest.sequence if latest.low < 0 else min(latest.low, latest.sequence)
    if entry.after.sequence < least:
        return f"taken over at {entry.after.sequence}, where {latest.sequence} was known"
    return ""
