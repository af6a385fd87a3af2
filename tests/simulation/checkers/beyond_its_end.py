"""Beyond its end: a Region that was taken out has events yet, or gets more; a retired subscription goes on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history_of_deployments import RegionTakenOut, Retired
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict

NAME = "beyond_its_end"
DELIVERS_MS: Final = 600_000
"""Time for which a function may deliver for what is retired: it knows for a minute what it has read, for another for
each read that fails, and an invocation goes on to its end."""


@dataclass
class _Ended:
    """Regions and subscriptions that have come to their end so far, and the calls and events of before."""

    taken_out: set[str] = field(default_factory=set)
    retired_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    asked_after: dict[str, frozenset[str]] = field(default_factory=dict)
    """Regions that were taken out when a producer's call began."""
    places: set[tuple[str, int]] = field(default_factory=set)
    """Lanes and sequences of the events that were published before their Region was taken out."""

    def wrong(self, entry: history.AnyEntry) -> Iterator[str]:
        """Yield what is wrong with an entry, and note what it ends."""
        match entry:
            case RegionTakenOut():
                self.taken_out.add(entry.region)
            case Retired():
                self.retired_ms.setdefault((entry.region, entry.subscription), entry.at_ms)
            case history.Asked():
                self.asked_after[entry.actor] = frozenset(self.taken_out)
            case history.Appended() if _region(entry.lane) not in self.taken_out:
                self.places |= {(entry.lane, entry.sequence + index) for index in range(len(entry.ids))}
            case history.Acknowledged():
                if _region(entry.lane) in self.asked_after.get(entry.actor, ()):
                    yield f"{entry.actor} published {entry.id} in a Region that was taken out"
            case history.AttemptBegan():
                yield from self._wrong_attempt(entry)
            case _:
                pass

    def _wrong_attempt(self, entry: history.AttemptBegan) -> Iterator[str]:
        since_ms = self.retired_ms.get((entry.region, entry.subscription))
        if since_ms is not None and entry.at_ms > since_ms + DELIVERS_MS:
            yield f"{entry.subscription} is handed an event {(entry.at_ms - since_ms) // 1000} s after its end"
        if (entry.region, entry.subscription) in self.retired_ms:
            return
        for event in entry.events:
            if _region(event.lane) in self.taken_out and (event.lane, event.sequence) in self.places:
                yield f"{event.id} was not delivered to {entry.subscription} before its Region was taken out"


def check(of: history.History) -> Verdict:
    """Check that nothing is left or published in a Region once it was taken out, and that what is retired rests."""
    ended = _Ended()
    anomalies = [
        Anomaly(said, number) for number, entry in enumerate(of.entries) for said in ended.wrong(entry)
    ]
    return verdict(NAME, anomalies)


def _region(lane: str) -> str:
    return lane.partition("/")[0]
