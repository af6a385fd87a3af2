"""A figure beside its aim, and how figures are taken from many values."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median


@dataclass(frozen=True)
class Figure:
    """A figure of the code. Without a bound it is only shown."""

    name: str
    measured: float
    at_most: float | None = None
    at_least: float | None = None
    places: tuple[str, ...] = ()
    """Where to look if the aim is missed."""

    @property
    def is_met(self) -> bool:
        if self.at_most is not None and self.measured > self.at_most:
            return False
        return self.at_least is None or self.measured >= self.at_least


def middle(values: Sequence[float]) -> float:
    """Return the median. 0 if there are no values."""
    return median(values) if values else 0


def p90(values: Sequence[float]) -> float:
    """Return the value that a tenth of all reach or exceed. 0 if there are no values."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.9))] if values else 0


def mean(values: Sequence[float]) -> float:
    """Return the mean. 0 if there are no values."""
    return fmean(values) if values else 0


def percent(part: float, whole: float) -> float:
    """Return a share in percent. 0 of nothing is 0."""
    return 100 * part / whole if whole else 0
