"""Takeover: how a Region makes a lane its own that another delivered before. With what: services/delivery/inherit.py.

In commits that each leave the lane with its former epoch, but the last: whoever dies in between left it as it was.
"""

from collections.abc import Mapping
from dataclasses import replace

from eventfabric import limits
from eventfabric.errors import ContendedCommitError, NotTakenOverError
from eventfabric.model.commit import Committed
from eventfabric.model.cursor import LaneKey, LaneState
from eventfabric.model.identity import Region
from eventfabric.model.owner import Owner
from eventfabric.model.parked import Parked, ParkedChange, after_changes
from eventfabric.ports import Clock, Ledger, Log
from eventfabric.services.delivery.inherit import inherited
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.topology import SubscriptionTopology
from eventfabric.wire.ledger_commit import in_commits


def take_over(
    key: LaneKey,
    state: LaneState,
    epoch: int,
    *,
    subscription: SubscriptionTopology,
    ledger: Ledger,
    log: Log,
    now_ms: int,
) -> bool:
    """Have this Region's state go on from the latest owner's, with that epoch; False where the log is not here yet.

    Whether it did is seen by reading the state again: a race may have been lost. A change of state of any size, in
    commits that each leave the lane with its former epoch, but the last.
    """
    region = ledger.region
    own, stored = state.cursor(region), dict(state.parked.get(region, {}))
    if own.epoch >= epoch:
        return True  # somebody was faster, and delivers it by now
    found = inherited(key, state, subscription, region=region, log=log, now_ms=now_ms)
    if found is None:
        return False
    cursor, parked = found.cursor, found.parked
    changes = [
        ParkedChange(stored.get(each), parked.get(each))
        for each in sorted(stored.keys() | parked.keys())
        if not _is_copied(stored.get(each), parked.get(each))
    ]
    parts = list(in_commits(changes)) or [[]]
    for number, some in enumerate(parts, start=1):
        to = replace(cursor, version=own.version, epoch=epoch) if number == len(parts) else own
        outcome = ledger.commit(key, own, to.beside_after(own, stored, some), parked=some)
        stored = after_changes(stored, some)
        if not isinstance(outcome, Committed):
            return True
        own = outcome.cursor
    return True


def is_taken_over(state: LaneState, region: Region, owner: Owner | None) -> bool:
    """Tell if a Region's own state of a lane counts: it is the owner's, not what it left when it last was the owner."""
    return owner is None or not state.cursors or state.cursor(region).epoch >= owner.epoch


def taken_over(
    key: LaneKey,
    owner: Owner | None,
    *,
    subscription: SubscriptionTopology,
    ledger: Ledger,
    log: Log,
    clock: Clock,
) -> LaneState:
    """Read a lane's state for a change that somebody decided, once this Region has taken the lane over.

    The function does that when it delivers, so not while the subscription is paused. A decision that was committed
    before would be replaced by the former owner's state, in silence: every change of state by hand begins here.

    Raises:
        NotTakenOverError: what the lane goes on from has not come to this Region yet; nothing is changed.
        ContendedCommitError: the lane is too busy; nothing is changed.
    """
    for _ in range(limits.LANE_RACES_MAX):
        state = whole_state(ledger, key, clock=clock)
        if owner is None or is_taken_over(state, ledger.region, owner):
            return state
        now_ms = clock.now_ms()
        if not take_over(
            key, state, owner.epoch, subscription=subscription, ledger=ledger, log=log, now_ms=now_ms
        ):
            raise NotTakenOverError(
                f"lane {key.lane} of {key.subscription} was handed over to {owner.region}, and the records that it "
                "goes on from have not come there yet: find out with `eventfabric lanes`, and backfill them where "
                "their Region is lost"
            )
    raise ContendedCommitError(f"lane {key.lane} of {key.subscription} is busy: try again")


def parked_for(
    key: LaneKey,
    state: LaneState,
    owner: Owner | None,
    *,
    subscription: SubscriptionTopology,
    region: Region,
    log: Log,
    now_ms: int,
) -> Mapping[str, Parked]:
    """The parked keys with which a Region goes on, taken over or not; nothing is written."""
    if is_taken_over(state, region, owner):
        return state.parked.get(region, {})
    found = inherited(key, state, subscription, region=region, log=log, now_ms=now_ms)
    return found.parked if found is not None else {}


def _is_copied(own: Parked | None, theirs: Parked | None) -> bool:
    """Whether this Region has the key already, from a takeover that did not come to its end."""
    if own is None or theirs is None:
        return own is theirs
    return replace(own, version=theirs.version, due_ms=theirs.due_ms) == theirs
