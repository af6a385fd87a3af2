"""Handed out: a process's memory of the events that other Regions' lanes have handed out. late.py fills it."""

from dataclasses import dataclass, field

from eventfabric.model import HybridTime, Lane, SequenceNumber


@dataclass(frozen=True, slots=True)
class Later:
    """The last event of a key that other Regions' lanes handed out: its time, place, id and type."""

    time: HybridTime
    lane: Lane
    base: SequenceNumber
    sequence: SequenceNumber
    id: str
    type: str


@dataclass(slots=True)
class HandedOut:
    """Memory of what other Regions' lanes handed out after `since`. Each was looked at up to `reached`."""

    since: HybridTime
    reached: dict[Lane, SequenceNumber] = field(default_factory=dict)
    last: dict[str, Later] = field(default_factory=dict)
