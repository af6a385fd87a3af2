"""Owns what a checker says, and the facts of a history that several of them need."""

from collections import defaultdict
from enum import StrEnum
from functools import cached_property
from typing import Final

import msgspec

from eventfabric.model.parked import is_alone
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.plan import PlannedSubscription

_DAY_MS: Final = 86_400_000
_SKEW_MS: Final = 300_000
"""By how much clocks may be off: more than they jump."""
ANOMALIES_MAX: Final = 5
"""Of one checker, told of one history."""


class Result(StrEnum):
    """What a checker found. `unknown`: this history cannot tell."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


class Anomaly(msgspec.Struct, frozen=True):
    """One thing that must not be: what, and the entry of the history at which it shows."""

    what: str
    entry: int


class Verdict(msgspec.Struct, frozen=True):
    """What one checker says of a history."""

    checker: str
    result: Result
    anomalies: tuple[Anomaly, ...] = ()


def verdict(checker: str, anomalies: list[Anomaly], *, unknown: bool = False) -> Verdict:
    """Invalid with any anomaly, else valid, or unknown."""
    if anomalies:
        return Verdict(checker, Result.INVALID, tuple(anomalies[:ANOMALIES_MAX]))
    return Verdict(checker, Result.UNKNOWN if unknown else Result.VALID)


class Logged(msgspec.Struct, frozen=True):
    """One event as the log of its origin holds it; `entry`: where the history tells of its append."""

    id: str
    key: str
    type: str
    lane: str
    sequence: int
    batch: str
    entry: int


def places_of(entry: history.Appended) -> list[tuple[str, int]]:
    """The places of a record's events, or those past which a skip leads."""
    count = entry.skipped or len(entry.ids)
    return [(entry.lane, entry.sequence + index) for index in range(count)]


