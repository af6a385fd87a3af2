"""Owns a parked key: the events of one key that wait behind one that failed, and why it did."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Self

from eventfabric import limits
from eventfabric.errors import storable
from eventfabric.model.count import next_count
from eventfabric.model.identity import Sequence

REPLAYED: Final = "Replayed"
"""The `Failure.error_type` of an event that an operator handed over again, though its handler had not failed."""
_NEVER: Final = Sequence(0)
_ALONE: Final = "s/"


class ParkedState(StrEnum):
    """What becomes of a parked key by itself: it is tried again, or it waits for somebody."""

    RETRYING = "retrying"
    DEAD = "dead"


def is_alone(parking_id: str) -> bool:
    """Tell if an id is that of an event which is parked by itself."""
    return parking_id.startswith(_ALONE)


def alone_at(parking_id: str) -> Sequence | None:
    """The sequence of the event that an id is of; None where it is of none."""
    digits = parking_id.removeprefix(_ALONE)
    if not (is_alone(parking_id) and digits.isascii() and digits.isdigit() and len(digits) < 20):
        return None
    sequence = Sequence(int(digits))
    return sequence if event_parking_id(sequence) == parking_id else None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands in its lane: its sequence, and the first sequence of the record that holds it.

    `replay`: it was handed out before, as `Cursor.replay_until` says.
    """

    base: Sequence
    sequence: Sequence
    replay: bool = False


def key_parking_id(key: str) -> str:
    """The id of what the events of a key wait in, where their order is kept."""
    return f"k/{key}"


def event_parking_id(sequence: Sequence) -> str:
    """The id of what an event waits in by itself, where no order is kept."""
    return f"{_ALONE}{sequence}"


@dataclass(frozen=True, slots=True)
class Rest:
    """The events that wait in a parked key behind those it lists: the log has them.

    Whatever of the key stands in the lane from `sequence` on, up to the cursor. The record that holds `sequence` begins
    at `base`. Those from `replay_from` up to `replay_until` are replays.
    """

    base: Sequence
    sequence: Sequence
    replay_from: Sequence = _NEVER
    replay_until: Sequence = _NEVER

    def is_replay(self, sequence: Sequence) -> bool:
        """Whether an event was handed out before."""
        return self.replay_from <= sequence < self.replay_until

    def joined_by(self, place: Place, replay_until: Sequence) -> Self:
        """Cover one more event. `replay_until`: the lane's replays end there at the latest, where the event is one."""
        if not place.replay or self.is_replay(place.sequence):
            return self
        until = Sequence(max(self.replay_until, replay_until, place.sequence + 1))
        since = min(self.replay_from, place.sequence) if self.replay_until else place.sequence
        return replace(self, replay_from=since, replay_until=until)

    def beginning_at(self, base: Sequence, sequence: Sequence) -> Self:
        """Leave out what stands before a sequence."""
        return replace(self, base=base, sequence=sequence)

    @property
    def place(self) -> Place:
        """Where the first of these events may stand."""
        return Place(self.base, self.sequence, self.is_replay(self.sequence))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the first waiting event is not handled. Times are milliseconds since 1970.

    Texts are cut to limits.FAILURE_CHARACTERS_MAX, a trace at its beginning: they stand in one item with the rest. What
    has no UTF-8 is escaped.
    """

    error_type: str
    message: str = field(repr=False)
    trace: str = field(repr=False)
    hint: str
    attempts: int
    crashes: int
    first_ms: int
    last_ms: int
    code_version: str = ""
    trace_id: str = ""
    event_id: str = ""
    event_type: str = ""
    step: str = ""
    """The step that nobody knows the outcome of, where that is why."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "attempts", min(self.attempts, limits.SEQUENCE_MAX))
        object.__setattr__(self, "crashes", min(self.crashes, limits.SEQUENCE_MAX))
        for name, most in limits.FAILURE_CHARACTERS_MAX.items():
            text: str = getattr(self, name)
            if len(text) > most or not text.isascii():
                text = storable(text)
                object.__setattr__(self, name, text[-most:] if name == "trace" else text[:most])

    @property
    def has_texts(self) -> bool:
        """Whether it holds what a handler said, which may hold an event's content."""
        return bool(self.message or self.trace or self.hint)

    def without_texts(self) -> Self:
        """Keep what names the failure, and nothing that a handler said."""
        return replace(self, message="", trace="", hint="")


@dataclass(frozen=True, slots=True)
class Dropped:
    """Events of a key that were discarded together: those at `sequences`, and of what stands in the log from `since` on
    those before `until`.
    """

    key: str = field(repr=False)
    sequences: tuple[Sequence, ...]
    since: Sequence
    until: Sequence


