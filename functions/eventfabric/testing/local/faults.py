"""Faults of Regions for tests: disconnect two, stop one, heal all."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from eventfabric.errors import OutcomeUnknownError
from eventfabric.ports import Doorbells, Ledger, Log, Outbox, Ports, Steps
from eventfabric.rare_ports import Backfills, Credits
from eventfabric.testing.local.replicator import Link


class RegionFaults:
    """Stopped Regions, and cut links between Regions."""

    def __init__(self, regions: Sequence[str], links: dict[tuple[str, str], Link]) -> None:
        self._regions = regions
        self._links = links
        self._cut: set[frozenset[str]] = set()
        self.stopped: set[str] = set()

    def cut(self, a: str, b: str) -> None:
        """Stop replication between two Regions, in both directions, until `heal`."""
        for region in (a, b):
            self._check(region)
        self._cut.add(frozenset((a, b)))
        self._apply()

    def stop(self, region: str) -> None:
        """Stop a Region until `heal`: nothing runs in it, nothing reaches it, leaves it or enters it."""
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


class Reachable:
    """A port of a Region that gives no answer while the Region is stopped."""

    def __init__(self, inner: object, faults: RegionFaults, region: str) -> None:
        self._inner = inner
        self._faults = faults
        self._region = region

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if not callable(attribute):
            return attribute

        def call(*arguments: object, **named: object) -> object:
            if self._region in self._faults.stopped:
                raise OutcomeUnknownError(name, f"Region {self._region} is stopped")
            return attribute(*arguments, **named)

        return call


def reachable(ports: Ports, faults: RegionFaults, region: str) -> Ports:
    """Wrap the ports of a Region so that their calls fail while it is stopped."""
    return replace(
        ports,
        log_of=lambda stream: cast(Log, Reachable(ports.log_of(stream), faults, region)),
        ledger=cast(Ledger, Reachable(ports.ledger, faults, region)),
        doorbells=cast(Doorbells, Reachable(ports.doorbells, faults, region)),
        outbox=cast(Outbox, Reachable(ports.outbox, faults, region)),
        steps_of=lambda stream: cast(Steps, Reachable(ports.steps_of(stream), faults, region)),
        backfills=cast(Backfills, Reachable(ports.backfills, faults, region)),
        credits=cast(Credits, Reachable(ports.credits, faults, region)),
    )
