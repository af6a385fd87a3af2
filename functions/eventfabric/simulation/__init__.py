"""The simulator: a whole fabric on the memory adapters, in which one seed decides everything; never in Lambda."""

from eventfabric.simulation.acting import effect

__all__ = ["effect"]
