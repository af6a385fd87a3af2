"""Ports that only a few functions need, apart from the others, which each function imports."""

from collections.abc import Callable, Sequence
from typing import Protocol

from eventfabric.errors import UndecodableItemError
from eventfabric.model import Lane, LaneKey, Region, SequenceNumber, StreamName, SubscriptionName
from eventfabric.model.backfill import Backfill, SliceProgress, SliceStart
from eventfabric.model.credit import Grants


class Backfills(Protocol):
    """Backfills into one Region, and the progress of their slices. Only that Region writes them; others see them."""

    def all(self, *, unreadable: Callable[[UndecodableItemError], None] = ...) -> list[Backfill]:
        """Return every backfill that is known here, into any Region.

        `unreadable`: told of each that cannot be read, which is left out; default: raise that error.
        """
        ...

    def find(self, backfill_id: str) -> Backfill | None:
        """Return the backfill of that id into this Region (one consistent read)."""
        ...

    def replace(self, read: Backfill | None, to: Backfill) -> Backfill | None:
        """Replace the backfill that was `read` (by version; None: new). Return the stored one, or None: race lost."""
        ...

    def add(self, backfill_id: str, slices: Sequence[SliceProgress]) -> None:
        """Store slices. Those that are already known, by lane and start, stay as they are."""
        ...

    def save(self, backfill_id: str, progress: SliceProgress) -> None:
        """Store the progress of a slice, unless it is further already: of two workers, the one ahead counts."""
        ...

    def slice(self, backfill_id: str, lane: Lane, start: SequenceNumber) -> SliceProgress | None:
        """Return the slice of a lane that starts there (one consistent read)."""
        ...

    def slices(
        self,
        backfill_id: str,
        *,
        after: SliceStart | None,
        count: int,
        unreadable: Callable[[UndecodableItemError], None] = ...,
    ) -> tuple[list[SliceProgress], bool]:
        """Return up to `count` slices after the one of that lane and start, lane by lane; and if more may follow.

        `unreadable`: told of each that cannot be read, which is left out; default: raise that error.
        """
        ...


class Credits(Protocol):
    """How far subscriptions let producers append, lane by lane. A Region writes only what it grants itself."""

    def granted(
        self, stream: StreamName, subscription: SubscriptionName, origin: Region, *, part: int
    ) -> dict[Region, Grants]:
        """Return what each Region granted in a part of an origin's lanes, which may be a little old (wire.keys).

        An item that cannot be read grants nothing, as if it were not there.
        """
        ...

    def grant(self, key: LaneKey, grant: SequenceNumber) -> SequenceNumber:
        """Grant producers of a lane to append up to there, unless more is granted. Return what is granted then."""
        ...

    def forget(self, stream: StreamName, subscription: SubscriptionName, origin: Region, *, part: int) -> int:
        """Delete what this Region granted in a part of an origin's lanes. Return the number of items that it was."""
        ...
