"""Seams: places where cursors and reconciliation stood in a lane, each with the chain that led there."""

from eventfabric.model import DeclarationLane, Lane, LaneKey, StreamName, SubscriptionName, marked_as
from eventfabric.model.backfill import Seam
from eventfabric.ports import Ledger
from eventfabric.stream_topology import StreamTopology


def known_seams(stream: StreamTopology, lane: Lane, *, ledger: Ledger) -> set[Seam]:
    """Collect what this Region's ledger knows of a lane's chain. One read for reconciliation, one a subscription.

    The beginning of the lane, which every cursor knows, is left out. UndecodableItemError.
    """
    name = StreamName(stream.name)
    marks = ledger.marks(name, marked_as(lane))
    mark, doubt = marks.of(lane.number), marks.doubt(lane.number, of=())
    # A mark that exists and cannot be read may contradict what is to be restored or skipped.
    if doubt is not None:
        raise doubt
    seams = {Seam(mark.sequence, mark.chain)}
    for subscription in () if isinstance(lane, DeclarationLane) else stream.subscriptions:
        state = ledger.state(LaneKey(name, SubscriptionName(subscription.state_name), lane))
        seams |= {Seam(cursor.base, cursor.chain) for cursor in state.cursors.values()}
    return {seam for seam in seams if seam.sequence and seam.chain}
