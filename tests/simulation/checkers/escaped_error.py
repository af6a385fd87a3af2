"""Escaped error: a function ends with an error that is about one lane or message, and takes all others along."""

from typing import Final

from eventfabric.errors import LastingError, OutcomeUnknownError, RefusedError, ThrottledError
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict

NAME = "escaped_error"
_OF_SERVICES: Final = frozenset(
    one.__name__ for one in (LastingError, OutcomeUnknownError, RefusedError, ThrottledError)
)
"""Errors of a service that does not do what it is asked: whoever invokes the function tries again."""


def check(of: History) -> Verdict:
    """Find functions that raised what no service said."""
    anomalies = [
        Anomaly(f"{entry.actor} ended with {entry.reason}", number)
        for number, entry in enumerate(of.entries)
        if isinstance(entry, history.Crashed) and entry.raised and entry.raised not in _OF_SERVICES
    ]
    return verdict(NAME, anomalies)
