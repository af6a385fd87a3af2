"""Target streams: what deliveries ask of streams into which a handler publishes; see services/publishing/targets.py."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from eventfabric.model import Occupied, Record
from eventfabric.services.delivery.side_by_side import SideBySide
from eventfabric.wire.published import Published, Target


class TargetRecords(Protocol):
    """The records of one commit, in other streams. `count`: number of their events."""

    count: int

    def made(self, side_by_side: SideBySide) -> list[tuple[str, Record]]:
        """Make the records, each with its table, where the lanes go on by now. Raises PortError, UncertainTailError.

        `side_by_side`: reads several lanes' ends at the same time.
        """
        ...

    def meet(self, taken: Occupied) -> None:
        """Go on after a record that stands where one of these was to go."""
        ...

    def landed(self, records: Sequence[tuple[str, Record]]) -> None:
        """Remember the lanes' tails after records that were written."""
        ...

    def forget(self) -> None:
        """Forget where the lanes go on, because it is not known what was written."""
        ...


class TargetWrites(Protocol):
    """Events that are appended by themselves. `landed`: those that the last run appended; `count`: its writes."""

    landed: list[Published]
    count: int

    @property
    def is_done(self) -> bool:
        """True if all are appended."""
        ...

    def run(self, deadline_ms: int, *, beyond_credit: bool = False) -> None:
        """Append the events, those lanes first into which something is published once. What failed is tried first when
        called again.

        `deadline_ms`: when to stop, in milliseconds since 1970; what is under way then may take a second more.
        `beyond_credit`: append also where subscriptions hold producers back.

        Raises:
            OnceConflictError: an event of that id was published with other content.
            PortError: not all is known to be appended. Its cause is a BackpressureError if there is no credit.
            UncertainTailError: the item at a lane's end cannot be believed. Nothing was appended, unless it was known.
        """
        ...

    def keep_next(self) -> None:
        """Forget all but the write that failed."""
        ...


class TargetStreams(Protocol):
    """The streams into which a handler may publish."""

    def append_of(self, published: Sequence[Published]) -> TargetWrites:
        """Pack events into writes of their own, for which no transaction is needed."""
        ...

    def check_credit(self, lanes: Iterable[Target]) -> None:
        """Raise PortError while subscriptions hold back the producers of one of these lanes."""
        ...

    def prepare(self, published: Sequence[Published]) -> TargetRecords:
        """Pack events into the records of one commit."""
        ...
