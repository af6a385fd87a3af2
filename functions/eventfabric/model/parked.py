"""Owns a parked key: the events of one key that wait behind one that failed, and why it did."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from eventfabric.model.identity import Sequence


class ParkedState(StrEnum):
    """What becomes of a parked key by itself: it is tried again, or it waits for somebody."""

    RETRYING = "retrying"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands in its lane: its sequence, and the first sequence of the record that holds it.

    `replay`: it was handed out before, as `Cursor.replay_until` says.
    """

    base: Sequence
    sequence: Sequence
    replay: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the first waiting event is not handled. Times are milliseconds since 1970."""

    error_type: str
    message: str
    trace: str
    hint: str
    attempts: int
    crashes: int
    first_ms: int
    last_ms: int
    code_version: str = ""
    trace_id: str = ""
    event_id: str = ""
    event_type: str = ""


@dataclass(frozen=True, slots=True)
class Parked:
    """One parked key of a lane. `waiting` is never empty and in order; its first event is the one that failed.

    `id` is the key, or of a subscription without order the event's sequence, so that nothing waits behind it.
    `attempting`: an attempt was written down before it began, and nothing was heard of it since. `replacement`: the
    stored form of an event to be handled in place of the first. `version` counts the writes, from a number of the key's
    own: parked, freed and parked again, it is never at a version where it stood before, so that whoever read it then
    cannot take it for the same, even where nothing else fences him.
    """

    id: str
    key: str
    state: ParkedState
    waiting: tuple[Place, ...]
    due_ms: int
    failure: Failure
    attempting: bool = False
    replacement: bytes | None = None
    version: int = 0

    @property
    def first(self) -> Place:
        """The event that failed."""
        return self.waiting[0]

    def joined_by(self, place: Place) -> Self:
        """With one more event at the end, unless it is there."""
        if place.sequence <= self.waiting[-1].sequence:
            return self
        return replace(self, waiting=(*self.waiting, place))

    def without_first(self) -> Self | None:
        """With the first event gone; None where no other waits."""
        if len(self.waiting) == 1:
            return None
        # What is known is the first event's: the next has no name until it is read.
        failure = replace(self.failure, attempts=0, crashes=0, event_id="", event_type="", trace_id="")
        return replace(self, waiting=self.waiting[1:], failure=failure, attempting=False, replacement=None)

    def before(self, sequence: Sequence) -> Self | None:
        """With what waits in it before a sequence; None where nothing does."""
        waiting = tuple(place for place in self.waiting if place.sequence < sequence)
        if len(waiting) == len(self.waiting):
            return self
        return replace(self, waiting=waiting) if waiting else None

    def is_due(self, now_ms: int) -> bool:
        """Whether it is to be tried again now."""
        return self.state is ParkedState.RETRYING and self.due_ms <= now_ms


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
        return stands.version + 1


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
    """What somebody decided about a dead letter, for the record: `action` is discarded or edited."""

    sequence: Sequence
    action: str
    failure: Failure
    at_ms: int
    by: str = ""
    replacement: bytes | None = None
