"""Transactions that are committed, or committed again, where a stream has since stopped to take events."""

import pytest

from eventfabric.errors import (
    ClosingRegionError,
    EventFabricError,
    IndeterminateTransactionError,
    StreamChangedError,
)
from eventfabric.sdk.outbox import OutboxTransaction
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.topology import Topology
from tests.support.memory_fabric import AWAY, STREAM
from tests.unit.sdk.test_declared_fabric import Shop, topology

CLOSING = topology("billing", closing=f'"{AWAY}"')


class ClosingShop(Shop):
    """A producer in a Region that may be let go. `faults`: of its transactions."""

    def __init__(self) -> None:
        super().__init__(topology("billing"), AWAY)
        self.faults = Faults()
        self.producer = self.fabric.producer(
            AWAY,
            streams=self.streams,
            outbox=self.faults.outbox(self.fabric.cloud.outbox(AWAY)),
            log_of=lambda stream, region: self.fabric.cloud.log(stream.name, region),
        )

    def transaction(self) -> OutboxTransaction:
        transaction = self.producer.transaction()
        transaction.publish(STREAM, key="k", type="placed")
        return transaction

    def deployed(self, changed: Topology) -> None:
        """Let something else be deployed, and a minute go by."""
        self.declare(changed)
        self.pass_a_minute()

    def published(self) -> int:
        self.fabric.cloud.replicate()
        return len(self.fabric.events())


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        (CLOSING, ClosingRegionError),
        (topology("billing", lanes=1), StreamChangedError),
    ],
)
def test_a_commit_without_a_reply_is_not_made_again_where_nothing_is_published_any_more(
    changed: Topology, error: type[EventFabricError]
) -> None:
    shop = ClosingShop()
    transaction = shop.transaction()
    shop.faults.rules.append(lambda *_: Fault.LOST_REQUEST)
    with pytest.raises(IndeterminateTransactionError):
        transaction.commit()
    shop.faults.heal()
    shop.deployed(changed)
    for _ in range(2):
        with pytest.raises(error):
            transaction.commit()
    assert shop.published() == 0


def test_a_commit_that_was_refused_is_not_made_in_a_region_that_closes_since() -> None:
    shop = ClosingShop()
    transaction = shop.transaction()
    shop.deployed(CLOSING)
    with pytest.raises(ClosingRegionError):
        transaction.commit()
    shop.deployed(topology("billing"))
    assert len(transaction.commit()) == shop.published() == 1


def test_a_commit_during_which_its_region_closes_says_what_it_has_written() -> None:
    shop = ClosingShop()

    def close(*_: object) -> None:
        shop.faults.heal()
        shop.deployed(CLOSING)

    shop.faults.rules.append(close)
    assert len(shop.transaction().commit()) == shop.published() == 1
