"""Escaped error: a function ends with an error about one lane or message, so that all others fail with it."""

from typing import Final

from eventfabric.errors import LastingError, OutcomeUnknownError, RefusedError, ThrottledError
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict

NAME = "escaped_error"
_OF_SERVICES: Final = frozenset(
    error.__name__ for error in (LastingError, OutcomeUnknownError, RefusedError, ThrottledError)
)
"""Errors of a service that refuses or does not answer: whoever invokes the function tries again."""


def check(of: History) -> Verdict:
    """Check that functions raise only errors that come from services."""
    anomalies = [
        Anomaly(f"{entry.actor} ended with {entry.reason}", number)
        for number, entry in enumerate(of.entries)
        if isinstance(entry, history.Crashed) and entry.raised and entry.raised not in _OF_SERVICES
    ]
    return verdict(NAME, anomalies)
