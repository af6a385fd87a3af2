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

from eventfabric.model import ANY_TAIL, Doorbell, SequenceNumber
from eventfabric.version import VERSION
from eventfabric.wire import owner_item
from eventfabric.wire.doorbell import to_body
from eventfabric.wire.keys import Item, seen_item
from scripts.install import ROOT
from tests.support.stored_items import BILLING, LANE, STREAM, US, items
from tests.versions.player import decoded, encoded

FILE: Final = Path(__file__).with_name("recorded.json")
RUNG: Final = Doorbell(STREAM, LANE, SequenceNumber(9))
DOORBELLS: Final = {
    "relayed": RUNG,
    "again": replace(RUNG, tail=ANY_TAIL, again=1_790_000_000_000),
    "after a run that ended": replace(RUNG, ended=7),
    "of a timer": replace(RUNG, tail=ANY_TAIL, again=60_000, failing_ms=1_790_000_000_000),
}


def stored() -> dict[str, tuple[Item, Callable[[Item], object]]]:
    """Make one item of each kind as this version stores it, with what this version reads of it."""
    seen = seen_item(STREAM, BILLING, US, 1)
    return {**items(), "seen": (seen, lambda item: owner_item.standing_of([item], US))}


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
