"""Formats that a later version has raised: whoever is too old says so before it reads or writes anything."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from eventfabric import Operations
from eventfabric.errors import FormatError, LastingError
from eventfabric.formats import Formats
from eventfabric.model import AtTime, DeclarationLane, SequenceNumber, StreamName
from eventfabric.ports import Ports
from eventfabric.sdk.backfill import run_backfill
from eventfabric.services.backfill.request import BackfillRequest
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.formats import format_checked
from eventfabric.services.catalogue.incarnations import as_declared
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.services.operations.retire import Retirement
from eventfabric.testing.memory.faults import Faults
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.table_client import TableClient
from eventfabric.version import VERSION
from tests.support.formats import LATER, require, stream_of
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric, event, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

EACH = [Formats(reads=LATER.reads), Formats(writes=LATER.writes)]


@pytest.fixture
def fabric() -> SubscribedStream:
    made = SubscribedStream()
    made.put(event("a"))
    declare(made)
    return made


def declare(fabric: MemoryFabric) -> None:
    for region in (HOME, AWAY):
        declare_all(Deployer(fabric.topology, region, fabric.ports(region), by="stack", request_id="r1"))
    fabric.cloud.replicate()


def test_what_is_declared_is_shown_in_any_format_also_by_the_name_of_the_fabric(
    fabric: SubscribedStream,
) -> None:
    require(fabric, Formats(reads=LATER.reads))
    ports = fabric.ports()
    streams = DeclaredStreams(
        "shop", [HOME], log_of=lambda stream, region: ports.log_of(stream), clock=ports.clock
    )
    assert streams.ledger_of(STREAM).name == fabric.topology.ledger.name
    for _ in range(2):
        with pytest.raises(FormatError):
            streams.stream(STREAM)


OPERATIONS: dict[str, Callable[[Operations], object]] = {
    "dead letters": lambda own: list(own.dead_letters(SUBSCRIPTION).find()),
    "failback": lambda own: own.failback(),
    "failover": lambda own: own.failover(AWAY).hand_over("why"),
    "parked": lambda own: list(own.parked(SUBSCRIPTION)),
    "pause": lambda own: own.pause(SUBSCRIPTION),
    "prove": lambda own: own.prove(),
    "quarantine": lambda own: own.quarantine(STREAM).fault(lane(), SequenceNumber(0)),
    "reconcile": lambda own: own.reconcile(STREAM, repair=True),
    "replay": lambda own: own.replay(SUBSCRIPTION).plan(AtTime(0)),
    "resume": lambda own: own.resume(SUBSCRIPTION),
    "settle a step": lambda own: own.settle_step(SUBSCRIPTION, "a", "charge", happened=True),
    "skip": lambda own: own.skip(STREAM).look(lane(), SequenceNumber(0)),
    "standing": lambda own: own.standing(SUBSCRIPTION),
}


def operations(ports: Ports, fabric: MemoryFabric) -> Operations:
    return Operations(as_declared(fabric.topology, HOME, ports), HOME, ports)


def stored(fabric: MemoryFabric) -> object:
    return [table.items for region in fabric.cloud.regions.values() for table in region.tables.values()]


@pytest.mark.parametrize("formats", EACH, ids=["reads", "writes"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_whatever_an_operator_does_says_which_version_is_needed_and_changes_nothing(
    fabric: SubscribedStream, name: str, formats: Formats
) -> None:
    require(fabric, formats)
    before = stored(fabric)
    verb = "read" if formats.reads == LATER.reads else "written"
    needed = (
        f"stream orders is {verb} in format 2, and this version, {VERSION}, knows formats up to 1: install "
    )
    with pytest.raises(FormatError, match=f"{needed}eventfabric-aws 9.0 or later"):
        OPERATIONS[name](operations(format_checked(fabric.ports()), fabric))
    assert stored(fabric) == before


def test_a_backfill_copies_nothing_into_a_stream_that_it_cannot_write(fabric: SubscribedStream) -> None:
    require(fabric, Formats(writes=LATER.writes))
    own = operations(format_checked(fabric.ports()), fabric).backfills
    begun = own.begin(BackfillRequest(STREAM, AWAY))
    with pytest.raises(FormatError):
        run_backfill(own, begun.id)


def test_nobody_is_retired_by_a_version_that_is_too_old(fabric: SubscribedStream) -> None:
    require(fabric, Formats(reads=LATER.reads))
    with pytest.raises(FormatError):
        Retirement.of(fabric.topology, SUBSCRIPTION, format_checked(fabric.ports()), by="me")


def test_a_log_is_checked_once_and_again_after_a_minute(fabric: SubscribedStream) -> None:
    counted = Faults()
    log = format_checked(counted.ports(fabric.ports())).log_of(fabric.stream)
    for _ in range(3):
        log.read(lane(), SequenceNumber(0), records_max=1)
    assert counted.count("log.tail") == 1
    require(fabric, Formats(reads=LATER.reads))
    fabric.clock.advance(seconds=CATALOGUE_SECONDS)
    with pytest.raises(FormatError):
        log.read(lane(), SequenceNumber(0), records_max=1)


def test_where_nothing_is_declared_everything_goes_on() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"))
    assert format_checked(fabric.ports()).log_of(fabric.stream).tail(lane()).sequence == 1


def test_a_lane_of_declarations_that_cannot_be_read_can_be_mended(fabric: SubscribedStream) -> None:
    own = DeclarationLane.of(HOME, StreamName(STREAM))
    table = TableClient(fabric.cloud.log_table(STREAM, HOME), Requests())
    table.put({"pk": {"S": str(own)}, "sk": {"N": "9"}, "n": {"S": "x"}})
    assert format_checked(fabric.ports()).log_of(fabric.stream).tail(lane()).sequence == 1


@pytest.mark.parametrize("cause", ["missing", "denied"])
def test_a_table_that_is_missing_is_left_to_the_call_itself(fabric: SubscribedStream, cause: str) -> None:
    def refuse(called: str, overall: int, of_name: int) -> None:
        raise LastingError("Query", f"is {cause}", cause)

    log = format_checked(Faults(refuse).ports(fabric.ports())).log_of(fabric.stream)
    with pytest.raises(LastingError, match=f"is {cause}"):
        log.tail(lane())


def test_a_region_that_joins_requires_what_the_others_do() -> None:
    fabric = SubscribedStream()
    deployer = Deployer(fabric.topology, HOME, fabric.ports(), by="stack", request_id="r1")
    deployer.declare_stream(fabric.stream)
    require(fabric, Formats(3, 2))
    joining = replace(deployer, region=AWAY, ports=fabric.ports(AWAY))
    joining.declare_stream(fabric.stream)
    joined = stream_of(fabric, AWAY)
    assert (joined.required.reads, joined.required.writes, joined.raised_with) == (3, 2, "9.0")


def test_no_deployment_raises_what_a_region_requires_and_none_lowers_it(fabric: SubscribedStream) -> None:
    require(fabric, Formats(reads=LATER.reads))
    again = Deployer(fabric.topology, AWAY, fabric.ports(AWAY), by="stack", request_id="r2", formats=LATER)
    again.declare_stream(fabric.stream)
    assert stream_of(fabric, AWAY).required.reads == 1
    assert stream_of(fabric, AWAY).formats == LATER
    home = replace(again, region=HOME, ports=fabric.ports(), request_id="r3")
    home.declare_together(fabric.stream)
    assert stream_of(fabric).required.reads == LATER.reads


def test_a_region_that_was_taken_out_comes_back_as_the_others_are(fabric: SubscribedStream) -> None:
    away = Deployer(fabric.topology, AWAY, fabric.ports(AWAY), by="stack", request_id="r2")
    away.declare_stream_gone(fabric.stream)
    require(fabric, Formats(reads=2))
    replace(away, request_id="r3").declare_stream(fabric.stream)
    assert stream_of(fabric, AWAY).required.reads == 2
