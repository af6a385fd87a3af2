"""The cost of schemas, counted: none where there are none, and where there are, one file for each type."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.schema_folders import PLACED, written

DEFINITION = '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\nlanes = 1\n'
_COUNTED = """
import json, os, sys
looked_up, opened = [], []
os_stat = os.stat
def stat(path, *arguments, **named):
    looked_up.append(str(path))
    return os_stat(path, *arguments, **named)
os.stat = stat
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from eventfabric import Fabric
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.topology import Topology
from eventfabric.settings import definition_at
from eventfabric.sdk.connecting import schema_checks
from eventfabric.sdk.outgoing import Outgoing
path, by_name = sys.argv[1], sys.argv[2] == "by name"
del looked_up[:], opened[:]
schemas = schema_checks(None, definition=None if by_name else path)
outgoing = Outgoing(
    Topology(definition_at(path)).stream("orders"), "us-east-1", current=None, route_of=lambda stream: None,
    clock=MemoryClock(0), entropy=SeededEntropy(1), source="/shop", schemas=schemas,
)
for _ in range(3):
    for type_ in ("placed", "shipped", "billed"):
        outgoing.encode({"key": "k", "type": type_, "data": {"order": "A"}})
        list(outgoing.encode_all(type_, [("k", {"order": "A"})] * 500))
print(json.dumps({
    "looked_up": [name for name in looked_up if "schemas" in name],
    "opened": [name for name in opened if "schemas" in name],
    "validator": "jsonschema_rs" in sys.modules,
    "checks": "eventfabric.contracts.checks" in sys.modules,
}))
"""


def counted(definition: Path, how: str = "by definition") -> dict[str, Any]:
    process = subprocess.run(
        [sys.executable, "-c", _COUNTED, str(definition), how], capture_output=True, text=True, check=True
    )
    counts: dict[str, Any] = json.loads(process.stdout)
    return counts


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    path = tmp_path / "fabric.toml"
    path.write_text(DEFINITION, encoding="utf-8")
    return path


def test_without_a_folder_nothing_is_imported_and_it_is_looked_for_at_most_once(definition: Path) -> None:
    counts = counted(definition)
    assert len(counts["looked_up"]) <= 1  # some versions of Python look it up without `os.stat`
    assert (counts["opened"], counts["checks"], counts["validator"]) == ([], False, False)


def test_a_fabric_by_its_name_alone_looks_for_no_folder(definition: Path) -> None:
    written(definition.parent / "schemas", {"orders/placed": PLACED})
    counts = counted(definition, "by name")
    assert (counts["looked_up"], counts["opened"], counts["checks"]) == ([], [], False)


def test_where_no_type_in_use_has_a_schema_none_is_read(definition: Path) -> None:
    """The validator is imported with the folder: a thread that imports it would keep a forked child waiting."""
    written(definition.parent / "schemas", {"orders/paid": PLACED})
    counts = counted(definition)
    assert (counts["opened"], counts["checks"], counts["validator"]) == ([], True, True)


def test_a_schema_is_read_once_for_all_events_of_its_type(definition: Path) -> None:
    folder = written(definition.parent / "schemas", {"orders/placed": PLACED, "orders/paid": PLACED})
    counts = counted(definition)
    assert counts["validator"]
    opened = [Path(name).relative_to(folder).as_posix() for name in counts["opened"]]
    assert opened == ["orders/placed.json"]
