"""Changes of what is declared: each declaration compared with the one before it in its lane, newest first."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from heapq import merge
from itertools import chain, pairwise

from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import Declaration, DeclaredChange, State, StreamFacts, SubscriptionFacts
from eventfabric.model.partly_read import readable_of
from eventfabric.ports import Log
from eventfabric.services.catalogue.lane import history

Facts = StreamFacts | SubscriptionFacts
_BESIDE = ("name", "unknown")


@dataclass(frozen=True, slots=True)
class MemberChange:
    """A member of what is declared, before and after a change. `of`: a subscription; empty: the stream."""

    of: str
    member: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class PastChange:
    """A change in a Region's lane, and the members that are different since."""

    region: Region
    change: DeclaredChange
    members: tuple[MemberChange, ...]


def changes(log: Log, stream: StreamName, regions: Iterable[Region]) -> Iterator[PastChange]:
    """Yield all changes that these Regions have declared, newest first, page by page. Errors as `lane.history`."""
    lanes = [_changes_in(log, DeclarationLane.of(region, stream)) for region in regions]
    return merge(*lanes, key=lambda past: -past.change.at_ms)


def differing(
    of: str, before: Facts, after: Facts, names: Iterable[str] | None = None
) -> Iterator[MemberChange]:
    """Yield the members that differ, among these names; default: all, also those of a later version."""
    members = _members(before), _members(after)
    for name in names or dict.fromkeys(chain(*members)):
        values = [own.get(name) for own in members]
        if values[0] != values[1]:
            yield MemberChange(of, name, *values)


def _changes_in(log: Log, lane: DeclarationLane) -> Iterator[PastChange]:
    for after, before in pairwise(chain(history(log, lane), [None])):
        if after is not None:
            yield PastChange(lane.origin, after.change, tuple(_between(before, after)))


def _between(before: Declaration | None, after: Declaration) -> Iterator[MemberChange]:
    """Yield what differs between two declarations. Of what was declared first, that it is."""
    if before is None:
        yield MemberChange("", "is_deployed", None, after.stream.is_deployed)
    else:
        yield from differing("", before.stream, after.stream)
    known = readable_of(before.subscriptions) if before is not None else {}
    for name, facts in readable_of(after.subscriptions).items():
        own = known.get(name)
        if own is None:
            yield MemberChange(name, "state", None, facts.state)
        elif facts.state is State.RETIRED:  # the rest of it goes because of that
            yield from differing(name, replace(own.retired(), state=own.state), facts)
        else:
            yield from differing(name, own, facts)


def _members(facts: Facts) -> dict[str, object]:
    known = {own.name: getattr(facts, own.name) for own in fields(facts) if own.name not in _BESIDE}
    return {**known, **facts.unknown}
