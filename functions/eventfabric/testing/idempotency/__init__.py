"""Tests of a project's own handlers under the simulation's faults: which of their effects are not idempotent?

    a plan with faults ─────> run ──> what was called and what stands outside ──┐
    its events, no faults ──> runs ─> the same ─────────────────────────────────┴─> differences: effects.py

Runs without faults show the correct result, so nobody has to state it. Effects that differ even between those runs are
not judged.
"""

from eventfabric.extras import needing

with needing("local", "the simulation of handlers"):
    from eventfabric.testing.idempotency.outside import Outside
    from eventfabric.testing.idempotency.report import HandlersReport
    from eventfabric.testing.idempotency.trials import HandlerTrials

__all__ = ["HandlerTrials", "HandlersReport", "Outside"]
