"""Credit of a lane, as a subscription's functions have granted it and as its cursor keeps it."""

from eventfabric.model import SequenceNumber
from eventfabric.model.credit import Account
from tests.support.memory_fabric import LANE
from tests.support.subscribed_stream import LANE_KEY, SubscribedStream


def slot(fabric: SubscribedStream) -> SequenceNumber | None:
    """Return what a Region's functions granted in the lane."""
    key = LANE_KEY
    granted = fabric.ports().credits.granted(key.stream, key.subscription, key.lane.origin, part=0)
    return granted.get(fabric.region, {}).get(LANE.index)


def account(fabric: SubscribedStream) -> Account:
    """Return the lane's account, which there must be."""
    credit = fabric.cursor().credit
    assert credit is not None
    return credit
