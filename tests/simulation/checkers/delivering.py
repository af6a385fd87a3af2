"""Progress of delivery at each entry of a history: events handled, discarded, parked, skipped or gone by then."""

from collections import defaultdict
from typing import Final

from eventfabric.model import Lane, is_alone
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.logged import Logged
from tests.simulation.checkers.facts import Facts, places_of

_DAY_MS: Final = 86_400_000
_SKEW_MS: Final = 300_000
"""Largest error of clocks that is tolerated: more than any jump."""
_PROGRESS: Final = frozenset(
    {
        history.AttemptEnded,
        history.EffectMade,
        history.Removed,
        history.Appended,
        history.Settled,
        history.KeyChanged,
        history.CursorMoved,
    }
)
"""Kinds of entries that say anything about the progress of delivery."""


def dropped_of_rest(facts: Facts, entry: history.Settled) -> list[int]:
    """Return the unlisted events of a key that were discarded, by their places in the log."""
    return [
        logged_event.sequence
        for lane in facts.above(entry.lane)
        for logged_event in facts.lanes.get(lane, [])
        if logged_event.key == entry.key and entry.since <= logged_event.sequence < entry.until
    ]


class Delivering:
    """Progress of each lane for each group. Feed it the entries in order."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.handled: set[tuple[str, str, str, int]] = set()
        """Subscription, group, lane and sequence of events whose handler returned, or whose effect was committed."""
        self.discarded: set[tuple[str, str, str, int]] = set()
        self.parked: defaultdict[tuple[str, str, str], dict[str, history.ParkedStand]] = defaultdict(dict)
        """Parked keys by Region, subscription and lane."""
        self._keys: dict[tuple[str, str, str, str], str] = {}
        self.cursors: dict[tuple[str, str, str], history.CursorStand] = {}
        """Cursors by Region, subscription and lane."""
        self.began: dict[tuple[str, str, str], tuple[int, int]] = {}
        """First event that was ever to be handed out, and since when; by subscription, group and lane."""
        self.removed: set[tuple[str, int]] = set()
        """Places whose record is gone from its origin's log at this entry."""
        self.skipped: set[tuple[str, int]] = set()
        """Places that an operator has let the lane skip by this entry."""
        self._of_id: defaultdict[str, list[Logged]] = defaultdict(list)
        for logged_event in facts.logged.values():
            self._of_id[logged_event.id].append(logged_event)

    def feed(self, entry: history.AnyEntry) -> None:
        """Take in the next entry."""
        if type(entry) not in _PROGRESS:
            return  # as most do, and ten checkers read each
        facts = self.facts
        match entry:
            case history.AttemptEnded() if not entry.error:
                if not facts.subscriptions[entry.subscription].guarantee.transactional:
                    self._note(entry.subscription, entry.region, entry.events)
            case history.EffectMade():
                group = facts.group(entry.subscription, entry.region)
                for logged_event in self._of_id[entry.id]:
                    self.handled.add((entry.subscription, group, logged_event.lane, logged_event.sequence))
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
                    stood = facts.logged_in(entry.lane, sequence)
                    lane = entry.lane if stood is None else stood.lane
                    self.discarded.add((entry.subscription, group, lane, sequence))
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

    def _is_lost(self, logged_event: Logged) -> bool:
        """Tell if somebody deleted the event, and nobody skipped it: it may still come back."""
        first = self.facts.logged_from.get((logged_event.lane, logged_event.sequence), logged_event.sequence)
        return (logged_event.lane, first) in self.facts.lost and (
            logged_event.lane,
            logged_event.sequence,
        ) not in self.skipped

    def _note(self, subscription: str, region: str, events: tuple[history.EventPlace, ...]) -> None:
        group = self.facts.group(subscription, region)
        for place in events:
            self.handled.add((subscription, group, place.lane, place.sequence))

    def _is_before_it_began(self, subscription: str, group: str, logged_event: Logged) -> bool:
        """Tell if the subscription began behind this event: by choice, or because the event had expired."""
        facts = self.facts
        began, began_ms = self.began.get((subscription, group, logged_event.lane), (0, 0))
        if logged_event.sequence >= began or facts.subscriptions[subscription].start != "earliest":
            return logged_event.sequence < began
        age_ms, kept_ms = (
            began_ms - facts.entries[logged_event.entry].at_ms,
            facts.plan.retention_days * _DAY_MS,
        )
        return kept_ms > 0 and age_ms >= kept_ms - _SKEW_MS

    def is_dead(self, region: str, subscription: str, lane: str, parking_id: str) -> bool:
        """Tell if the event parked under an id waits for a person.

        That includes an event that was parked alone, while no order was kept, behind a dead event of its key.
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
                is_alone(parked_key)
                and stand.state == "dead"
                and self._keys[(*where, parked_key)] == key
                and stand.waiting[:1] < first
                for parked_key, stand in parked.items()
            )
        )

    def waits(self, region: str, subscription: str, lane: str, sequence: int) -> bool:
        """Tell if an event waits in a parked key: of its lane or, once that is past its seal, of one below it."""
        logged = self.facts.logged.get((lane, sequence))
        key = "" if logged is None else logged.key
        return any(
            stand.holds(sequence, key)
            for leaf in self.lanes_waiting(region, subscription, lane)
            for stand in self.parked[region, subscription, leaf].values()
        )

    def lanes_waiting(self, region: str, subscription: str, lane: str) -> list[str]:
        """Return where keys of a lane wait: there or, once it is past its seal, in the children that began."""
        cursor = self.cursors.get((region, subscription, lane))
        if cursor is None or not cursor.is_past_seal:
            return [lane]
        waiting = list[str]()
        for child in map(str, Lane.parse(lane).children):
            own = self.cursors.get((region, subscription, child))
            has_begun = own is not None and own.has_begun and own.epoch == cursor.epoch
            waiting += self.lanes_waiting(region, subscription, child) if has_begun else [lane]
        return waiting

    def is_over(self, subscription: str, group: str, logged_event: Logged) -> bool:
        """Tell if nobody is to hand the event out any more: handled, discarded, gone, elsewhere, or never wanted."""
        facts, place = self.facts, (subscription, group, logged_event.lane, logged_event.sequence)
        if place in self.handled or place in self.discarded or not facts.wants(subscription, logged_event):
            return True
        if (logged_event.lane, logged_event.sequence) in self.removed and not self._is_lost(logged_event):
            return True
        if self._is_before_it_began(subscription, group, logged_event):
            return True
        copies = facts.copies(logged_event)
        return any((subscription, group, copy.lane, copy.sequence) in self.handled for copy in copies)