class Facts:
    """What a history says of its log, and of who is to deliver what."""

    def __init__(self, of: History) -> None:
        self.plan = of.plan
        self.entries = of.entries

    @cached_property
    def logged(self) -> dict[tuple[str, int], Logged]:
        """Every event of the log, by lane and sequence."""
        found: dict[tuple[str, int], Logged] = {}
        for number, entry in enumerate(self.entries):
            if isinstance(entry, history.Appended) and not entry.copied:
                for index, id_ in enumerate(entry.ids):
                    place = (entry.lane, entry.sequence + index)
                    if place not in found:
                        found[place] = Logged(
                            id_, entry.keys[index], entry.types[index], *place, entry.batch, number
                        )
        return found

    @cached_property
    def logged_from(self) -> dict[tuple[str, int], int]:
        """The first sequence of the record of each event."""
        return {
            place: entry.sequence
            for entry in self.entries
            if isinstance(entry, history.Appended) and not entry.skipped
            for place in places_of(entry)
        }

    @cached_property
    def lanes(self) -> dict[str, list[Logged]]:
        """The events of each lane, in order."""
        found: defaultdict[str, list[Logged]] = defaultdict(list)
        for one in sorted(self.logged.values(), key=lambda one: (one.lane, one.sequence)):
            found[one.lane].append(one)
        return found

    @cached_property
    def batches(self) -> dict[str, set[str]]:
        """The lanes in which each batch stands."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for one in self.logged.values():
            found[one.batch].add(one.lane)
        return found

    def copies(self, one: Logged) -> list[Logged]:
        """The same event in other lanes, of a batch whose publisher did not know where it stands."""
        if len(self.batches[one.batch]) == 1:
            return []
        return [
            other
            for other in self.logged.values()
            if other.batch == one.batch and other.id == one.id and other.lane != one.lane
        ]

    @cached_property
    def noted(self) -> set[str]:
        """Batches that may stand in two lanes."""
        return {entry.batch for entry in self.entries if isinstance(entry, history.Appended) and entry.note}

    @cached_property
    def removed(self) -> set[tuple[str, int]]:
        """Places whose record went from its origin's log."""
        return {
            (entry.lane, entry.sequence + index)
            for entry in self.entries
            if isinstance(entry, history.Removed) and entry.lane.startswith(f"{entry.region}/")
            for index in range(entry.count)
        }

    @cached_property
    def gone(self) -> set[tuple[str, int]]:
        """Places whose record is missing from its origin's log in the end, past which nobody had the lane go on."""
        missing: set[tuple[str, int]] = set()
        for entry in self.entries:
            if isinstance(entry, history.Removed) and entry.lane.startswith(f"{entry.region}/"):
                missing.update((entry.lane, entry.sequence + index) for index in range(entry.count))
            elif isinstance(entry, history.Appended) and not entry.copied:
                missing.difference_update(self.put_back(entry))
        return missing

    def put_back(self, entry: history.Appended) -> list[tuple[str, int]]:
        """The places of what a record brought back, or past which a skip leads; no other record's."""
        places = places_of(entry)
        if entry.skipped:
            return places
        return [
            place
            for place, id_ in zip(places, entry.ids, strict=True)
            if place in self.logged and self.logged[place].id == id_
        ]

    @cached_property
    def lost(self) -> set[tuple[str, int]]:
        """First places of records that somebody deleted: nothing but a skip leads past them."""
        return {
            (entry.lane, entry.sequence)
            for entry in self.entries
            if isinstance(entry, history.Tampered) and entry.what == "record lost"
        }

    @cached_property
    def changed_lanes(self) -> set[str]:
        """Lanes that were changed behind the fabric's back in a way that nothing mends."""
        return {
            entry.lane
            for entry in self.entries
            if isinstance(entry, history.Tampered) and entry.what == "copy changed"
        } | self.overwritten_lanes

    @cached_property
    def overwritten_lanes(self) -> set[str]:
        """Lanes in which a publisher that remembered an earlier end put a batch where a record had been deleted."""
        batches: dict[tuple[str, int], str] = {}
        lost = {lane for lane, _ in self.lost}
        return {
            entry.lane
            for entry in self.entries
            if isinstance(entry, history.Appended)
            and entry.lane in lost
            and not (entry.copied or entry.skipped)
            and batches.setdefault((entry.lane, entry.sequence), entry.batch) != entry.batch
        }

    @cached_property
    def unheard(self) -> set[int]:
        """Entries of reads of a standing whose reply was lost: who made them knows no more than before."""
        found: set[int] = set()
        lost: dict[str, int] = {}
        for number, entry in enumerate(self.entries):
            if isinstance(entry, history.Called) and (entry.call, entry.fault) == (
                "ledger.standing",
                "lost_reply",
            ):
                lost[entry.actor] = entry.at_ms
            elif isinstance(entry, history.StandingRead) and lost.pop(entry.actor, None) == entry.at_ms:
                found.add(number)
        return found

    @cached_property
    def is_reordered(self) -> bool:
        """Tell whether subscriptions gave up the order of keys, or took it up, on the way."""
        return any(one.what == "reorder" for one in self.plan.happenings)

    @cached_property
    def stopped_lanes(self) -> set[str]:
        """Lanes that something put there by others may stop, until somebody puts that right."""
        return {
            entry.lane
            for entry in self.entries
            if isinstance(entry, history.Tampered) and entry.what != "far item put"
        }

    @cached_property
    def subscriptions(self) -> dict[str, PlannedSubscription]:
        """By name."""
        return {one.name: one for one in self.plan.subscriptions}

    @cached_property
    def end(self) -> history.Ended | None:
        """The last entry, if the history came to its end."""
        last = self.entries[-1] if self.entries else None
        return last if isinstance(last, history.Ended) else None

    def group(self, subscription: str, region: str) -> str:
        """Who hands out a lane together: the Regions among which it is handed over, or each by itself."""
        return region if self.subscriptions[subscription].deliver == "everywhere" else ""

    def groups(self, subscription: str) -> list[str]:
        """Every such group."""
        return list(self.plan.regions) if self.subscriptions[subscription].deliver == "everywhere" else [""]

    def wants(self, subscription: str, one: Logged) -> bool:
        """Whether a subscription is to be handed an event."""
        types = self.subscriptions[subscription].types
        return not types or one.type in types

    def replays(self, subscription: str, group: str, *, before: int | None = None) -> int:
        """How often somebody began to replay it."""
        return sum(
            isinstance(entry, history.Happened)
            and entry.what == "replay_begins"
            and entry.about.endswith(f" {subscription}")
            and (not group or entry.about.startswith(f"{group} "))
            for entry in self.entries[:before]
        )


def dropped_of_rest(facts: Facts, entry: history.Settled) -> list[int]:
    """The events of a key that were discarded by where they stand in the log."""
    return [
        one.sequence
        for one in facts.lanes.get(entry.lane, [])
        if one.key == entry.key and entry.since <= one.sequence < entry.until
    ]


