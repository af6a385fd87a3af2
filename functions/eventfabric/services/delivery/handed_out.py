"""Owns what a process remembers of the events that were handed out of other Regions' lanes; late.py fills it."""

from dataclasses import dataclass, field

from eventfabric.model.identity import HybridTime, Lane, Sequence


@dataclass(frozen=True, slots=True)
class Later:
    """The last event of a key that was handed out of other Regions' lanes, by its place."""

    time: HybridTime
    lane: Lane
    base: Sequence
    sequence: Sequence
    id: str
    type: str


@dataclass(slots=True)
class HandedOut:
    """What was handed out of other Regions' lanes after `since`, as far as it was looked at: up to `reached`."""

    since: HybridTime
    reached: dict[Lane, Sequence] = field(default_factory=dict)
    last: dict[str, Later] = field(default_factory=dict)
