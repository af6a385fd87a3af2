"""What tests do to the Regions: cut them apart, stop one, heal all."""

from collections.abc import Sequence as Seq

from eventfabric.errors import OutcomeUnknownError
from eventfabric.local.replicator import Link
from eventfabric.model.identity import Lane, Sequence
from eventfabric.model.record import Record, Tail
from eventfabric.ports import Log, Page


class Faults:
    """The state of the Regions and of the links between them."""

    def __init__(self, regions: Seq[str], links: dict[tuple[str, str], Link]) -> None:
        self._regions = regions
        self._links = links
        self._cut: set[frozenset[str]] = set()
        self.stopped: set[str] = set()

    def cut(self, a: str, b: str) -> None:
        """Nothing is replicated between two Regions, in either direction, until `heal`."""
        for region in (a, b):
            self._check(region)
        self._cut.add(frozenset((a, b)))
        self._apply()

    def stop(self, region: str) -> None:
        """A Region is gone until `heal`: nothing runs in it, nobody reaches it, nothing leaves or enters it."""
        self._check(region)
        self.stopped.add(region)
        self._apply()

    def heal(self) -> None:
        """Undo every cut and stop."""
        self._cut.clear()
        self.stopped.clear()
        self._apply()

    def _apply(self) -> None:
        for (source, target), link in self._links.items():
            link.is_cut = (
                frozenset((source, target)) in self._cut or source in self.stopped or target in self.stopped
            )

    def _check(self, region: str) -> None:
        if region not in self._regions:
            raise ValueError(f"region: found {region!r}, allowed: {', '.join(self._regions)}")


class ReachableLog:
    """A log that gives no answer while its Region is stopped."""

    def __init__(self, inner: Log, faults: Faults, region: str) -> None:
        self._inner = inner
        self._faults = faults
        self._region = region

    def tail(self, lane: Lane) -> Tail:
        self._reach("read the tail")
        return self._inner.tail(lane)

    def append(self, record: Record) -> Record | None:
        self._reach("append")
        return self._inner.append(record)

    def read(self, lane: Lane, start: Sequence, *, records_max: int) -> Page:
        self._reach("read the log")
        return self._inner.read(lane, start, records_max=records_max)

    def _reach(self, operation: str) -> None:
        if self._region in self._faults.stopped:
            raise OutcomeUnknownError(operation, f"Region {self._region} is stopped")
