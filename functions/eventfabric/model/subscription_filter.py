"""Subscription filter: the events of a stream that a subscription wants. Nothing else decides that.

A caller gives it a record or an event, and never looks at their types itself. So a filter by anything else that an
event holds would change this module only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from eventfabric.definition.schema import Subscription
from eventfabric.model.event import Event


class Typed(Protocol):
    """A record, or news of one. Its types are None if they are not known."""

    @property
    def types(self) -> frozenset[str] | None: ...


@dataclass(frozen=True, slots=True)
class SubscriptionFilter:
    """The filter of one subscription. Made once, and asked for every record."""

    _types: frozenset[str] | None
    """Types of the events that are wanted; None: all."""

    @classmethod
    def of(cls, definition: Subscription) -> "SubscriptionFilter":
        """Return the filter that a definition gives a subscription."""
        return EVERYTHING if definition.types is None else cls(frozenset(definition.types))

    def __str__(self) -> str:
        """Describe the wanted events, for people."""
        return "any event" if self._types is None else f"events of type {' or '.join(sorted(self._types))}"

    @classmethod
    def ringing(cls, definition: Subscription) -> "SubscriptionFilter":
        """Return the filter of records for which a subscription is rung: all, if it holds producers back."""
        return cls.of(definition) if definition.backpressure is None else EVERYTHING

    @property
    def wants_all(self) -> bool:
        """Tell if every event is wanted, so that no event need be looked at."""
        return self._types is None

    def may_want(self, record: Typed) -> bool:
        """Tell if a record may hold a wanted event. False: it holds none, and need not be unpacked."""
        types = record.types
        return self._types is None or types is None or not self._types.isdisjoint(types)

    def wants(self, event: Event) -> bool:
        """Tell if an event is wanted."""
        return self._types is None or event.type in self._types

    def wanted(self, events: Sequence[Event], start: int, end: int) -> Sequence[int]:
        """Return the indices of the wanted events, of those from `start` up to `end`."""
        types = self._types
        if types is None:
            return range(start, end)
        return [index for index in range(start, end) if events[index].type in types]


EVERYTHING = SubscriptionFilter(None)
"""Filter of a subscription that names no types."""
