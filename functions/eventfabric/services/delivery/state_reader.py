"""State reader: reads the states of a subscription's lanes as whoever looks at them from outside has to count them."""

from functools import partial

from eventfabric.model import Owner, Region, StreamName, SubscriptionName
from eventfabric.ports import Clock, Ledger
from eventfabric.services.delivery.takeover import region_that_counts
from eventfabric.services.lanes.begun import LaneReader
from eventfabric.services.lanes.standing import ledger_of
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.stream_topology import SubscriptionTopology


def reader_of(
    subscription: SubscriptionTopology, origin: Region, owner: Owner | None, *, ledger: Ledger, clock: Clock
) -> LaneReader:
    """Return the reader of an origin's lanes for a subscription, in the Region of the ledger."""
    lane_ledger = ledger_of(ledger, subscription, origin)
    return LaneReader(
        StreamName(subscription.definition.stream),
        SubscriptionName(subscription.state_name),
        lane_ledger.region,
        owner,
        partial(whole_state, lane_ledger, clock=clock),
        lambda state: region_that_counts(subscription, state, owner, region=lane_ledger.region),
    )
