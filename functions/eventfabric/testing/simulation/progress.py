"""The display of a hunt's progress, as the hunt sees it."""

from typing import Protocol

from eventfabric.testing.simulation.trial import SeedOutcome


class Progress(Protocol):
    """A display of progress."""

    def step(self, outcome: SeedOutcome) -> None:
        """Count a seed that is done."""

    def say(self, text: str) -> None:
        """Show any other text."""
