"""Deprecation: the announced end of an event type. Days begin and end in UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, kw_only=True)
class DeprecatedType:
    """A deprecated event type of a stream. Days are texts such as 2027-06-01; empty: there is none."""

    type: str
    since: str
    sunset: str = ""
    """First day on which publishing it is refused."""
    use: str = ""
    """Type to publish instead."""
    why: str = ""


def day_of(time_ms: int) -> str:
    """Return the day of a time, in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).date().isoformat()
