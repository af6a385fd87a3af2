"""Facts of a history that several checkers need."""

from collections import defaultdict
from functools import cached_property

from eventfabric.model import Lane
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.logged import FabricLog, Logged


def places_of(entry: history.Appended) -> list[tuple[str, int]]:
    """Return the places of a record's events, or those that a skip passes."""
    count = entry.skipped or len(entry.ids)
    return [(entry.lane, entry.sequence + index) for index in range(count)]


def root_of(lane: str) -> str:
    """Return the lane from which all were split off that hold the keys of one: its key's sequences rise in all."""
    return str(Lane.parse(lane).root)


class Facts(FabricLog):
    """Facts of a history that several checkers need."""

    @cached_property
    def logged_from(self) -> dict[tuple[str, int], int]:
        """First sequence of the record of each event."""
        return {
            place: entry.sequence
            for entry in self.entries
            if isinstance(entry, history.Appended) and not entry.skipped
            for place in places_of(entry)
        }

    @cached_property
    def lanes(self) -> dict[str, list[Logged]]:
        """Events of each lane, in order."""
        by_lane: defaultdict[str, list[Logged]] = defaultdict(list)
        for logged_event in sorted(
            self.logged.values(), key=lambda logged_event: (logged_event.lane, logged_event.sequence)
        ):
            by_lane[logged_event.lane].append(logged_event)
        return by_lane

    @staticmethod
    def above(lane: str) -> list[str]:
        """Return a lane and those from which it was split off: in their logs, events of its keys stand."""
        own = Lane.parse(lane)
        return [str(own.above(generation)) for generation in range(own.generation, -1, -1)]

    def logged_in(self, lane: str, sequence: int) -> Logged | None:
        """Return the event at a sequence in a lane, or in one from which it was split off: sequences go on there."""
        return next(
            (self.logged[name, sequence] for name in self.above(lane) if (name, sequence) in self.logged),
            None,
        )

    @cached_property
    def seals(self) -> dict[str, int]:
        """Places of the seals that end lanes."""
        return {
            entry.lane: entry.sequence
            for entry in self.entries
            if isinstance(entry, history.Appended) and entry.is_seal
        }

    @cached_property
    def ends(self) -> dict[str, int]:
        """Places at which lanes end: behind the last event or seal, and in an empty child behind its parent's seal."""
        ends: dict[str, int] = {}
        for entry in self.entries:
            if isinstance(entry, history.Appended) and not entry.copied:
                end = entry.sequence + (1 if entry.is_seal else entry.skipped or len(entry.ids))
                children = Lane.parse(entry.lane).children if entry.is_seal else ()
                for lane in (entry.lane, *map(str, children)):
                    ends[lane] = max(end, ends.get(lane, 0))
        return ends

    @cached_property
    def batches(self) -> dict[str, set[str]]:
        """Lanes that contain each batch."""
        lanes_of_batch: defaultdict[str, set[str]] = defaultdict(set)
        for logged_event in self.logged.values():
            lanes_of_batch[logged_event.batch].add(logged_event.lane)
        return lanes_of_batch

    def wants(self, subscription: str, event: Logged) -> bool:
        """Tell if a subscription is to be handed an event."""
        types = self.subscriptions[subscription].types
        return not types or event.type in types

    def copies(self, logged_event: Logged) -> list[Logged]:
        """Return the same event in other lanes, if its batch's publisher did not know where the batch stands."""
        if len(self.batches[logged_event.batch]) == 1:
            return []
        return [
            other
            for other in self.logged.values()
            if other.batch == logged_event.batch
            and other.id == logged_event.id
            and other.lane != logged_event.lane
        ]

    @cached_property
    def noted(self) -> set[str]:
        """Batches that may stand in two lanes."""
        return {entry.batch for entry in self.entries if isinstance(entry, history.Appended) and entry.note}

    @cached_property
    def removed(self) -> set[tuple[str, int]]:
        """Places whose record disappeared from its origin's log."""
        return {
            (entry.lane, entry.sequence + index)
            for entry in self.entries
            if isinstance(entry, history.Removed) and entry.lane.startswith(f"{entry.region}/")
            for index in range(entry.count)
        }

    @cached_property
    def gone(self) -> set[tuple[str, int]]:
        """Places whose record is missing from its origin's log in the end, and which nobody skipped."""
        missing: set[tuple[str, int]] = set()
        for entry in self.entries:
            if isinstance(entry, history.Removed) and entry.lane.startswith(f"{entry.region}/"):
                missing.update((entry.lane, entry.sequence + index) for index in range(entry.count))
            elif isinstance(entry, history.Appended) and not entry.copied:
                missing.difference_update(self.put_back(entry))
        return missing

    def put_back(self, entry: history.Appended) -> list[tuple[str, int]]:
        """Return the places that a record restored, or that a skip passes; without places of any other record."""
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
        """First places of records that somebody deleted. Only a skip leads past them."""
        return {
            (entry.lane, entry.sequence)
            for entry in self.entries
            if isinstance(entry, history.Tampered) and entry.what == "record lost"
        }

    @cached_property
    def changed_lanes(self) -> set[str]:
        """Lanes that were changed behind the fabric's back in a way that nothing repairs."""
        return {
            entry.lane
            for entry in self.entries
            if isinstance(entry, history.Tampered) and entry.what == "copy changed"
        } | self.overwritten_lanes

    @cached_property
    def overwritten_lanes(self) -> set[str]:
        """Lanes in which a publisher that remembered an earlier end put a batch in the place of a deleted record."""
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
        """Entries of reads of a standing whose reply was lost: the reader learned nothing from them."""
        numbers: set[int] = set()
        lost: dict[str, int] = {}
        for number, entry in enumerate(self.entries):
            if isinstance(entry, history.Called) and (entry.call, entry.fault) == (
                "ledger.standing",
                "lost_reply",
            ):
                lost[entry.actor] = entry.at_ms
            elif isinstance(entry, history.StandingRead) and lost.pop(entry.actor, None) == entry.at_ms:
                numbers.add(number)
        return numbers

    @cached_property
    def is_reordered(self) -> bool:
        """Tell if subscriptions gave up the order of keys, or took it up, during the run."""
        return any(happening.what == "reorder" for happening in self.plan.happenings)

    @cached_property
    def stopped_lanes(self) -> set[str]:
        """Lanes that may be stopped by what others put there, until somebody puts that right."""
        return {
            entry.lane
            for entry in self.entries
            if isinstance(entry, history.Tampered) and entry.what != "far item put"
        }

    @cached_property
    def end(self) -> history.Ended | None:
        """The last entry, if the history came to its end."""
        last = self.entries[-1] if self.entries else None
        return last if isinstance(last, history.Ended) else None

    @cached_property
    def _replays(self) -> list[tuple[int, str]]:
        """Replays that began: number of the entry, and of what."""
        return [
            (number, entry.about)
            for number, entry in enumerate(self.entries)
            if isinstance(entry, history.Happened) and entry.what == "replay_begins"
        ]

    def replays(self, subscription: str, group: str, *, before: int | None = None) -> int:
        """Count the replays that somebody began for it."""
        return sum(
            about.endswith(f" {subscription}") and (not group or about.startswith(f"{group} "))
            for number, about in self._replays
            if before is None or number < before
        )


class _Latest:
    """The facts of the history that was checked last."""

    facts: Facts | None = None
    entries_count = 0


def facts_of(of: History) -> Facts:
    """Return the facts of a history. Checkers ask one after another, and share what they have in common."""
    facts = _Latest.facts
    is_same = facts is not None and facts.plan is of.plan and facts.entries is of.entries
    if facts is None or not is_same or _Latest.entries_count != len(of.entries):
        facts = _Latest.facts = Facts(of)
        _Latest.entries_count = len(of.entries)
    return facts
