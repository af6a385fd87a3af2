"""`eventfabric reconcile`: a pass that is interrupted reports what it found, and another goes on from there."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.cli.reconcile import reconcile
from eventfabric.model import DeclarationLane, Lane, Region, SequenceNumber, Tail
from eventfabric.ports import Log, Ports
from eventfabric.sdk.operations import Operations
from eventfabric.stream_topology import StreamTopology
from tests.local.commanded_fabric import CommandedFabric
from tests.support.failing_handlers import Failing, fabric_of, named, retry
from tests.support.memory_fabric import HOME, STREAM, lane
from tests.support.subscribed_stream import SubscribedStream

LANES = 4


class WatchedLog:
    """A log that says of which lane of the stream the tail is read."""

    def __init__(self, log: Log, say: Callable[[Lane], None]) -> None:
        self._log = log
        self._say = say

    def tail(self, of: Lane, *, before: SequenceNumber | None = None) -> Tail:
        if not isinstance(of, DeclarationLane):
            self._say(of)
        return self._log.tail(of, before=before)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


@dataclass
class MemoryConnection:
    """The part of a command's connection that `reconcile` uses, to a fabric in memory."""

    fabric: SubscribedStream
    ports: Ports
    region: Region = HOME

    def streams(self, only: str | None) -> list[StreamTopology]:
        return [self.fabric.stream]

    def operations(self) -> Operations:
        return Operations(self.fabric.topology, HOME, self.ports)


def command(connection: MemoryConnection, **options: Any) -> None:
    """Run the command as its options would call it."""
    defaults = {"stream": STREAM, "repair": False, "full": False, "first": "", "json": False}
    reconcile.__wrapped__(connection=connection, **{**defaults, **options})  # type: ignore[attr-defined]  # by `wraps`


def test_an_interrupted_pass_reports_what_it_found_and_where_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(limits, "MARKS_ITEM_LANES", 1)
    fabric = fabric_of(Failing({"a1": 9, "b1": 9}), lanes=LANES, **retry(immediate=0, attempts=1))
    fabric.put(*named("a1"), of=lane(0))
    fabric.put(*named("b1"), of=lane(3))
    fabric.relay_all()
    fabric.deliver_all()
    read: list[Lane] = []

    def interrupt(of: Lane) -> None:
        read.append(of)
        if of == lane(2) and len(read) < LANES:
            raise KeyboardInterrupt

    log_of = fabric.ports().log_of
    ports = replace(fabric.ports(), log_of=lambda stream: WatchedLog(log_of(stream), interrupt))
    connection = MemoryConnection(fabric, ports)
    with pytest.raises(KeyboardInterrupt):
        command(connection)
    shown = capsys.readouterr()
    assert "1 findings" in shown.out
    assert f"--stream {STREAM} --from {HOME}/0002" in shown.err
    read.clear()
    command(connection, first=f"{HOME}/0003")
    assert read[0] == lane(3)
    assert "1 findings" in capsys.readouterr().out


def test_parts_that_there_are_not_are_refused(shop: CommandedFabric) -> None:
    assert (
        shop.cli.run("reconcile", "--stream", "orders", "--from", "us-east-1/0000", *shop.options).code == 0
    )
    refused = shop.refused("reconcile", "--stream", "orders", "--from", "x", code=2)
    assert "allowed: us-east-1/@ to us-east-1/0000" in refused
    assert "--from needs --stream" in shop.refused("reconcile", "--from", "us-east-1/0000", code=2)
