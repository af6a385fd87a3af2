"""Deprecation: the announced end of an event type, and what each of its events says about that.

The attributes are those of CloudEvents' deprecation extension. Days begin and end in UTC.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from math import inf
from typing import Final
from urllib.parse import quote

from eventfabric.model.event import HeaderValue

_EPOCH: Final = date(1970, 1, 1)


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

    @cached_property
    def sunset_ms(self) -> float:
        """Time from which on publishing is refused, in milliseconds since 1970; infinite: never."""
        if not self.sunset:
            return inf
        return (date.fromisoformat(self.sunset) - _EPOCH) // timedelta(milliseconds=1)

    def headers(self, stream: str) -> dict[str, HeaderValue]:
        """Return the attributes that its events carry, in whichever stream."""
        own: dict[str, HeaderValue] = {"deprecated": True, "deprecationfrom": f"{self.since}T00:00:00Z"}
        if self.sunset:
            own["deprecationsunset"] = f"{self.sunset}T00:00:00Z"
        if self.use:
            own["deprecationmigration"] = f"eventfabric:{stream}/{quote(self.use, safe='')}"
        return own

    def __str__(self) -> str:
        ends = f", and refused from {self.sunset} on" if self.sunset else ""
        use = f"; publish {self.use} instead" if self.use else ""
        why = f" ({self.why})" if self.why else ""
        return f"type {self.type} is deprecated since {self.since}{ends}{use}{why}"


def day_of(time_ms: int) -> str:
    """Return the day of a time, in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).date().isoformat()