@dataclass(frozen=True, slots=True)
class Parked:
    """One parked key of a lane. `waiting` lists its events in order, at most limits.PARKED_PLACES_MAX; the first is the
    one that failed. `rest`: where more wait than it lists. It lists none only while it is being filled from the rest.

    `id` is the key, or of a subscription without order the event's sequence, so that nothing waits behind it.
    `attempting`: an attempt was written down before it began, and nothing was heard of it since. `replacement`: the
    stored form of an event to be handled in place of the first. `version` counts the writes, from a number of the key's
    own: parked, freed and parked again, it is never at a version where it stood before, so that whoever read it then
    cannot take it for the same, even where nothing else fences him.
    """

    id: str = field(repr=False)
    key: str = field(repr=False)
    state: ParkedState
    waiting: tuple[Place, ...]
    due_ms: int
    failure: Failure
    attempting: bool = False
    replacement: bytes | None = field(default=None, repr=False)
    version: int = 0
    rest: Rest | None = None

    @property
    def first(self) -> Place:
        """The event that failed, or where the first that waits may stand."""
        if self.waiting:
            return self.waiting[0]
        assert self.rest is not None, "a parked key lists events, or says where they stand"
        return self.rest.place

    def joined_by(self, place: Place, *, replay_until: Sequence = _NEVER) -> Self:
        """Add an event at the end, unless it is there. `replay_until`: as of the lane's cursor."""
        if self.rest is not None:
            rest = self.rest.joined_by(place, replay_until)
            return self if rest is self.rest else replace(self, rest=rest)
        if place.sequence <= self.waiting[-1].sequence:
            return self
        if len(self.waiting) >= limits.PARKED_PLACES_MAX:
            return replace(self, rest=Rest(place.base, place.sequence).joined_by(place, replay_until))
        return replace(self, waiting=(*self.waiting, place))

    def without_first(self) -> Self | None:
        """Drop the first event; None where no other waits."""
        if len(self.waiting) == 1 and self.rest is None:
            return None
        # What is known is the first event's: the next has no name until it is read.
        failure = replace(self.failure, attempts=0, crashes=0, event_id="", event_type="", trace_id="")
        return replace(self, waiting=self.waiting[1:], failure=failure, attempting=False, replacement=None)

    def before(self, sequence: Sequence) -> Self | None:
        """Keep what waits in it before a sequence; None where nothing does."""
        waiting = tuple(place for place in self.waiting if place.sequence < sequence)
        rest = self.rest if self.rest is not None and self.rest.sequence < sequence else None
        if len(waiting) == len(self.waiting) and rest is self.rest:
            return self
        return replace(self, waiting=waiting, rest=rest) if waiting or rest else None

    @property
    def behind(self) -> int:
        """Events that wait behind the first, as far as they are listed."""
        return max(0, len(self.waiting) - 1)

    def dropped(self, until: Sequence) -> Dropped | None:
        """What waits behind its first event up to the cursor; None where nothing does."""
        sequences = tuple(place.sequence for place in self.waiting[1:])
        if not sequences and self.rest is None:
            return None
        return Dropped(self.key, sequences, self.rest.sequence if self.rest else until, until)

    def is_due(self, now_ms: int) -> bool:
        """Whether it is to be tried again now."""
        return self.state is ParkedState.RETRYING and self.due_ms <= now_ms


def stands_behind_another(parked: Parked, others: Iterable[Parked]) -> bool:
    """Tell if what was parked alone has an earlier event of its key beside it, which goes first where order is kept."""
    return is_alone(parked.id) and any(
        is_alone(one.id) and one.key == parked.key and one.first.sequence < parked.first.sequence
        for one in others
    )


@dataclass(frozen=True, slots=True)
class ParkedChange:
    """What a commit does to one parked key: `before` as it was read (None: not parked), `after` (None: free again)."""

    before: Parked | None
    after: Parked | None

    @property
    def version(self) -> int:
        """The version at which the key is written."""
        stands = self.before or self.after
        assert stands is not None, "a change has a before or an after"
        return next_count(stands.version)


def after_changes(parked: Mapping[str, Parked], changes: Iterable[ParkedChange]) -> dict[str, Parked]:
    """The parked keys by their id after a commit of changes, at the versions that it writes."""
    after = dict(parked)
    for change in changes:
        if change.after is not None:
            after[change.after.id] = replace(change.after, version=change.version)
        elif change.before is not None:
            del after[change.before.id]
    return after


@dataclass(frozen=True, slots=True)
class Settled:
    """What somebody decided about a dead letter, for the record: `action` is discarded or edited.

    `dropped`: what waited behind it, and was discarded with it. What may hold an event's content, the texts of the
    failure and the `replacement`, is left out where events expire.
    """

    sequence: Sequence
    action: str
    failure: Failure
    at_ms: int
    by: str = ""
    replacement: bytes | None = field(default=None, repr=False)
    dropped: Dropped | None = None
    expires_seconds: int | None = None
    """Since 1970; None: it is kept, as the stream's events are."""
