"""Lanes that are handed over to another Region."""

from eventfabric import limits
from eventfabric.model import Owner, Region
from eventfabric.wire.keys import is_parked, ledger_region_and_kind
from tests.support.memory_fabric import AWAY, HOME
from tests.support.subscribed_stream import LANE_KEY, SubscribedStream


def hand_over(fabric: SubscribedStream, *, epoch: int = 1, to: Region | None = None) -> None:
    """Write a handover of HOME's lanes, by default to the Region that is observed."""
    standing = fabric.ledger.standing(LANE_KEY.stream, LANE_KEY.subscription)
    owner = Owner(HOME, to or fabric.region, epoch, fabric.region, fabric.clock.now_ms())
    assert fabric.ledger.hand_over(
        LANE_KEY.stream, LANE_KEY.subscription, standing.written(HOME, fabric.region), owner
    )
    fabric.clock.advance(limits.CIRCUIT_CACHE_SECONDS)


def without_parked(fabric: SubscribedStream) -> None:
    """Take the former owner's parked keys from AWAY's ledger, as if they had not been replicated yet."""
    table = fabric.cloud.regions[AWAY].table(fabric.topology.ledger.name)
    for item in table.items:
        if is_parked(ledger_region_and_kind(item)[1]):
            table.write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})
