"""Items and doorbells as the last released version stores and sends them, kept as a file: one of every kind.

Made anew at each release, by the released code: `python -m tests.versions.recorded v0.1.0`. The argument names the
commit that tests unpack to run its producers and functions. Before the first release, it is a commit of main.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from eventfabric.model import (
    ANY_TAIL,
    EMPTY_TAIL,
    Batch,
    BatchId,
    Circuit,
    CircuitState,
    Doorbell,
    Intervention,
    InterventionKind,
    ParkedState,
    Record,
    SequenceNumber,
    StepKey,
    record_at,
)
from eventfabric.model.backfill import BackfillState
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.region import MemoryRegion
from eventfabric.testing.memory.steps import MemorySteps
from eventfabric.version import VERSION
from eventfabric.wire import (
    backfill_item,
    circuit_item,
    intervention_item,
    owner_item,
    parked_item,
    record_item,
    step_item,
)
from eventfabric.wire.doorbell import to_body
from eventfabric.wire.keys import Item, seen_item
from eventfabric.wire.payload_codec import pack, unpack
from scripts.install import ROOT
from tests.support.stored_items import BACKFILL, BILLING, KEY, LANE, PARKED, ROW, STREAM, TOKEN, US, items
from tests.versions.player import decoded, encoded

FILE: Final = Path(__file__).with_name("recorded.json")
RUNG: Final = Doorbell(STREAM, LANE, SequenceNumber(9))
DOORBELLS: Final = {
    "relayed": RUNG,
    "again": replace(RUNG, tail=ANY_TAIL, again=1_790_000_000_000),
    "after a run that ended": replace(RUNG, ended=7),
    "of a timer": replace(RUNG, tail=ANY_TAIL, again=60_000, failing_ms=1_790_000_000_000),
}


COMPRESSED: Final = {"record of many"}
"""Kinds whose bytes depend on the library that compresses them: they are read, and not compared."""


def stored() -> dict[str, tuple[Item, Callable[[Item], object]]]:
    """Make items of each kind as this version stores them, with what this version reads of each."""
    seen = seen_item(STREAM, BILLING, US, 1)
    return {
        **items(),
        "seen": (seen, lambda item: owner_item.standing_of([item], US)),
        "record of many": (record_item.to_item(_record_of_many()), _events_of),
        "parked dead": (
            parked_item.to_item(
                KEY, US, replace(PARKED, state=ParkedState.DEAD, attempting=False), token=TOKEN
            ),
            parked_item.from_item,
        ),
        **{f"circuit {circuit.state}": _circuit(circuit) for circuit in _CIRCUITS},
        **{f"aside {kind.value}": _intervention(kind) for kind in InterventionKind},
        **{f"backfill {state.value}": _backfill(state) for state in BackfillState},
        **{f"step {name}": (item, step_item.from_item) for name, item in _steps().items()},
    }


_CIRCUITS: Final = (
    Circuit(CircuitState.OPEN, "down", 1_000, 2_000, 500, 900, rings_owed=True, version=3),
    Circuit(CircuitState.PAUSED, "moving", 1_000, by="me", version=4),
)


def _record_of_many() -> Record:
    """Make a record that is large enough to be compressed, of rows that share columns and of rows that do not."""
    rows = [*[ROW] * 3, *[(f"e{number}", *ROW[1:7], b"7" * 300) for number in range(5)]]
    batch = Batch(BatchId(b"m" * 16), len(rows), frozenset({"Placed"}), pack(rows))
    return record_at(EMPTY_TAIL, LANE, batch, now_ms=2**40, retention_seconds=None)


def _events_of(item: Item) -> object:
    return unpack(record_item.from_item(item))


def _circuit(circuit: Circuit) -> tuple[Item, Callable[[Item], object]]:
    return circuit_item.to_item(STREAM, BILLING, US, circuit), circuit_item.from_item


def _intervention(kind: InterventionKind) -> tuple[Item, Callable[[Item], object]]:
    item = intervention_item.to_item(Intervention(LANE, SequenceNumber(4), "me", "far", 1, kind))
    return item, lambda item: intervention_item.from_item(item, LANE)


def _backfill(state: BackfillState) -> tuple[Item, Callable[[Item], object]]:
    return backfill_item.to_item(replace(BACKFILL, state=state)), backfill_item.from_item


def _steps() -> dict[str, Item]:
    """Make the record of a step as it is left when it is done, and when a person has released it."""
    region = MemoryRegion(US, clock=MemoryClock())
    table = region.create_table("ledger")
    steps = MemorySteps(region, table.name, retention_seconds=None, entropy=SeededEntropy())
    key = StepKey(STREAM, BILLING, "charge", "/s", "e1")
    assert steps.begin(key) is None
    steps.finish(key, '{"charge":7}')
    [done] = table.items
    steps.release(key)
    [released] = table.items
    return {"done": done, "released": released}


def recorded() -> dict[str, Any]:
    """Return what the last released version stored, and where it is: `commit`, `version`, `items` and `doorbells`."""
    kept: dict[str, Any] = decoded(FILE.read_text(encoding="utf-8"))
    return kept


def record(revision: str) -> None:
    """Write the file anew."""
    command = ["git", "rev-parse", "--verify", f"{revision}^{{commit}}"]
    named = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    kept = {
        "commit": named.stdout.strip(),
        "version": VERSION,
        "items": {kind: item for kind, (item, _) in stored().items()},
        "doorbells": {name: to_body(doorbell) for name, doorbell in DOORBELLS.items()},
    }
    FILE.write_text(encoded(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(*sys.argv[1:])
