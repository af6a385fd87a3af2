"""Producers whose catalogue does not answer: threads that race, and Regions that answered once."""

from threading import Event, Thread

import pytest

from eventfabric.errors import EventFabricError, UnreadCatalogueError
from eventfabric.model import Region
from eventfabric.ports import Log
from eventfabric.services.catalogue import known
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.memory_fabric import AWAY, HOME
from tests.unit.sdk.test_declared_fabric import READS, Shop, topology

SECONDS = 10.0
"""Time after which a test gives up; none takes it."""


class Hung:
    """A service whose reads of the catalogue get no answer, the first of them only once it is let go."""

    def __init__(self, *, answered: int) -> None:
        """`answered`: number of reads that are answered before."""
        self._answered = answered
        self.began, self.let_go = Event(), Event()

    def __call__(self, name: str, overall: int, of_name: int) -> Fault | None:
        if name != READS or of_name <= self._answered:
            return None
        if not self.began.is_set():
            self.began.set()
            self.let_go.wait(SECONDS)
        return Fault.LOST_REQUEST


def in_a_thread(shop: Shop, raised: list[EventFabricError]) -> Thread:
    def publish() -> None:
        try:
            shop.publish()
        except EventFabricError as error:
            raised.append(error)

    thread = Thread(target=publish)
    thread.start()
    return thread


def test_no_thread_goes_by_what_is_too_old_while_another_reads_anew() -> None:
    hung, raised = Hung(answered=1), list[EventFabricError]()
    shop = Shop(topology("billing"), AWAY, faults=Faults(hung))
    shop.publish()
    shop.fabric.clock.advance(seconds=24 * 3600)
    reader = in_a_thread(shop, raised)
    assert hung.began.wait(SECONDS)
    with pytest.raises(UnreadCatalogueError):
        shop.publish()
    hung.let_go.set()
    reader.join()
    assert [type(error) for error in raised] == [UnreadCatalogueError]


def test_threads_do_not_wait_one_after_the_other_for_a_first_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "READ_SECONDS", 0.01)
    hung, raised = Hung(answered=0), list[EventFabricError]()
    faults = Faults(hung)
    shop = Shop(topology("billing"), faults=faults)
    first = in_a_thread(shop, raised)
    assert hung.began.wait(SECONDS)
    for _ in range(3):  # the first of these waits, and reads; the others hear what it heard
        with pytest.raises(UnreadCatalogueError):
            shop.publish()
        assert faults.count(READS) == 2
    hung.let_go.set()
    first.join()


def test_a_region_is_read_again_once_the_one_that_answered_for_it_is_lost() -> None:
    lost = Event()
    faults = {
        HOME: Faults(lambda name, _, of_name: Fault.THROTTLED if (name, of_name) == (READS, 1) else None),
        AWAY: Faults(lambda *_: Fault.LOST_REQUEST if lost.is_set() else None),
    }
    shop = Shop(topology("billing"), HOME, AWAY)
    cloud = shop.fabric.cloud

    def read(stream: StreamTopology, region: Region) -> Log:
        return faults[region].log(cloud.log(stream.name, region))

    shop.producer = shop.fabric.producer(
        HOME,
        streams=DeclaredStreams("shop", [HOME, AWAY], log_of=read, clock=shop.fabric.clock),
        log_of=lambda stream, region: cloud.log(stream.name, region),
        failover=[AWAY],
    )
    assert shop.publish().startswith(HOME)
    lost.set()
    for _ in range(6):
        shop.pass_a_minute()
        assert shop.publish().startswith(HOME)
