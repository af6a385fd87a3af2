"""Reordered replay: an event is handed out again while an earlier one of its key in the same replay still waits."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.logged import Logged
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.delivering import dropped_of_rest
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "reordered_replay"
_TORN_MS: Final = 5_000
"""Time after a transaction during which reads may still show the state before it, if the plan has torn reads."""


@dataclass
class _Era:
    """One replay of a lane: its bounds, and the events of it that are handled."""

    start: int
    until: int
    at_ms: int
    handled: set[int] = field(default_factory=set)


def check(of: History) -> Verdict:
    """Check that before each event of a replay is handed out, all earlier ones of its key in that replay are handled.

    A process that read the lane before another replay began goes on with the replay that it read, until it loses the
    race.
    """
    facts = facts_of(of)
    anomalies: list[Anomaly] = []
    eras: dict[tuple[str, str, str], _Era] = {}
    read: dict[tuple[str, str], _Era | None] = {}
    gone: set[tuple[str, str, int]] = set()
    of_key: defaultdict[tuple[str, str], list[Logged]] = defaultdict(list)
    for logged_event in sorted(facts.logged.values(), key=lambda logged_event: logged_event.sequence):
        of_key[logged_event.lane, logged_event.key].append(logged_event)
    for number, entry in enumerate(of.entries):
        match entry:
            case history.CursorMoved(copied=False) if entry.after.replay_until:
                before = entry.before
                if before is None or entry.after.sequence < before.sequence:
                    place = (entry.writer, entry.subscription, entry.lane)
                    eras[place] = _Era(entry.after.sequence, entry.after.replay_until, entry.at_ms)
            case history.LaneRead():
                era = eras.get((entry.region, entry.subscription, entry.lane))
                is_torn = (
                    era is not None and "torn" in facts.plan.rates and entry.at_ms - era.at_ms < _TORN_MS
                )
                read[entry.actor, entry.lane] = None if is_torn else era
            case history.Settled(action="discarded"):
                for sequence in (entry.sequence, *entry.dropped, *dropped_of_rest(facts, entry)):
                    gone.add((entry.subscription, entry.lane, sequence))
            case history.AttemptEnded(error="", replay=True):
                for event_place in entry.events:
                    place = (entry.region, entry.subscription, event_place.lane)
                    era = read.get((entry.actor, event_place.lane)) or eras.get(place)
                    if era is not None:
                        era.handled.add(event_place.sequence)
            case history.AttemptBegan(replay=True):
                anomalies += _out_of_turn(facts, read, gone, of_key, entry, number)
            case _:
                pass
    return verdict(NAME, anomalies)


def _out_of_turn(
    facts: Facts,
    read: dict[tuple[str, str], _Era | None],
    gone: set[tuple[str, str, int]],
    of_key: dict[tuple[str, str], list[Logged]],
    entry: history.AttemptBegan,
    number: int,
) -> list[Anomaly]:
    subscription = facts.subscriptions[entry.subscription]
    if subscription.order == "none" or facts.is_reordered or subscription.guarantee.may_lose:
        return []
    beside = {(place.lane, place.sequence) for place in entry.events}
    anomalies: list[Anomaly] = []
    for place in entry.events:
        era = read.get((entry.actor, place.lane))
        if era is None or not era.start <= place.sequence < era.until:
            continue
        for earlier in of_key[place.lane, place.key]:
            if earlier.sequence >= place.sequence:
                break
            is_over = (
                earlier.sequence < era.start
                or earlier.sequence in era.handled
                or (earlier.lane, earlier.sequence) in beside | facts.removed
                or (entry.subscription, earlier.lane, earlier.sequence) in gone
                or not facts.wants(entry.subscription, earlier)
                or facts.copies(earlier)
            )
            if not is_over:
                what = f"{entry.subscription} was handed {place.id} again before {earlier.id} of its key"
                anomalies.append(Anomaly(what, number))
    return anomalies
