"""Hasty read: a process reads twice within a second what a subscription grants."""

from typing import Final

from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.history_of_credits import CreditsRead
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict

NAME = "hasty_read"
_PAUSE_MS: Final = 1_000


def check(of: History) -> Verdict:
    """Check the times between reads of one process, of the same subscription's grants."""
    read_ms: dict[tuple[str, str, str, str], int] = {}
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        if isinstance(entry, CreditsRead) and entry.actor.startswith("producer "):
            place = entry.actor, entry.region, entry.stream, entry.subscription
            passed_ms = entry.at_ms - read_ms.get(place, 0)
            if passed_ms < _PAUSE_MS:
                what = f"it read again what {entry.subscription} grants after {passed_ms} ms"
                anomalies.append(Anomaly(what, number))
            read_ms[place] = entry.at_ms
    return verdict(NAME, anomalies)