class Delivering:
    """How far each lane is for each group, entry by entry: feed it the entries in order."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.handled: set[tuple[str, str, str, int]] = set()
        """Subscription, group, lane and sequence of every event whose handler returned (or whose effect is made)."""
        self.discarded: set[tuple[str, str, str, int]] = set()
        self.parked: defaultdict[tuple[str, str, str], dict[str, history.ParkedStand]] = defaultdict(dict)
        """By Region, subscription and lane: what stands in its parked keys."""
        self._keys: dict[tuple[str, str, str, str], str] = {}
        self.cursors: dict[tuple[str, str, str], history.CursorStand] = {}
        """By Region, subscription and lane."""
        self.began: dict[tuple[str, str, str], tuple[int, int]] = {}
        """By subscription, group and lane: the first event that was ever to be handed out, and since when."""
        self.removed: set[tuple[str, int]] = set()
        """Places whose record is gone from its origin's log by now."""
        self.skipped: set[tuple[str, int]] = set()
        """Places past which an operator had the lane go on by now."""
        self._of_id: defaultdict[str, list[Logged]] = defaultdict(list)
        for one in facts.logged.values():
            self._of_id[one.id].append(one)

    def feed(self, entry: history.AnyEntry) -> None:
        """One more entry."""
        facts = self.facts
        match entry:
            case history.AttemptEnded() if not entry.error:
                if facts.subscriptions[entry.subscription].guarantee != "exactly_once":
                    self._note(entry.subscription, entry.region, entry.events)
            case history.EffectMade():
                group = facts.group(entry.subscription, entry.region)
                for one in self._of_id[entry.id]:
                    self.handled.add((entry.subscription, group, one.lane, one.sequence))
            case history.Removed() if entry.lane.startswith(f"{entry.region}/"):
                self.removed.update((entry.lane, entry.sequence + index) for index in range(entry.count))
            case history.Appended() if not entry.copied:
                if entry.skipped:
                    self.skipped.update(places_of(entry))
                else:
                    self.removed.difference_update(facts.put_back(entry))
            case history.Settled() if entry.action == "discarded":
                group = facts.group(entry.subscription, entry.region)
                for sequence in (entry.sequence, *entry.dropped, *dropped_of_rest(facts, entry)):
                    self.discarded.add((entry.subscription, group, entry.lane, sequence))
            case history.KeyChanged() if not entry.copied:
                parked = self.parked[entry.writer, entry.subscription, entry.lane]
                self._keys[entry.writer, entry.subscription, entry.lane, entry.id] = entry.key
                if entry.after is None:
                    parked.pop(entry.id, None)
                else:
                    parked[entry.id] = entry.after
            case history.CursorMoved() if not entry.copied:
                self.cursors[entry.writer, entry.subscription, entry.lane] = entry.after
                if entry.after.began:
                    group = facts.group(entry.subscription, entry.region)
                    self.began.setdefault(
                        (entry.subscription, group, entry.lane), (entry.after.began, entry.at_ms)
                    )

    def _is_lost(self, one: Logged) -> bool:
        """Tell what somebody deleted, and nobody skipped: it may come back."""
        first = self.facts.logged_from.get((one.lane, one.sequence), one.sequence)
        return (one.lane, first) in self.facts.lost and (one.lane, one.sequence) not in self.skipped

    def _note(self, subscription: str, region: str, events: tuple[history.EventPlace, ...]) -> None:
        group = self.facts.group(subscription, region)
        for place in events:
            self.handled.add((subscription, group, place.lane, place.sequence))

    def _is_before_it_began(self, subscription: str, group: str, one: Logged) -> bool:
        """Whether the subscription chose to begin behind it, or had to since it was past its time."""
        facts = self.facts
        began, began_ms = self.began.get((subscription, group, one.lane), (0, 0))
        if one.sequence >= began or facts.subscriptions[subscription].start != "earliest":
            return one.sequence < began
        age_ms, kept_ms = began_ms - facts.entries[one.entry].at_ms, facts.plan.retention_days * _DAY_MS
        return kept_ms > 0 and age_ms >= kept_ms - _SKEW_MS

    def is_dead(self, region: str, subscription: str, lane: str, parking_id: str) -> bool:
        """Whether what is parked under an id waits for somebody.

        An event that was parked alone, when no order was kept, does so, too, behind a dead one of its key.
        """
        where = (region, subscription, lane)
        parked = self.parked[where]
        if parked[parking_id].state == "dead":
            return True
        key, first = self._keys[(*where, parking_id)], parked[parking_id].waiting[:1]
        return (
            self.facts.is_reordered
            and is_alone(parking_id)
            and any(
                is_alone(one)
                and stand.state == "dead"
                and self._keys[(*where, one)] == key
                and stand.waiting[:1] < first
                for one, stand in parked.items()
            )
        )

    def waits(self, region: str, subscription: str, lane: str, sequence: int) -> bool:
        """Whether an event waits in a parked key."""
        logged = self.facts.logged.get((lane, sequence))
        key = "" if logged is None else logged.key
        return any(one.holds(sequence, key) for one in self.parked[region, subscription, lane].values())

    def is_over(self, subscription: str, group: str, one: Logged) -> bool:
        """Whether nobody is to hand the event out any more: handled, discarded, gone, elsewhere, or never wanted."""
        facts, place = self.facts, (subscription, group, one.lane, one.sequence)
        if place in self.handled or place in self.discarded or not facts.wants(subscription, one):
            return True
        if (one.lane, one.sequence) in self.removed and not self._is_lost(one):
            return True
        if self._is_before_it_began(subscription, group, one):
            return True
        copies = facts.copies(one)
        return any((subscription, group, copy.lane, copy.sequence) in self.handled for copy in copies)
