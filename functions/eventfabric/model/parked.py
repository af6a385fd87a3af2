"""The parked key: events of one key that wait behind one that failed, and why it failed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Self

from eventfabric import limits
from eventfabric.errors import storable
from eventfabric.model.identity import Lane, SequenceNumber, is_alone, next_count

REPLAYED: Final = "Replayed"
"""`Failure.error_type` of an event that an operator handed over again, though its handler had not failed."""
_NEVER: Final = SequenceNumber(0)


class ParkedState(StrEnum):
    """State of a parked key: it is tried again automatically, or waits for an operator."""

    RETRYING = "retrying"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Place:
    """Place of an event in its lane: its sequence, and the first sequence of the record that holds it.

    `replay`: the event was handed out before; see `Cursor.replay_until`. `lane`: set for an event that stands in the
    log of a lane above, where its key was parked as that lane ended with a seal; None: it stands in the key's own lane.
    """

    base: SequenceNumber
    sequence: SequenceNumber
    replay: bool = False
    lane: Lane | None = None


@dataclass(frozen=True, slots=True)
class Rest:
    """The events that wait in a parked key after those that it lists, and that only the log has.

    They are all events of the key in the lane from `sequence` on, up to the cursor. The record that holds `sequence`
    begins at `base`. Events from `replay_from` on and before `replay_until` are replays. `lane`: set if they begin in
    the log of a lane above, and go on behind its seal in the child of the key; None: they begin in the key's own lane.
    """

    base: SequenceNumber
    sequence: SequenceNumber
    replay_from: SequenceNumber = _NEVER
    replay_until: SequenceNumber = _NEVER
    lane: Lane | None = None

    def is_replay(self, sequence: SequenceNumber) -> bool:
        """Tell if an event was handed out before."""
        return self.replay_from <= sequence < self.replay_until

    def joined_by(self, place: Place, replay_until: SequenceNumber) -> Self:
        """Cover one more event. `replay_until`: if it is a replay, the lane's replays end there at the latest."""
        if not place.replay or self.is_replay(place.sequence):
            return self
        until = SequenceNumber(max(self.replay_until, replay_until, place.sequence + 1))
        since = min(self.replay_from, place.sequence) if self.replay_until else place.sequence
        return replace(self, replay_from=since, replay_until=until)

    def beginning_at(self, base: SequenceNumber, sequence: SequenceNumber, lane: Lane | None = None) -> Self:
        """Leave out the events before a sequence, which stands in the log of the own lane (None) or of one above."""
        return replace(self, base=base, sequence=sequence, lane=lane)

    @property
    def place(self) -> Place:
        """First place at which one of these events may stand."""
        return Place(self.base, self.sequence, self.is_replay(self.sequence), self.lane)


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why the first waiting event is not handled. Times are milliseconds since 1970.

    Texts are cut to limits.FAILURE_CHARACTERS_MAX, a trace at its beginning: they all stand in one item. Characters
    without UTF-8 are escaped.
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
    """The step whose outcome nobody knows, if that is the reason."""

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
        """Tell if it holds texts of a handler, which may contain an event's content."""
        return bool(self.message or self.trace or self.hint)

    def without_texts(self) -> Self:
        """Keep only what names the failure, without any text of a handler."""
        return replace(self, message="", trace="", hint="")


@dataclass(frozen=True, slots=True)
class Dropped:
    """Events of a key that were discarded together: those at `sequences`, and those of the key in the log from `since`
    on and before `until`.
    """

    key: str = field(repr=False)
    sequences: tuple[SequenceNumber, ...]
    since: SequenceNumber
    until: SequenceNumber


