"""Imports: the time that a cold start needs for function modules, a producer for the SDK, and either for a schema."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.benchmarks.measure import Section, Target
from scripts.benchmarks.publish import schema_checks

_MODULES = (
    "boto3",
    "eventfabric.sdk.fabric",
    *(f"eventfabric.handlers.{name}" for name in ("relay", "deliver", "timer", "reconcile", "backfill")),
)
_FIRST_SCHEMA = """
import json, sys
from time import process_time as now
import eventfabric.sdk.fabric
from eventfabric.sdk.connecting import schema_checks
started = now()
check = schema_checks(sys.argv[1]).of("orders", "OrderPlaced")
assert not check.problems(b'{"order":"1","customer":"cus-1","total":1,"currency":"EUR"}')
print(now() - started)
"""
"""A producer's first event of a type with a schema: the validator is imported, and the schema read and compiled.

In CPU time, since its bound is no ratio: other load must not count.
"""
_TIMED = "from time import perf_counter as now; started = now(); import {}; print(now() - started)"


def bench(*, quick: bool) -> Section:
    """Time imports in new interpreters. `quick` starts fewer of them."""
    best_ms = dict.fromkeys(_MODULES, float("inf"))
    for _ in range(3 if quick else 10):
        for module in _MODULES:
            best_ms[module] = min(best_ms[module], _import_ms(module))
    with TemporaryDirectory() as folder:
        schema_checks(Path(folder))
        schema_ms = min(_ms(_FIRST_SCHEMA, folder) for _ in range(3 if quick else 10))
    targets = [
        Target(f"import {module} / import boto3", best_ms[module] / best_ms["boto3"], 2.1, "times")
        for module in _MODULES
        if module.startswith("eventfabric.handlers.")
    ]
    targets.append(Target("first event of a type with a schema", schema_ms, 30, "ms"))
    notes = [
        f"import {module}: {ms:.0f} ms, {ms / best_ms['boto3']:.2f} times boto3"
        for module, ms in best_ms.items()
    ]
    return Section("imports, best of several fresh interpreters", [], targets, notes)


def _import_ms(module: str) -> float:
    return _ms(_TIMED.format(module))


def _ms(code: str, *arguments: str) -> float:
    # What is deployed has its bytecode, so that of this checkout is kept as well.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    return float(ran.stdout) * 1000
