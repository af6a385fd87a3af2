"""Duplicate effect: an event is handed out again, or takes effect again, although it is known to be handled.

Allowed repetitions: after a handover, what its Region had not been told of; after a crash, what was not committed; and
of a batch in two lanes, what a Region hands out before it is told that the other copy is delivered (decision 0015).
"""

from collections import Counter, defaultdict

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.delivering import Delivering
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "duplicate_effect"


def check(of: History) -> Verdict:
    """Check that no effect is repeated, nothing behind a known cursor is attempted, and nothing is appended twice."""
    facts = facts_of(of)
    return verdict(NAME, [*_effects(facts), *_attempts(facts), *_appends(facts)])


def _effects(facts: Facts) -> list[Anomaly]:
    """Check effects of exactly_once: one for each event, each replay, and each handover that had not heard of it."""
    anomalies: list[Anomaly] = []
    counts: Counter[tuple[str, str, str]] = Counter()
    repeats = _takeovers(facts)
    places = defaultdict(list)
    for logged_event in facts.logged.values():
        places[logged_event.id].append(logged_event)
    first_numbers: dict[tuple[str, str, str], int] = {}
    reads: dict[str, int] = {}
    for number, entry in enumerate(facts.entries):
        if isinstance(entry, history.CopyDecided):
            first_numbers.setdefault((entry.region, entry.subscription, entry.batch), number)
        elif isinstance(entry, history.LaneRead):
            reads[entry.actor] = number
        if not isinstance(entry, history.EffectMade):
            continue
        group = facts.group(entry.subscription, entry.region)
        key = (entry.subscription, group, entry.id)
        counts[key] += 1
        allowed = 1 + facts.replays(entry.subscription, group, before=number)
        for logged_event in places[entry.id]:
            known = first_numbers.get((entry.region, entry.subscription, logged_event.batch), number)
            allowed += bool(facts.copies(logged_event)) and known > reads.get(entry.actor, number)
            allowed += sum(
                takeover < number and logged_event.sequence >= start
                for takeover, start in repeats[entry.subscription, group, logged_event.lane]
            )
        if counts[key] > allowed:
            anomalies.append(
                Anomaly(
                    f"{entry.subscription} took effect {counts[key]} times for {entry.id}, allowed: {allowed}",
                    number,
                )
            )
    return anomalies


def _takeovers(facts: Facts) -> "defaultdict[tuple[str, str, str], list[tuple[int, int]]]":
    """Return, by subscription, group and lane, when a Region took over, and from which sequence on it may repeat."""
    takeovers: defaultdict[tuple[str, str, str], list[tuple[int, int]]] = defaultdict(list)
    for number, entry in enumerate(facts.entries):
        if isinstance(entry, history.CursorMoved) and not entry.copied:
            before = entry.before.epoch if entry.before else 0
            if entry.after.epoch > before:
                group = facts.group(entry.subscription, entry.region)
                start = (
                    entry.after.sequence
                    if entry.after.low < 0
                    else min(entry.after.low, entry.after.sequence)
                )
                takeovers[entry.subscription, group, entry.lane].append((number, start))
    return takeovers


def _attempts(facts: Facts) -> list[Anomaly]:
    """Check that a process that read that an event is behind the cursor, and not parked, does not hand it out again."""
    anomalies: list[Anomaly] = []
    delivering = Delivering(facts)
    tried: set[tuple[str, str, str, int]] = set()
    over: dict[tuple[str, str, str], tuple[int, list[history.ParkedStand]]] = {}
    for number, entry in enumerate(facts.entries):
        delivering.feed(entry)
        if isinstance(entry, history.LaneRead):
            stand = delivering.cursors.get((entry.region, entry.subscription, entry.lane))
            parked = delivering.parked[entry.region, entry.subscription, entry.lane]
            over[entry.actor, entry.subscription, entry.lane] = (
                stand.sequence if stand else 0,
                [*parked.values()],
            )
        elif isinstance(entry, history.AttemptBegan) and not entry.replay:
            if facts.subscriptions[entry.subscription].guarantee.commits_first:
                # The cursor moves first: a run of another lane that reads this one sees that before the
                # attempt.
                anomalies += _again(facts, entry, number, tried)
                continue
            for place in entry.events:
                end, keys = over.get((entry.actor, entry.subscription, place.lane), (0, []))
                if place.sequence < end and not any(stand.holds(place.sequence, place.key) for stand in keys):
                    what = f"{entry.subscription} was handed {place.id} again: {place.lane} had been read at {end}"
                    anomalies.append(Anomaly(what, number))
    return anomalies


def _again(
    facts: Facts, entry: history.AttemptBegan, number: int, tried: set[tuple[str, str, str, int]]
) -> list[Anomaly]:
    """Check at_most_once within one Region: only replays hand an event out again. After handovers, effects count."""
    anomalies: list[Anomaly] = []
    for place in entry.events:
        key = (entry.subscription, entry.region, place.lane, place.sequence)
        handed_over = any(isinstance(fact, history.HandedOver) for fact in facts.entries[:number])
        if key in tried and not handed_over:
            anomalies.append(
                Anomaly(f"{entry.subscription} was handed {place.id} twice, at most once", number)
            )
        tried.add(key)
    return anomalies


def _appends(facts: Facts) -> list[Anomaly]:
    """Check that an event is in the log once, unless its record names another place where it may be."""
    anomalies: list[Anomaly] = []
    seen: dict[str, str] = {}
    for logged_event in sorted(facts.logged.values(), key=lambda logged_event: logged_event.entry):
        place = f"{logged_event.lane}@{logged_event.sequence}"
        if logged_event.id in seen and logged_event.batch not in facts.noted:
            anomalies.append(
                Anomaly(
                    f"{logged_event.id} was appended at {seen[logged_event.id]} and at {place}",
                    logged_event.entry,
                )
            )
        seen[logged_event.id] = place
    return anomalies
