"""Whole state: a lane's state with all of its parked keys, as one moment had it.

    transaction            cursor v8 names a and b ............ key b
    a Query meanwhile      cursor v8, key a: b is missing, though whoever commits on v8 loses no race

DynamoDB isolates a Query from a transaction item by item only (AWS calls it read-committed). What a decision rests on
is therefore held against what the cursor says, and read again for about a second. Where it still does not fit, an item
was removed by somebody else, or a stream has no transactions and a process ended between two writes: then it counts as
it is.
"""

from eventfabric import limits
from eventfabric.model.cursor import LaneKey, LaneState
from eventfabric.ports import Clock, Ledger


def whole_state(ledger: Ledger, key: LaneKey, *, clock: Clock) -> LaneState:
    """Read a lane's state, and again for a moment while this Region's parked keys are not those of its cursor.

    That moment begins anew, a few times, where another commit came meanwhile: it may be seen in parts like the last,
    the cursor behind a key, too.
    """
    region, state = ledger.region, ledger.state(key)
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
