"""Circles of subscriptions: each publishes into the stream of the next, and the last into that of the first.

A circle may be meant, as where an answer goes back to who asked; so it is reported and not refused, unless all of its
subscriptions hold producers back. An event goes round at most until its hops are used up. So it is with handlers that
publish in each Region.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from eventfabric.definition.schema import Definition


def circles(definition: Definition) -> list[tuple[str, ...]]:
    """Return circles, each as the names of its subscriptions: of those that one is in, the shortest."""
    subscriptions = definition.subscriptions
    return circles_among(
        {name: subscription.stream for name, subscription in subscriptions.items()},
        {name: subscription.publishes for name, subscription in subscriptions.items()},
    )


def circles_among(
    streams: Mapping[str, str], publishes: Mapping[str, Sequence[str]]
) -> list[tuple[str, ...]]:
    """Return circles as `circles` does, by the stream of each subscription and the streams it publishes into."""
    readers: dict[str, list[str]] = {}
    for name, stream in streams.items():
        readers.setdefault(stream, []).append(name)
    following = {
        name: [reader for stream in publishes[name] for reader in readers.get(stream, ())] for name in streams
    }
    by_members: dict[frozenset[str], tuple[str, ...]] = {}
    for name in streams:
        circle = _shortest(name, following)
        if circle:
            by_members.setdefault(frozenset(circle), circle)
    return list(by_members.values())


def published_by_each_region(definition: Definition) -> list[str]:
    """Return the subscriptions whose handlers run, and publish, once in each of several Regions for an event."""
    return [
        name
        for name, subscription in definition.subscriptions.items()
        if subscription.publishes
        and subscription.deliver == "everywhere"
        and len(definition.streams[subscription.stream].regions) > 1
    ]


def _shortest(name: str, following: dict[str, list[str]]) -> tuple[str, ...]:
    """Return a shortest circle that a subscription is in; empty if it is in none."""
    paths: deque[tuple[str, ...]] = deque([(name,)])
    seen = set[str]()
    while paths:
        path = paths.popleft()
        for reader in following[path[-1]]:
            if reader == name:
                return path
            if reader not in seen:
                seen.add(reader)
                paths.append((*path, reader))
    return ()
