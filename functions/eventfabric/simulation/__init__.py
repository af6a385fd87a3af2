"""Functions for the fakes of simulated handlers, under the name that users import. Never shipped to Lambda."""

from eventfabric.testing.simulation.acting import effect

__all__ = ["effect"]
