"""Unflagged late: an event is handed out after a later one of its key from another Region, without saying so."""

from collections import defaultdict
from typing import Final

from eventfabric import limits
from eventfabric.model import HybridTime, to_ms
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.logged import Logged
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import Facts, facts_of, places_of

NAME = "unflagged_late"
_SKEW_MS: Final = 100_000
"""Largest error of clocks. If they jump, an event may be taken for young."""


def check(of: History) -> Verdict:
    """Check that an old event says that it is late if its delivering Region has committed a later one of its key."""
    facts = facts_of(of)
    if any(happening.what == "made_anew" for happening in facts.plan.happenings):
        return verdict(
            NAME, [], unknown=True
        )  # cursors say of events that they were handed out, although they were not
    anomalies: list[Anomaly] = []
    times = _times(facts)
    of_key: defaultdict[str, list[Logged]] = defaultdict(list)
    for logged_event in facts.logged.values():
        of_key[logged_event.key].append(logged_event)
    cursors: dict[tuple[str, str, str], int] = {}
    gone: set[tuple[str, str]] = set()
    read: dict[tuple[str, str], dict[tuple[str, str, str], int]] = {}
    parked: set[tuple[str, str, str, int]] = set()
    spoilt: set[str] = set()
    there: set[tuple[str, str, int]] = set()
    for number, entry in enumerate(of.entries):
        match entry:
            case history.CursorMoved(copied=False):
                cursors[entry.writer, entry.subscription, entry.lane] = entry.after.sequence
            case history.KeyChanged(copied=False) if entry.after is not None:
                parked |= {
                    (entry.writer, entry.subscription, entry.lane, waiting_sequence)
                    for waiting_sequence in entry.after.waiting
                }
            case history.Appended():
                there |= {(entry.region, *place) for place in places_of(entry)}
            case history.Removed():
                gone.add((entry.region, entry.lane))
            case history.Tampered(what="state spoilt"):
                # Nobody can read how far that lane has come, wherever that item is copied.
                spoilt.add(entry.lane)
            case history.LaneRead():
                read[entry.actor, entry.lane] = dict(cursors)
            case history.AttemptBegan() if not entry.replay:
                for place in entry.events:
                    known = read.get((entry.actor, place.lane), {})
                    later = _later(facts, times, of_key, known, parked, entry, place)
                    if (
                        later is not None
                        and not place.late
                        and (entry.region, later.lane, later.sequence) in there
                        and (entry.region, later.lane) not in gone
                        and later.lane not in spoilt
                    ):
                        what = f"{entry.subscription} was handed {place.id} after {later.id}, and not told so"
                        anomalies.append(Anomaly(what, number))
            case _:
                pass
    return verdict(NAME, anomalies)


def _times(facts: Facts) -> dict[tuple[str, int], int]:
    """Return the hybrid time of every event, by lane and sequence."""
    return {
        (entry.lane, entry.sequence + index): entry.time
        for entry in facts.entries
        if isinstance(entry, history.Appended) and not entry.copied
        for index in range(len(entry.ids))
    }


def _later(
    facts: Facts,
    times: dict[tuple[str, int], int],
    of_key: dict[str, list[Logged]],
    known: dict[tuple[str, str, str], int],
    parked: set[tuple[str, str, str, int]],
    entry: history.AttemptBegan,
    place: history.EventPlace,
) -> Logged | None:
    """Return a later event of the key from another lane, handed out by this Region before it read this lane's state."""
    time = times.get((place.lane, place.sequence), 0)
    age_ms = entry.at_ms - to_ms(HybridTime(time))
    if not time or age_ms < 1000 * limits.LATE_AFTER_SECONDS + _SKEW_MS:
        return None
    for logged_event in of_key[place.key]:
        where = (entry.region, entry.subscription, logged_event.lane)
        if (
            logged_event.lane.partition("/")[0] != place.lane.partition("/")[0]
            and logged_event.lane.partition("/")[2] == place.lane.partition("/")[2]
            and times[logged_event.lane, logged_event.sequence] > time
            and facts.wants(entry.subscription, logged_event)
            and known.get(where, 0) > logged_event.sequence
            and (*where, logged_event.sequence) not in parked
            and not facts.copies(logged_event)
        ):
            return logged_event
    return None
