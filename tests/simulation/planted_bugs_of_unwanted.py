"""The planted bugs of what subscriptions do not want: who is rung for it, and who moves cursors over it."""

from typing import Final

from tests.simulation.planting import Bug

_WORTH: Final = "eventfabric.services.delivery.worth:Worth."

OF_UNWANTED = [
    Bug(
        "wanted events are rung for by chance",
        "the relay rings for no record of its own Region, wanted or not",
        _WORTH + "of",
        "self._filter.may_want(change) or not",
        "not",
        by="held_up_key",
        seed=3,
        profile="few",
    ),
    Bug(
        "a replica is filtered",
        "nobody is rung for an unwanted record that fills the hole in front of a wanted one",
        _WORTH + "_may_wait",
        "change.lane.origin != self._region or change",
        "change",
        by="held_up_key",
        seed=16,
        profile="few",
    ),
    Bug(
        "no ring at intervals",
        "a cursor stays before ever more events that nobody wants",
        _WORTH + "_may_wait",
        "change.tail // every > change.sequence // every",
        "False",
        by="far_behind",
        seed=26,
        profile="few",
    ),
    Bug(
        "filters before the start is pinned",
        "of two wanted events that come together, the first is missed if the other's doorbell is answered first",
        _WORTH + "_may_wait",
        "is_fresh and self._is_pinned(change.lane.origin, standing)",
        "is_fresh",
        by="far_behind",
        seed=255,
        profile="few",
        seeds_max=260,
    ),
    Bug(
        "moved over what is wanted",
        "reconciliation takes everything behind a cursor for unwanted",
        "eventfabric.services.lanes.unwanted:UnwantedRecords.ahead",
        "if seen.record.is_seal or subscription_filter.may_want(seen.record):",
        "if False:",
        by="skipped_sequence",
        seed=0,
        profile="unwanted",
    ),
    Bug(
        "the unwanted has an age",
        "what nobody wants counts as waiting",
        "eventfabric.services.reconciliation.look:Look.news_from",
        "self.ahead.sequence",
        "self.cursor.sequence",
        by="blind_sign",
        seed=27,
        profile="few",
    ),
    Bug(
        "rung for the unwanted",
        "reconciliation rings for a lane in which nothing wanted waits",
        "eventfabric.services.reconciliation.watch:Watch._oldest_waiting",
        "look.ahead",
        "look.cursor",
        by="false_alarm",
        seed=0,
        profile="few",
    ),
]