@dataclass(frozen=True, slots=True)
class Parked:
    """One parked key of a lane. `waiting` lists its events in order, at most limits.PARKED_PLACES_MAX; the first one
    failed. `rest`: where the events stand that it does not list. The list is empty only while it is refilled from the
    rest.

    `id` is made of the key or, in a subscription without order, of the event's sequence, so that nothing waits behind
    it. `attempting`: an attempt was written down before it began, and has not reported an outcome. `replacement`: the
    stored form of an event to be handled in place of the first. `version` counts the writes, from a number of the key's
    own: a key that is parked, freed and parked again is never at a version at which it was before. So whoever read it
    then cannot mistake it for the same, even where no other condition fences that writer.
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
        """Place of the event that failed, or the first place at which a waiting one may stand."""
        if self.waiting:
            return self.waiting[0]
        assert self.rest is not None, "a parked key lists events, or says where they stand"
        return self.rest.place

    def joined_by(self, place: Place, *, replay_until: SequenceNumber = _NEVER) -> Self:
        """Add an event at the end, unless it is there. `replay_until`: as in the lane's cursor."""
        if self.rest is not None:
            rest = self.rest.joined_by(place, replay_until)
            return self if rest is self.rest else replace(self, rest=rest)
        if place.sequence <= self.waiting[-1].sequence:
            return self
        if len(self.waiting) >= limits.PARKED_PLACES_MAX:
            return replace(self, rest=Rest(place.base, place.sequence).joined_by(place, replay_until))
        return replace(self, waiting=(*self.waiting, place))

    def without_first(self) -> Self | None:
        """Drop the first event. None if no other waits."""
        if len(self.waiting) == 1 and self.rest is None:
            return None
        # The failure describes the first event only; the next one has no name until it is read.
        failure = replace(self.failure, attempts=0, crashes=0, event_id="", event_type="", trace_id="")
        return replace(self, waiting=self.waiting[1:], failure=failure, attempting=False, replacement=None)

    def before(self, sequence: SequenceNumber) -> Self | None:
        """Keep only the events before a sequence. None if there are none."""
        waiting = tuple(place for place in self.waiting if place.sequence < sequence)
        rest = self.rest if self.rest is not None and self.rest.sequence < sequence else None
        if len(waiting) == len(self.waiting) and rest is self.rest:
            return self
        return replace(self, waiting=waiting, rest=rest) if waiting or rest else None

    def holds_new(self, start: SequenceNumber, end: SequenceNumber) -> bool:
        """Tell if an event that is no replay may wait there, from `start` on and before `end`, which is the cursor."""
        if any(place.sequence >= start and not place.replay for place in self.waiting):
            return True
        rest = self.rest
        return rest is not None and not (
            rest.replay_from <= max(start, rest.sequence) and end <= rest.replay_until
        )

    @property
    def behind(self) -> int:
        """Number of events that wait behind the first, as far as they are listed."""
        return max(0, len(self.waiting) - 1)

    def dropped(self, until: SequenceNumber) -> Dropped | None:
        """Return what waits behind its first event, up to the cursor; None if nothing does."""
        sequences = tuple(place.sequence for place in self.waiting[1:])
        if not sequences and self.rest is None:
            return None
        return Dropped(self.key, sequences, self.rest.sequence if self.rest else until, until)

    def is_due(self, now_ms: int) -> bool:
        """Tell if it is to be tried again now."""
        return self.state is ParkedState.RETRYING and self.due_ms <= now_ms


def stands_behind_another(parked: Parked, others: Iterable[Parked]) -> bool:
    """Tell if an event parked alone has an earlier one of its key beside it, which goes first where order is kept."""
    return is_alone(parked.id) and any(
        is_alone(earlier.id) and earlier.key == parked.key and earlier.first.sequence < parked.first.sequence
        for earlier in others
    )


@dataclass(frozen=True, slots=True)
class ParkedChange:
    """Change of one parked key by a commit: `before` as it was read (None: not parked), `after` (None: free again)."""

    before: Parked | None
    after: Parked | None

    @property
    def version(self) -> int:
        """Version at which the key is written."""
        stands = self.before or self.after
        assert stands is not None, "a change has a before or an after"
        return next_count(stands.version)


def after_changes(parked: Mapping[str, Parked], changes: Iterable[ParkedChange]) -> dict[str, Parked]:
    """Return the parked keys by their id after a commit of changes, at the versions that it writes."""
    after = dict(parked)
    for change in changes:
        if change.after is not None:
            after[change.after.id] = replace(change.after, version=change.version)
        elif change.before is not None:
            del after[change.before.id]
    return after


@dataclass(frozen=True, slots=True)
class Settled:
    """Decision of an operator about a dead letter, kept on record: `action` is discarded or edited.

    `dropped`: what waited behind it, and was discarded with it. In a stream whose events expire, everything that may
    hold an event's content is left out: the texts of the failure, and the `replacement`.
    """

    sequence: SequenceNumber
    action: str
    failure: Failure
    at_ms: int
    by: str = ""
    replacement: bytes | None = field(default=None, repr=False)
    dropped: Dropped | None = None
    expires_seconds: int | None = None
    """Time of expiry, in seconds since 1970; None: it is kept, as the stream's events are."""
