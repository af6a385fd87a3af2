"""Beneath: what a pass knows of a lane that was split off from another: where it begins, and for whom.

The parent's end says that it was split, which each pass reads anyway. A subscription begins the child where its cursor
is past the parent's seal, and by that passing alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from eventfabric.model import EMPTY_TAIL, Cursor, LaneState, Owner, Passing, Region, Tail
from eventfabric.services.lanes.begun import begun_by
from eventfabric.services.reconciliation.look import believed_ms


@dataclass(frozen=True, slots=True)
class PassedSeal:
    """A parent's cursor that is past its seal. `passing` None: it was not read, because the lane is at rest."""

    passing: Passing | None = None
    written_ms: int = 0

    @classmethod
    def of(cls, cursor: Cursor, now_ms: int) -> "PassedSeal | None":
        """Return that of a cursor; None: it is not past a seal."""
        if cursor.past_seal is None:
            return None
        return cls(cursor.past_seal, believed_ms(cursor.written_ms, now_ms))

    def counts(self, state: LaneState, *, region: Region, owner: Owner | None) -> Region | None:
        """Return the Region whose cursor of a child counts; None: the child has yet to be begun."""
        if self.passing is not None:
            return begun_by(state, self.passing, region=region, owner=owner)
        return region if state.cursor(region).begun is not None else None


@dataclass(frozen=True, slots=True)
class Beneath:
    """The place of a lane beneath others. `start`: the tail with which it begins.

    `passed`: the parent's cursors that are past its seal, by subscription; None: it has no parent.
    """

    start: Tail = EMPTY_TAIL
    passed: dict[str, PassedSeal] | None = None


ROOT = Beneath()


@dataclass(slots=True)
class PassedHere:
    """The cursors that are past the seal of a lane, as a pass comes to see them."""

    passed: dict[str, PassedSeal] = field(default_factory=dict)

    def note(self, subscription: str, cursor: Cursor, now_ms: int) -> None:
        """Note a subscription's cursor, if it is past the seal."""
        passed = PassedSeal.of(cursor, now_ms)
        if passed is not None:
            self.passed[subscription] = passed

    def note_all(self, subscriptions: Iterable[str]) -> None:
        """Note that all are past the seal, as they were when the lane came to rest."""
        self.passed |= {name: PassedSeal() for name in subscriptions}
