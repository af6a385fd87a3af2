"""Stacks that turn back, or change again, while something of theirs is under way, busy, gone or spoilt."""

import json
from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest

from eventfabric.errors import EventFabricError, LastingError, ThrottledError, UndecodableRecordError
from eventfabric.model import DeclarationLane, Region, SequenceNumber, StreamName
from eventfabric.model.catalogue import State
from eventfabric.ports import Log, Ports
from eventfabric.resources import CHECK, DECLARE
from eventfabric.runtime.catalogue import CatalogueRequest
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.stream_topology import StreamTopology
from tests.handlers.test_catalogue import PLAIN, WIDE, changed
from tests.handlers.test_late_requests import CLOSING, HeldLog, asked
from tests.support.declaring_stacks import Stacks, stacks_of
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric

OF_HOME = DeclarationLane.of(HOME, StreamName(STREAM))
MISSING = LastingError("Query", "requested resource not found", "missing")


def in_flight(stacks: Stacks, kind: str, stack: str, wanted: str) -> Callable[[], None]:
    """Begin a request, up to before its put. Return what lets it go on to its end."""
    held = HeldLog(stacks.fabric.ports(HOME).log_of(stacks.fabric.stream))
    ports = replace(stacks.fabric.ports(HOME), log_of=lambda stream: held)
    event: dict[str, Any] = {
        "RequestType": kind,
        "ResourceType": DECLARE,
        "StackId": f"stack/{stack}",
        "RequestId": "under way",
        "LogicalResourceId": "Declared",
        "ResourceProperties": {"Asked": wanted},
    }
    if kind == "Update":
        event["OldResourceProperties"] = {"Asked": stacks.asked[DECLARE, stack]}
    request = CatalogueRequest(
        event, HOME, lambda _: ports, ports.clock, one_after_another, lambda _: stacks.status
    )
    thread = Thread(target=request.answer)
    thread.start()
    assert held.reached.wait(20)

    def go_on() -> None:
        held.goes.set()
        thread.join(20)

    return go_on


def declarations(stacks: Stacks) -> list[dict[str, Any]]:
    """Return the items of home's lane of declarations, oldest first."""
    items = stacks.fabric.cloud.log_table(STREAM, HOME).items
    own = [item for item in items if item["pk"]["S"] == str(OF_HOME)]
    return sorted(own, key=lambda item: int(item["sk"]["N"]))


@pytest.mark.parametrize("gone", ["ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS"])
def test_a_creation_under_way_declares_nothing_once_its_stack_goes(gone: str) -> None:
    stacks = Stacks(MemoryFabric(PLAIN))
    for resource in (CHECK, DECLARE):
        assert stacks.ask(resource, "cell", asked("cell"))["Status"] == "SUCCESS"
    stacks.status = "CREATE_IN_PROGRESS"
    go_on = in_flight(stacks, "Create", "billing", asked("billing"))
    stacks.status = gone
    assert stacks.ask(DECLARE, "billing", asked("billing"), kind="Delete")["Status"] == "SUCCESS"
    go_on()
    known = stacks.declared().declaration.subscriptions.get("billing")
    assert known is None or known.state is not State.ACTIVE


def test_an_update_under_way_declares_nothing_once_its_stack_rolls_back() -> None:
    stacks = Stacks(MemoryFabric(PLAIN))
    stacks.deploy(PLAIN)
    go_on = in_flight(stacks, "Update", "cell", asked("cell", CLOSING))
    stacks.status = "UPDATE_ROLLBACK_IN_PROGRESS"
    assert stacks.ask(DECLARE, "cell", asked("cell"), kind="Update")["Status"] == "SUCCESS"
    go_on()
    assert stacks.declared().declaration.stream.closing == ()


