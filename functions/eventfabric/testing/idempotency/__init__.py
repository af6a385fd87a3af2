"""Somebody's own handlers under the simulation's faults: which of their effects are not idempotent?

    a plan with faults ─────> run ──> what was called and what stands outside ──┐
    its events, no faults ──> runs ─> the same ─────────────────────────────────┴─> differences: effects.py

Runs without faults say what is right; nobody has to. What differs between those is not judged.
"""

from eventfabric.testing.idempotency.outside import Outside
from eventfabric.testing.idempotency.report import HandlersReport
from eventfabric.testing.idempotency.trials import HandlerTrials

__all__ = ["HandlerTrials", "HandlersReport", "Outside"]
