"""Events that a run left unresolved: those that wait in its end behind a dead letter, or in a lane that stopped."""

from collections import defaultdict
from collections.abc import Iterator

from eventfabric.model import SubscriptionFilter
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.logged import FabricLog, Logged
from eventfabric.topology import Topology

_Stands = dict[tuple[str, str, str, str], history.ParkedStand]
"""Parked keys: by subscription, the Regions that deliver for it together, lane and id."""
_Cursors = defaultdict[tuple[str, str, str], int]
"""Sequences of cursors: by subscription, the Regions that deliver for it together, and lane."""


def unresolved_in(of: History, topology: Topology) -> dict[tuple[str, str], str]:
    """Return subscription and event of all that still wait in the end, behind a dead letter or in a lane that stopped.

    The value is the error of a dead letter; empty for events that only wait.
    """
    log = FabricLog(of)
    stands, cursors = _ends(of, log)
    unresolved: dict[tuple[str, str], str] = {}
    for (subscription, _, lane, _), stand in stands.items():
        for number, sequence in enumerate(stand.waiting):
            if (lane, sequence) in log.logged:
                unresolved[subscription, log.logged[lane, sequence].id] = "" if number else stand.error
        for event in _unlisted(log, lane, stand):
            unresolved.setdefault((subscription, event.id), "")
    for subscription in log.subscriptions:
        filter = SubscriptionFilter.of(topology.subscription(subscription).definition)
        for event in _not_reached(log, subscription, cursors, filter):
            unresolved.setdefault((subscription, event.id), "")
    return unresolved


def _ends(of: History, log: FabricLog) -> tuple[_Stands, _Cursors]:
    """Return the state of all keys that are parked in the end, and all cursors, by who delivers their lanes."""
    stands: dict[tuple[str, str, str, str], history.ParkedStand | None] = {}
    cursors: _Cursors = defaultdict(int)
    for entry in of.entries:
        match entry:
            case history.KeyChanged() if entry.region == entry.writer:
                # After a handover, the former owner's state of a key no longer counts.
                group = log.group(entry.subscription, entry.writer)
                stands[entry.subscription, group, entry.lane, entry.id] = entry.after
            case history.CursorMoved():
                # If each Region delivers a lane for itself, each has a cursor; else the furthest counts.
                of_lane = (entry.subscription, log.group(entry.subscription, entry.writer), entry.lane)
                cursors[of_lane] = max(cursors[of_lane], entry.after.sequence)
    return {key: stand for key, stand in stands.items() if stand is not None}, cursors


def _unlisted(log: FabricLog, lane: str, stand: history.ParkedStand) -> Iterator[Logged]:
    """Yield the events of a parked key that wait beyond those that its item lists."""
    if stand.rest_key:
        for event in log.logged.values():
            if event.lane == lane and stand.holds(event.sequence, event.key):
                yield event


def _not_reached(
    log: FabricLog, subscription: str, cursors: _Cursors, filter: SubscriptionFilter
) -> Iterator[Logged]:
    """Yield the events that a subscription wants and that are not before every cursor of it in their lanes."""
    planned = log.plan.events
    for event in log.logged.values():
        behind = any(
            event.sequence >= cursors[subscription, group, event.lane] for group in log.groups(subscription)
        )
        if behind and filter.wants(planned[event.id].to_event()):
            yield event
