"""Takeover: how a Region makes a lane its own that another delivered before. inherit.py finds what it goes on with.

A takeover may need several commits. Each but the last leaves the lane with its former epoch, so if a process dies in
between, the lane is as it was.
"""

from collections.abc import Mapping
from dataclasses import replace

from eventfabric import limits
from eventfabric.errors import ContendedCommitError, NotTakenOverError
from eventfabric.model import (
    Committed,
    LaneKey,
    LaneState,
    Owner,
    Parked,
    ParkedChange,
    Region,
    after_changes,
)
from eventfabric.ports import Clock, Ledger, Log
from eventfabric.services.delivery.inherit import inherited
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.wire.commit_size import in_commits


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
    """Make this Region's state go on from the latest owner's, with that epoch. False if the log is not here yet.

    The caller reads the state again to see the outcome, because a race may have been lost. A state of any size is
    written, in as many commits as it takes; all but the last leave the lane with its former epoch.
    """
    region = ledger.region
    own, stored = state.cursor(region), dict(state.parked.get(region, {}))
    if own.epoch >= epoch:
        return True  # another process was faster
    inheritance = inherited(key, state, subscription, region=region, log=log, now_ms=now_ms)
    if inheritance is None:
        return False
    cursor, parked = inheritance.cursor, inheritance.parked
    # Keys that an interrupted takeover has copied already are not written again.
    changes = [
        ParkedChange(stored.get(parking_id), parked.get(parking_id))
        for parking_id in sorted(stored.keys() | parked.keys())
        if not _is_copied(stored.get(parking_id), parked.get(parking_id))
    ]
    # A lane may have more keys than one transaction takes. The last commit alone raises the epoch.
    parts = list(in_commits(changes)) or [[]]
    for number, part in enumerate(parts, start=1):
        moved = replace(cursor, version=own.version, epoch=epoch) if number == len(parts) else own
        outcome = ledger.commit(key, own, moved.beside_after(own, stored, part), parked=part)
        stored = after_changes(stored, part)
        # Another process was faster. The caller sees that when it reads the state again.
        if not isinstance(outcome, Committed):
            return True
        own = outcome.cursor
    return True


def is_taken_over(state: LaneState, region: Region, owner: Owner | None) -> bool:
    """Tell if a Region's own state of a lane counts: it is the owner's, and not left from an earlier ownership."""
    return owner is None or not state.cursors or state.cursor(region).epoch >= owner.epoch


def region_that_counts(
    subscription: SubscriptionTopology, state: LaneState, owner: Owner | None, *, region: Region
) -> Region:
    """Return the Region whose state of a lane counts: this one, or the former owner's until this one took it over."""
    # Regions that share their state have one cursor: nobody takes it over.
    if subscription.shares_state or is_taken_over(state, region, owner):
        return region
    return state.latest or region


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

    Every change of a lane's state by hand begins here. A delivery would take the lane over, too, but there is none
    while the subscription is paused; and the former owner's state would then replace the decision, silently.

    Raises:
        NotTakenOverError: the records that the lane goes on from have not come to this Region yet; nothing is changed.
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
                f"lane {key.lane} of {subscription.name} was handed over to {owner.region}, and the records that it "
                "goes on from have not come there yet: find out with `eventfabric lanes`, and backfill them where "
                "their Region is lost"
            )
    raise ContendedCommitError(f"lane {key.lane} of {subscription.name} is busy: try again")


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
    """Return the parked keys with which a Region goes on, even before it takes the lane over. Nothing is written."""
    if is_taken_over(state, region, owner):
        return state.parked.get(region, {})
    inheritance = inherited(key, state, subscription, region=region, log=log, now_ms=now_ms)
    return inheritance.parked if inheritance is not None else {}


def _is_copied(own: Parked | None, theirs: Parked | None) -> bool:
    """Tell if this Region has the key already, from a takeover that was interrupted."""
    if own is None or theirs is None:
        return own is theirs
    return replace(own, version=theirs.version, due_ms=theirs.due_ms) == theirs
