"""Target streams: what deliveries ask of streams into which a handler publishes; see services/publishing/targets.py."""

from collections.abc import Sequence
from typing import Protocol

from eventfabric.model import Occupied, Record
from eventfabric.wire.published import Published


class TargetRecords(Protocol):
    """The records of one commit, in other streams. `count`: number of their events."""

    count: int

    def made(self) -> list[tuple[str, Record]]:
        """Make the records, each with its table, where the lanes go on by now. Raises PortError, UncertainTailError."""
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


class TargetStreams(Protocol):
    """The streams into which a handler may publish."""

    def append(self, published: Sequence[Published]) -> None:
        """Append events, those first that are published once. What was appended before an error stays.

        Raises:
            OnceConflictError: an event of that id was published with other content. Only events of the same kind, those
                before it, were appended.
            PortError: not all is known to be appended; doing it again publishes no second event of an id `once`.
            UncertainTailError: the item at a lane's end cannot be believed.
        """
        ...

    def prepare(self, published: Sequence[Published]) -> TargetRecords:
        """Pack events into the records of one commit."""
        ...
