"""Earlier versions at a seal: whoever does not know it stops there with one clear error, and writes nothing.

Formats keep such versions away from a stream before a lane of it is split. This is what happens where that fails.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from eventfabric.model import BatchId, Lane, Record, Region, lane_of, record_at, seal_at, tail_behind
from eventfabric.wire import record_item
from eventfabric.wire.batch import batch_of_rows
from eventfabric.wire.keys import Item
from eventfabric.wire.payload_codec import Row
from tests.versions.player import Command, State, decoded, encoded
from tests.versions.recorded import recorded
from tests.versions.turns import PLAYER, THIS, Version, play, unpack

US: Final = Region("us-east-1")
LANE: Final = lane_of("anna", US, 2)
_PLAYER: Final = Path(__file__).with_name("player_at_seal.py")
LAST_WITHOUT_SEALS: Final = "a724eec6e3c0742b53c0862382ad0c22ad5f3132"
"""The last commit of a version that does not know seals, and declares what is deployed."""


@pytest.fixture(scope="module", params=["released", "last"])
def earlier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Version:
    commit = recorded()["commit"] if request.param == "released" else LAST_WITHOUT_SEALS
    folder = tmp_path_factory.mktemp(request.param)
    if reason := unpack(commit, folder, "functions/eventfabric", PLAYER):
        pytest.skip(reason)
    if "children_text" in (folder / "functions/eventfabric/model/record.py").read_text():
        pytest.skip("the released version knows seals")
    return Version(request.param, folder)


@pytest.fixture(scope="module")
def before() -> State:
    """A stream in which two events of a key were published, and nothing was delivered."""
    events = [["a", "anna", "Placed"], ["b", "anna", "Placed"]]
    return play([(THIS, [["deploy", US], ["publish", US, events]])])


def log_of(state: State) -> dict[str, Item]:
    """Return the records of the stream, by their keys."""
    items: list[Item] = decoded(encoded(state["tables"][US]["shop-orders"]))
    return {f"{item['pk']} {item['sk']}": item for item in items if "@" not in item["pk"]["S"]}


def records_of(state: State) -> list[Record]:
    """Return the lane's records, as long as it has no seal."""
    items = [item for item in log_of(state).values() if item["pk"] == {"S": str(LANE)}]
    return sorted((record_item.from_item(item) for item in items), key=lambda record: record.sequence)


def split(state: State) -> State:
    """Put the seal behind what stands in the lane, and an event into the child."""
    seal = seal_at(records_of(state)[-1].tail, LANE, now_ms=state["now_ms"])
    behind = child_record(seal, state["now_ms"])
    added = [record_item.to_item(record) for record in (seal, behind)]
    tables = {name: {**of} for name, of in state["tables"].items()}
    tables[US]["shop-orders"] = [*tables[US]["shop-orders"], *added]
    return {**state, "tables": tables}


def child_record(seal: Record, now_ms: int) -> Record:
    row: Row = ("c", "Placed", "anna", 2**50, "/s", {}, 1, b"{}")
    batch = batch_of_rows(BatchId(b"c" * 16), [row])
    child = lane_of("anna", US, 2, generation=1)
    return record_at(tail_behind(seal.tail), child, batch, now_ms=now_ms, retention_seconds=None)


def played(version: Version, state: State, *commands: Command) -> State:
    turn = {"state": state, "commands": commands, "by": version.name, "seed": 1}
    ran = subprocess.run(
        [sys.executable, str(_PLAYER), str(version.folder / PLAYER)],
        env={**os.environ, "PYTHONPATH": str(version.folder / "functions")},
        input=encoded(turn),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    after: State = decoded(ran.stdout)
    return after


def errors(state: State) -> Iterator[tuple[str, str]]:
    for name, kind, message in state["errors"]:
        assert str(LANE) in message
        yield name, kind


def test_without_a_seal_it_reads_and_writes(earlier: Version, before: State) -> None:
    after = played(earlier, before, ["publish", US, [["d", "anna", "Placed"]]], ["read_tail", str(LANE)])
    assert after["errors"] == []
    assert len(log_of(after)) == len(log_of(before)) + 1


def test_a_producer_refuses_to_append_and_writes_nothing(earlier: Version, before: State) -> None:
    state = split(before)
    after = played(
        earlier,
        state,
        ["publish", US, [["d", "anna", "Placed"]]],
        ["publish", US, [["d", "anna", "Placed"]], True],
        ["read_tail", str(LANE)],
    )
    kinds = list(errors(after))
    assert [name for name, _ in kinds] == ["publish", "publish", "read_tail"]
    assert {kind for _, kind in kinds} <= {"UncertainTailError", "UndecodableRecordError"}
    assert log_of(after) == log_of(state)


def test_a_producer_that_knew_the_tail_meets_the_seal_and_writes_nothing_behind_it(
    earlier: Version, before: State
) -> None:
    seal = record_item.to_item(seal_at(records_of(before)[-1].tail, LANE, now_ms=before["now_ms"]))
    after = played(earlier, before, ["append_behind", str(LANE), seal])
    assert list(errors(after)) == [("append_behind", "UndecodableRecordError")]
    # Its first event, and the seal.
    assert len(log_of(after)) == len(log_of(before)) + 2


def test_a_function_delivers_up_to_the_seal_and_nothing_behind_it(earlier: Version, before: State) -> None:
    state = split(before)
    after = played(earlier, state, *[["deliver", US, "billing", 1]] * 5)
    handled = [event for name, _, event, *_ in after["handled"] if name == "billing"]
    assert handled == ["a", "b"]
    cursors = [
        int(item["s"]["N"])
        for item in after["tables"][US]["shop-ledger"]
        if "/billing" in item["pk"]["S"] and item["sk"]["S"].endswith("/cursor")
    ]
    assert all(sequence <= records_of(before)[-1].tail.sequence for sequence in cursors)
    assert log_of(after) == log_of(state)


def test_reconciliation_changes_nothing(earlier: Version, before: State) -> None:
    state = split(before)
    after = played(earlier, state, ["reconcile", US])
    assert log_of(after) == log_of(state)


def test_lanes_of_other_keys_go_on(earlier: Version, before: State) -> None:
    other = next(key for key in ("bert", "cleo", "dora", "emil") if lane_of(key, US, 2) != LANE)
    after = played(earlier, split(before), ["publish", US, [["e", other, "Placed"]]])
    assert after["errors"] == []
    assert Lane.parse(after["reports"][-1][2]) == lane_of(other, US, 2)
