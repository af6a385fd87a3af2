"""Whole state: a lane's state with all of its parked keys, as they were at one moment.

    a transaction          writes cursor v8, which names keys a and b, and key b
    a Query meanwhile      sees cursor v8 and key a, but not b; and a commit based on v8 would lose no race

DynamoDB isolates a Query from a transaction item by item only (AWS calls it read-committed). So whatever a decision is
based on is compared with what the cursor says, and read again for about a second. If it still does not fit, then an
item was removed by something else, or the stream has no transactions and a process ended between two writes. In both
cases the state counts as it is.
"""

from eventfabric import limits
from eventfabric.model import LaneKey, LaneState
from eventfabric.ports import Clock, Ledger


def whole_state(ledger: Ledger, key: LaneKey, *, clock: Clock) -> LaneState:
    """Read a lane's state, and again for a moment while this Region's parked keys are not those of its cursor.

    That moment begins anew, a few times, if another commit came meanwhile: that one may be seen in parts, too, even
    with a cursor that is older than its keys.
    """
    region, state = ledger.region, ledger.state(key)
    # A busy lane is written again and again, and must not hold its reader for ever.
    for _ in range(limits.LANE_RACES_MAX):
        before = state
        for pause_seconds in limits.TORN_READ_PAUSES_SECONDS:
            if state.fits(region):
                return state
            clock.sleep(pause_seconds)
            state = ledger.state(key)
        if state == before:
            break
    return state
