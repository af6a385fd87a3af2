"""False proof: a proof fails although nobody changed anything, or succeeds over a lane that somebody changed."""

from collections import defaultdict

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import facts_of

NAME = "false_proof"


def check(of: History) -> Verdict:
    """Check the results of proofs against who changed what, and against what had been replicated by then."""
    facts = facts_of(of)
    anomalies: list[Anomaly] = []
    tampered: set[tuple[str, str]] = set()
    ends: dict[tuple[str, str], int] = {}
    there: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for number, entry in enumerate(of.entries):
        match entry:
            case history.Tampered():
                tampered.add((entry.region, entry.lane))
            case history.Appended():
                place = (entry.region, entry.lane)
                ends[place] = max(ends.get(place, 0), entry.sequence + len(entry.ids))
                there[place].add(entry.sequence)
            case history.Proved() if entry.wrong:
                place = (entry.region, entry.lane)
                is_touched = place in tampered or entry.lane in facts.changed_lanes
                is_gone = any(lane == entry.lane for lane, _ in facts.removed)
                is_late = entry.wrong == "cursor_ahead" and ends.get(place, 0) < entry.sequence
                if entry.wrong == "hole":  # a replica may receive an earlier record after later ones
                    anywhere = {
                        sequence
                        for (_, lane), known in there.items()
                        if lane == entry.lane
                        for sequence in known
                    }
                    is_late = any(sequence < entry.sequence for sequence in anywhere - there[place])
                if not (is_touched or is_gone or is_late):
                    what = f"{entry.subscription} is not proven in {entry.lane} at {entry.sequence}: {entry.wrong}"
                    anomalies.append(Anomaly(what, number))
            case history.Proved():
                if entry.lane in facts.changed_lanes and _is_behind(of, entry, number):
                    what = f"{entry.subscription} is proven in {entry.lane}, which {entry.region} has changed"
                    anomalies.append(Anomaly(what, number))
            case _:
                pass
    return verdict(NAME, anomalies)


def _is_behind(of: History, proved: history.Proved, number: int) -> bool:
    """Tell if a record before the proven cursor was changed in that Region before the proof began."""
    began = max(
        index
        for index, entry in enumerate(of.entries[:number])
        if isinstance(entry, history.ProofBegan) and (entry.actor, entry.lane) == (proved.actor, proved.lane)
    )
    return any(
        isinstance(entry, history.Tampered)
        and (entry.region, entry.lane, entry.what) == (proved.region, proved.lane, "copy changed")
        and entry.sequence < proved.sequence
        for entry in of.entries[:began]
    )
