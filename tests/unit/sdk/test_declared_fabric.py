"""Producers that know a fabric by its name: what they read, when they read it anew, and what they refuse."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.errors import (
    ClosingRegionError,
    FormatError,
    NotDeclaredError,
    OutcomeUnknownError,
    PublishFailedError,
    SettingError,
    StreamChangedError,
    UnknownNameError,
    UnreadCatalogueError,
    WrongRegionError,
)
from eventfabric.formats import OWN_FORMATS
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import Declaration
from eventfabric.ports import Log
from eventfabric.services.catalogue.declare import declare
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS, PAUSE_SECONDS
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.topology import Topology
from eventfabric.wire import record_item
from eventfabric.wire.item_size import item_bytes
from tests.support.memory_fabric import AWAY, FAR, HOME, STREAM, MemoryFabric

READS = "log.tail"
OWN = DeclarationLane.of(HOME, StreamName(STREAM))


def topology(
    *subscriptions: str,
    lanes: int = 2,
    days: int = 0,
    closing: str = "",
    express: str = "true",
    others: Sequence[str] = (),
) -> Topology:
    kept = f"retention_days = {days}" if days else ""
    of_each = "".join(
        f'[subscriptions.{name}]\nstream = "{STREAM}"\nhandler = "a:b"\n' for name in subscriptions
    )
    of_others = "".join(f"[streams.{name}]\n" for name in others)
    return Topology(
        parse_definition(
            f"""
            [fabric]
            name = "shop"
            regions = ["{HOME}", "{AWAY}", "{FAR}"]
            closing = [{closing}]
            [streams.{STREAM}]
            lanes = {lanes}
            express = {express}
            {kept}
            {of_each}
            {of_others}
            """
        )
    )


class Shop:
    """A fabric, and a producer that reads what is declared. `reads`: its calls for that; `logs`: all others."""

    def __init__(
        self, deployed: Topology | None, *read_in: Region, faults: Faults | None = None, **settings: Any
    ) -> None:
        self.fabric = MemoryFabric(topology("billing", "audit", lanes=8, others=["payments"]))
        if deployed is not None:
            self.declare(deployed)
        self.reads, self.logs = faults or Faults(), Faults()
        self.streams = DeclaredStreams(
            "shop",
            read_in or [HOME],
            log_of=lambda stream, region: self.reads.log(self.fabric.cloud.log(stream.name, region)),
            clock=self.fabric.clock,
        )
        self.producer = self.fabric.producer(
            read_in[0] if read_in else HOME,
            streams=self.streams,
            log_of=lambda stream, region: self.logs.log(self.fabric.cloud.log(stream.name, region)),
            doorbells_of=lambda region: self.fabric.ports(region).doorbells,
            **settings,
        )

    def declare(self, deployed: Topology, regions: Sequence[Region] = (HOME, AWAY, FAR)) -> None:
        for region in regions:
            self.fabric.declare(deployed, region)
        self.fabric.cloud.replicate()

    def publish(self, key: str = "k") -> str:
        return str(self.producer.publish(STREAM, key=key, type="placed").lane)

    def pass_a_minute(self) -> None:
        self.fabric.clock.advance(seconds=CATALOGUE_SECONDS)

    def pause(self) -> None:
        """Let the time go by within which what cannot be read is not read again."""
        self.fabric.clock.advance(seconds=PAUSE_SECONDS)

    def rung(self, subscription: str) -> int:
        return len(self.fabric.cloud.queue(subscription, HOME))

    def requires(self, **formats: int) -> None:
        def update(read: Declaration | None) -> Declaration:
            assert read is not None
            change = replace(read.change, kind="formats raised", request_id="formats")
            return read.with_stream(replace(read.stream, **formats), change)  # type: ignore[arg-type]  # by name

        log, clock = self.fabric.ports().log_of(self.fabric.stream), self.fabric.clock
        declare(log, OWN, update, clock=clock, entropy=self.fabric.entropy, source="/shop/orders")


def test_a_stream_is_read_once_and_again_every_minute_and_not_by_event() -> None:
    shop = Shop(topology("billing"))
    for number in range(100):
        shop.publish(str(number))
    with shop.producer.publisher(STREAM) as publisher:
        for number in range(100):
            publisher.publish(key=str(number), type="placed")
    assert shop.reads.count(READS) == 1
    shop.pass_a_minute()
    shop.publish()
    shop.publish()
    assert shop.reads.count(READS) == 2


def test_a_producer_that_cannot_read_anew_goes_by_what_it_knows_for_three_minutes_and_no_longer() -> None:
    silent = Faults(
        lambda name, number, of_name: Fault.LOST_REQUEST if name == READS and of_name > 1 else None
    )
    shop = Shop(topology("billing"), faults=silent)
    shop.publish()
    for _ in range(2):
        shop.pass_a_minute()
        shop.publish()
    shop.pass_a_minute()
    with pytest.raises(OutcomeUnknownError):
        shop.publish()
    silent.heal()
    shop.pause()
    shop.publish()


def test_a_stream_that_nobody_declared_is_no_guess_and_known_a_second_after_it_is_declared() -> None:
    shop = Shop(None)
    for _ in range(100):
        with pytest.raises(NotDeclaredError, match="stream orders is not declared in us-east-1"):
            shop.publish()
    assert shop.reads.count(READS) == 1
    shop.declare(topology(lanes=4))
    shop.pause()
    shop.publish()
    assert shop.streams.stream(STREAM).definition.lanes == 4


def test_nothing_is_published_into_a_stream_whose_cell_is_gone_until_it_is_there_again() -> None:
    shop = Shop(topology())
    shop.publish()
    cell = Deployer(topology(), HOME, shop.fabric.ports(), by="stack", request_id="gone")
    cell.declare_stream_gone(shop.fabric.stream)
    shop.pass_a_minute()
    with pytest.raises(NotDeclaredError, match="stream orders is not declared in us-east-1"):
        shop.publish()
    shop.declare(topology())
    shop.pause()
    shop.publish()
    assert len(shop.fabric.events()) == 2


@pytest.mark.parametrize("name", ["", "Orders", "orders/0", "@us-east-1", "x" * 200])
def test_what_can_be_no_stream_is_refused_without_a_call(name: str) -> None:
    shop = Shop(topology())
    with pytest.raises(UnknownNameError, match="no stream is named"):
        shop.producer.publish(name, key="k", type="placed")
    assert shop.reads.count(READS) == 0


def test_retention_and_lanes_are_those_that_were_declared() -> None:
    shop = Shop(topology(lanes=1, days=7))
    assert {shop.publish(str(number)) for number in range(20)} == {f"{HOME}/0.0"}
    [first, *_] = shop.fabric.records()
    assert first.expires_at is not None
    shop.declare(topology(lanes=1))
    shop.pass_a_minute()
    shop.publish()
    assert shop.fabric.records()[-1].expires_at is None


def test_a_subscription_is_rung_within_a_minute_of_its_deployment_and_no_more_once_it_is_gone() -> None:
    shop = Shop(topology("billing"))
    shop.publish()
    assert (shop.rung("billing"), shop.rung("audit")) == (1, 0)
    shop.declare(topology("billing", "audit"))
    shop.pass_a_minute()
    shop.publish()
    assert (shop.rung("billing"), shop.rung("audit")) == (2, 1)


def test_a_queue_that_is_gone_has_the_stream_read_within_a_second_and_that_ring_is_dropped() -> None:
    shop = Shop(topology("billing", "audit"))
    shop.publish()
    gone = shop.fabric.cloud.regions[HOME].queues.pop(shop.fabric.topology.subscription("audit").queue.name)
    for _ in range(50):
        shop.publish("same")
        shop.fabric.clock.advance(seconds=PAUSE_SECONDS / 10)
    assert shop.reads.count(READS) == 2
    assert (shop.rung("billing"), len(gone)) == (51, 1)


def test_a_stream_without_express_rings_nobody() -> None:
    shop = Shop(topology("billing", express="false"))
    shop.publish()
    assert shop.rung("billing") == 0


def test_nothing_is_published_in_a_closing_region_and_the_open_ones_are_named() -> None:
    shop = Shop(topology("billing"), AWAY)
    shop.publish()
    publisher = shop.producer.publisher(STREAM)
    shop.declare(topology("billing", closing=f'"{AWAY}"'))
    shop.pass_a_minute()
    said = f"stream orders is closing in Region {AWAY}; events are published in: {HOME}, {FAR}"
    with pytest.raises(ClosingRegionError, match=said):
        shop.publish()
    with pytest.raises(WrongRegionError, match=said), shop.producer.transaction() as transaction:
        transaction.publish(STREAM, key="k", type="placed")
    pending = publisher.publish(key="k", type="placed")
    with pytest.raises(ClosingRegionError, match=said):
        pending.result()
    with pytest.raises(ClosingRegionError):
        shop.producer.publisher(STREAM)
    publisher.close()
    shop.fabric.cloud.replicate()
    assert len(shop.fabric.events()) == 1


def test_failover_passes_by_a_region_that_closes() -> None:
    shop = Shop(topology(closing=f'"{AWAY}"'), failover=[AWAY, FAR])
    silent = Faults(lambda name, number, of_name: Fault.LOST_REQUEST)
    cloud = shop.fabric.cloud
    producer = shop.fabric.producer(
        streams=shop.streams,
        failover=[AWAY, FAR],
        log_of=lambda stream, region: (silent if region == HOME else shop.logs).log(
            cloud.log(stream.name, region)
        ),
    )
    assert producer.publish(STREAM, key="k", type="placed").lane.origin == FAR


def test_a_process_that_starts_while_its_region_is_lost_goes_by_what_another_declares() -> None:
    shop = Shop(topology(lanes=4), HOME, AWAY, faults=Faults(nth(1, Fault.LOST_REQUEST)))
    for _ in range(3):
        assert shop.streams.stream(STREAM).definition.lanes == 4
    assert shop.reads.count(READS) == 2
    alone = Shop(topology(), faults=Faults(nth(1, Fault.LOST_REQUEST)))
    with pytest.raises(UnreadCatalogueError, match=f"stream {STREAM}: .*nothing was published") as raised:
        alone.publish()
    assert (raised.value.retryable, raised.value.no_effect) == (True, True)
    with pytest.raises(
        SettingError, match="found 'UnreadCatalogueError', allowed: an IndeterminateAppendError"
    ):
        alone.producer.publish_again(raised.value)  # type: ignore[arg-type]  # an error that has no batch
    alone.pause()
    alone.publish()


def test_an_open_publisher_puts_nothing_into_lanes_that_are_no_more() -> None:
    shop = Shop(topology(lanes=4))
    with pytest.raises(PublishFailedError), shop.producer.publisher(STREAM) as publisher:
        shop.declare(topology(lanes=2))
        shop.pass_a_minute()
        lost = publisher.publish(key="k", type="placed")
    with pytest.raises(
        StreamChangedError, match="has 2 lanes, and 4 when this publisher or transaction was made"
    ):
        lost.result()
    assert {shop.publish(str(number)) for number in range(40)} == {f"{HOME}/0.0", f"{HOME}/0.1"}


@pytest.mark.parametrize(
    ("formats", "said"),
    [
        ({"writes_required": OWN_FORMATS.writes + 1}, f"written in format {OWN_FORMATS.writes + 1}"),
        ({"reads_required": OWN_FORMATS.reads + 1}, f"read in format {OWN_FORMATS.reads + 1}"),
    ],
)
def test_a_format_of_a_later_version_is_refused_at_once(formats: dict[str, int], said: str) -> None:
    shop = Shop(topology())
    shop.publish()
    shop.requires(**formats)
    shop.pass_a_minute()
    with pytest.raises(FormatError, match=f"stream orders is {said}, .* install a later version"):
        shop.publish()


def test_a_thousand_cold_producers_read_four_kibibytes_each_at_most() -> None:
    random = Random(1)
    names = [f"s{random.randbytes(8).hex()}" for _ in range(40)]
    shop = Shop(topology(*names))
    item = record_item.to_item(
        shop.fabric.ports().log_of(shop.fabric.stream).recent(OWN, records_max=1).records[0]
    )
    assert item_bytes(item) <= 4096
    for _ in range(1000):
        reads = Faults()
        log = reads.log(shop.fabric.cloud.log(STREAM, HOME))
        cold = DeclaredStreams("shop", [HOME], log_of=partial(_the_log, log), clock=shop.fabric.clock)
        cold.stream(STREAM)
        assert reads.count(READS) == 1


def _the_log(log: Log, stream: StreamTopology, region: Region) -> Log:
    return log
