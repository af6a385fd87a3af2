"""Figures that a service keeps of a subscription's function, as far as they are known."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FunctionFigures:
    """Figures of a function, of the last minutes. None: there are none, or they could not be read."""

    invocations: float | None = None
    """Most invocations at the same time."""
    throttles: float | None = None
    """Invocations that Lambda refused."""
    limit: float | None = None
    """Attempts at the same time that functions with `concurrency = "auto"` allow."""
