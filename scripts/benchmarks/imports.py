"""Imports: the time that a cold start needs for function modules, and a producer for the SDK, next to boto3 alone."""

import os
import subprocess
import sys

from scripts.benchmarks.measure import Section, Target

_MODULES = (
    "boto3",
    "eventfabric.sdk.fabric",
    *(f"eventfabric.handlers.{name}" for name in ("relay", "deliver", "timer", "reconcile", "backfill")),
)
_TIMED = "from time import perf_counter as now; started = now(); import {}; print(now() - started)"


def bench(*, quick: bool) -> Section:
    """Time imports in new interpreters. `quick` starts fewer of them."""
    best_ms = dict.fromkeys(_MODULES, float("inf"))
    for _ in range(3 if quick else 10):
        for module in _MODULES:
            best_ms[module] = min(best_ms[module], _import_ms(module))
    targets = [
        Target(f"import {module} / import boto3", best_ms[module] / best_ms["boto3"], 2.1, "times")
        for module in _MODULES
        if module.startswith("eventfabric.handlers.")
    ]
    notes = [
        f"import {module}: {ms:.0f} ms, {ms / best_ms['boto3']:.2f} times boto3"
        for module, ms in best_ms.items()
    ]
    return Section("imports, best of several fresh interpreters", [], targets, notes)


def _import_ms(module: str) -> float:
    # What is deployed has its bytecode, so that of this checkout is kept as well.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", _TIMED.format(module)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(ran.stdout) * 1000
