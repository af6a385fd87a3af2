"""What fakes call where handlers are simulated, by the name that users import. Never shipped to Lambda."""

from eventfabric.testing.simulation.acting import effect

__all__ = ["effect"]
