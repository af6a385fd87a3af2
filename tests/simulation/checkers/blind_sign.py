"""Blind sign: a pass reports an age of the oldest waiting event that is not the true one.

It must not be smaller; and where a Region has everything at once, none must be reported where nothing wanted waits.
"""

from dataclasses import dataclass
from typing import Final

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import facts_of

NAME = "blind_sign"
_RATES: Final = {"lag"}
_HAPPENINGS: Final = {"passes", "producer_clock", "pause", "hole", "cut", "reconcile", "outage"}
_WHOLE: Final = {"passes", "reconcile"}
"""Happenings in which a Region has all that its cursors come to."""
_SLACK_MS: Final = 60_000
"""Tolerance for the time that a pass and its reads take."""


def check(of: History) -> Verdict:
    """Compare each reported age with the events that earlier passes could see behind the Region's cursors."""
    facts = facts_of(of)
    plan = facts.plan
    if (
        plan.rates.keys() - _RATES
        or plan.slowness > 1
        or any(happening.what not in _HAPPENINGS for happening in plan.happenings)
    ):
        return verdict(NAME, [], unknown=True)
    anomalies: list[Anomaly] = []
    arrived: dict[tuple[str, str], list[_Arrival]] = {}
    cursors: dict[tuple[str, str, str], tuple[int, int]] = {}
    is_whole = not plan.rates and {happening.what for happening in plan.happenings} <= _WHOLE
    passes: dict[tuple[str, str], list[int]] = {}
    for number, entry in enumerate(of.entries):
        match entry:
            case history.Appended():
                end = entry.sequence + len(entry.ids)
                arrival = _Arrival(end, entry.at_ms, frozenset(entry.types))
                # The history names one of the Regions that share a log, and all of them have the record.
                regions = plan.regions if plan.durability == "quorum" else (entry.region,)
                for region in regions:
                    arrived.setdefault((region, entry.lane), []).append(arrival)
            case history.Removed():
                gone = arrived.get((entry.region, entry.lane), [])
                gone[:] = [gap for gap in gone if gap.end != entry.sequence + entry.count]
            case history.CursorMoved(copied=False):
                key = (entry.writer, entry.subscription, entry.lane)
                _, began_ms = cursors.get(key, (0, entry.at_ms))
                cursors[key] = (max(entry.after.sequence, entry.after.replay_until), began_ms)
            case history.Gauged(metric="OldestUndelivered"):
                of_subscription = passes.setdefault((entry.region, entry.subscription), [])
                wanted = frozenset(facts.subscriptions[entry.subscription].types)
                oldest_ms = _oldest_ms(entry, arrived, cursors, wanted)
                if (
                    is_whole
                    and 1000 * entry.value > _SLACK_MS
                    and not _waits(entry, arrived, cursors, wanted)
                ):
                    what = f"{entry.region} says that {entry.subscription} waits {entry.value:.0f} s, for nothing"
                    anomalies.append(Anomaly(what, number))
                seen_ms = next(
                    (time_ms for time_ms in of_subscription if time_ms > oldest_ms + _SLACK_MS), None
                )
                least_ms = 0 if seen_ms is None else entry.at_ms - seen_ms - _SLACK_MS
                if 1000 * entry.value < least_ms:
                    waits = f"{entry.value:.0f} s, and does so for {least_ms // 1000} s"
                    what = f"{entry.region} says that {entry.subscription} waits {waits}"
                    anomalies.append(Anomaly(what, number))
                of_subscription.append(entry.at_ms)
            case _:
                pass
    return verdict(NAME, anomalies)


@dataclass(frozen=True)
class _Arrival:
    """A record that arrived in a Region, up to `end`."""

    end: int
    at_ms: int
    types: frozenset[str]

    def waits(self, stands: int, wanted: frozenset[str]) -> bool:
        """Tell if it may hold a wanted event behind a cursor. `wanted`: types; empty for all."""
        return self.end > stands and (not wanted or not wanted.isdisjoint(self.types))


def _oldest_ms(
    entry: history.Gauged,
    arrived: dict[tuple[str, str], list[_Arrival]],
    cursors: dict[tuple[str, str, str], tuple[int, int]],
    wanted: frozenset[str],
) -> int:
    """Return when the oldest wanted event behind a cursor arrived in the Region; the entry's time if there is none.

    Cursors that began during the pass do not count: the pass did not know yet where their lane begins.
    """
    return min(
        (
            arrival.at_ms
            for (region, name, lane), (stands, began_ms) in cursors.items()
            if (region, name) == (entry.region, entry.subscription) and began_ms < entry.at_ms - _SLACK_MS
            for arrival in arrived.get((region, lane), [])
            if arrival.waits(stands, wanted)
        ),
        default=entry.at_ms,
    )


def _waits(
    entry: history.Gauged,
    arrived: dict[tuple[str, str], list[_Arrival]],
    cursors: dict[tuple[str, str, str], tuple[int, int]],
    wanted: frozenset[str],
) -> bool:
    """Tell if anything wanted may wait in a lane of the Region, whoever delivers it."""
    return any(
        arrival.waits(cursors.get((region, entry.subscription, lane), (0, 0))[0], wanted)
        for (region, lane), arrivals in arrived.items()
        if region == entry.region
        for arrival in arrivals
    )