@pytest.mark.parametrize(
    "error",
    [
        LastingError("Query", "limit exceeded", "quota"),
        UndecodableRecordError(OF_HOME, SequenceNumber(3), "spoilt"),
    ],
)
def test_a_busy_stream_is_waited_for_though_another_cannot_be_declared(error: EventFabricError) -> None:
    stacks = Stacks(MemoryFabric(WIDE))
    stacks.deploy(WIDE)
    was = dict(stacks.asked)
    closing = dict(stacks_of(changed(WIDE, fabric={"closing": (AWAY,)}), HOME))
    assert stacks.ask(DECLARE, "cell", closing["cell"])["Status"] == "SUCCESS"
    until_ms = stacks.fabric.clock.now_ms() + 60_000

    def log_of(stream: StreamTopology) -> Log:
        if stream.name == STREAM:
            raise error
        if stacks.fabric.clock.now_ms() < until_ms:
            raise ThrottledError("Query", "busy")
        return stacks.fabric.ports().log_of(stream)

    stacks.log_of = log_of
    stacks.roll_back(was, "cell")
    assert stacks.declared("other").declaration.stream.closing == ()


def test_tables_may_change_again_before_a_cell_has_declared_that_a_region_has_left() -> None:
    stacks = Stacks(MemoryFabric(PLAIN))
    away = Stacks(stacks.fabric, AWAY)
    for wanted in (PLAIN, CLOSING):
        assert [stacks.deploy(wanted), away.deploy(wanted)] == ["", ""]
    stacks.fabric.clock.advance(300)
    stacks.fabric.cloud.replicate()
    less = dict(stacks_of(changed(PLAIN, fabric={"regions": (HOME,)}, regions=(HOME,)), HOME))["log"]
    stacks.elsewhere = lambda region: stacks.fabric.ports(region)
    assert stacks.ask(CHECK, "log", less)["Status"] == "SUCCESS"

    def without_table(region: Region) -> Ports:
        def log_of(stream: StreamTopology) -> Log:
            raise MISSING

        return replace(stacks.fabric.ports(HOME), log_of=log_of)

    stacks.elsewhere = without_table
    again = json.dumps({**json.loads(less), "again": "1764513720"})
    assert stacks.ask(CHECK, "log", again)["Status"] == "SUCCESS"
    before = stacks.asked[CHECK, "log"] = dict(stacks_of(CLOSING, HOME))["log"]
    answer = stacks.ask(CHECK, "log", less)
    assert (answer["Status"], "not known if something is left" in answer["Reason"]) == ("FAILED", True), (
        before
    )


def test_a_rollback_where_the_lane_has_lost_the_subscription_takes_the_life_of_other_regions() -> None:
    home = Stacks(MemoryFabric(PLAIN))
    both = home, Stacks(home.fabric, AWAY)
    assert [own.deploy(PLAIN) for own in both] == ["", ""]
    for own in both:
        own.retire()
    for own in both:  # new stacks: a new life
        for resource in (CHECK, DECLARE):
            del own.asked[resource, "billing"]
    assert [own.deploy(PLAIN) for own in both] == ["", ""]
    for item in declarations(home)[1:]:  # its table is restored, or the declaration set aside
        key = {"pk": item["pk"], "sk": item["sk"]}
        home.fabric.cloud.log_table(STREAM, HOME).write("Delete", {"Key": key})
    assert home.declared().declaration.subscriptions == {}
    home.status = "UPDATE_ROLLBACK_IN_PROGRESS"  # of an update that was refused
    assert home.ask(DECLARE, "billing", home.asked[DECLARE, "billing"], kind="Update")["Status"] == "SUCCESS"
    assert [own.facts().incarnation for own in both] == [1, 1]


def test_an_older_declaration_that_is_spoilt_keeps_nobody_from_declaring_and_returning() -> None:
    stacks = Stacks(MemoryFabric(PLAIN))
    stacks.deploy(PLAIN)
    oldest = declarations(stacks)[0]
    table = stacks.fabric.cloud.log_table(STREAM, HOME)
    table.write("Put", {"Item": {**oldest, "d": {"B": b"?"}, "n": {"S": "x"}}})
    assert stacks.deploy(changed(PLAIN, retention_days=9)) == ""
    assert stacks.declared().declaration.stream.retention_days == 9
    assert "failed" in stacks.deploy(PLAIN, until="billing")
    assert stacks.facts().state is State.ACTIVE
