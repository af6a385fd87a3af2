"""Credits: how far a subscription lets producers append, lane by lane (decision 0083).

A subscription with `backpressure` is a gate. For each lane, it grants the sequence up to which producers may append.
Its cursor keeps the lane's account, and a slot of the ledger has a copy of the grant, which publishers read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil, exp
from typing import Final, TypeAlias

from eventfabric.definition.sections import Backpressure
from eventfabric.model.identity import Region, SequenceNumber

Grants: TypeAlias = Mapping[int, SequenceNumber]
"""Grants of one Region's functions, by the numbers of an origin's lanes. A lane that is not there is not gated."""

MEASURED_SECONDS: Final = 30
"""Time over which the drained events of a lane are averaged."""
BEST_HALF_SECONDS: Final = 600
"""Time after which the best average of a lane counts for half."""
ROUND_SECONDS: Final = 2
"""Usual time from a grant to the events that use it, and to their commit."""
SHARE: Final = 0.25
"""Share of a lane's credit that one record may take where others append, too."""


@dataclass(frozen=True, slots=True)
class Account:
    """A lane's credit, as its cursor keeps it.

    `granted` is the sequence up to which producers may append; `place` and `decided_ms` are the cursor and the time of
    that decision, and `measured_ms` the time of the last commit. `rate` is the average of events a second lately, and
    `best` the best of these, fading.
    """

    granted: SequenceNumber
    place: SequenceNumber
    decided_ms: int
    measured_ms: int
    rate: float = 0.0
    best: float = 0.0

    @classmethod
    def opened(
        cls, sequence: SequenceNumber, tail: SequenceNumber, now_ms: int, settings: Backpressure
    ) -> "Account":
        """Return the first account of a lane, by where its cursor stands and where it ends as far as that is known.

        It grants from the tail: what stands there already is not the producers' debt.
        """
        granted = SequenceNumber(max(sequence, tail) + settings.events_min)
        return cls(granted, sequence, now_ms, now_ms)

    def measured(self, drained: int, now_ms: int) -> "Account":
        """Return the account after a commit that moved the cursor over so many events."""
        passed_seconds = max(1, now_ms - self.measured_ms) / 1000
        kept = exp(-passed_seconds / MEASURED_SECONDS)
        rate = self.rate * kept + drained * (1 - kept) / passed_seconds
        best = max(rate, self.best * 0.5 ** (passed_seconds / BEST_HALF_SECONDS))
        return replace(self, rate=rate, best=best, measured_ms=max(now_ms, self.measured_ms))

    def decided(
        self, sequence: SequenceNumber, tail: SequenceNumber, now_ms: int, settings: Backpressure
    ) -> "Account":
        """Return the account of a lane whose cursor stands at `sequence`, with what is granted there.

        It never grants less than before. A lane that is further behind than its window, since it began with history,
        was paused, replayed, or granted more by a person, grants half of what it drains.
        """
        window = self._window(sequence, now_ms, settings, is_empty=sequence >= tail)
        granted = max(self.granted + max(0, sequence - self.place) // 2, sequence + window)
        if granted - self.granted < max(1, window // 4):  # not worth a write
            # A replay moved the cursor back: what is drained counts from there.
            return replace(self, place=sequence) if sequence < self.place else self
        return replace(self, granted=SequenceNumber(granted), place=sequence, decided_ms=now_ms)

    def passed(self, tail: SequenceNumber, settings: Backpressure) -> "Account":
        """Return the account of a lane that is paused: it grants from the tail, as if all were drained."""
        window = max(settings.events_min, int(settings.seconds * self.best))
        is_due = tail + window - self.granted >= max(1, window // 4)
        return replace(self, granted=SequenceNumber(tail + window)) if is_due else self

    def learnt(self, granted: SequenceNumber) -> "Account":
        """Return the account after a look at the lane's slot: a person may have granted more there."""
        return self if granted <= self.granted else replace(self, granted=granted)

    def _window(
        self, sequence: SequenceNumber, now_ms: int, settings: Backpressure, *, is_empty: bool
    ) -> int:
        """Return how far beyond its cursor a lane is granted: `settings.seconds` of what it drains.

        An empty lane counts at its best. If its producers used up all that was granted, it might have drained more than
        it got: then what it drained since the last decision counts, if that was faster.
        """
        rate = self.best if is_empty else self.rate
        if is_empty and sequence >= self.granted:
            passed_seconds = max(ROUND_SECONDS, (now_ms - self.decided_ms) / 1000)
            rate = max(rate, (sequence - self.place) / passed_seconds)
        return max(settings.events_min, int(settings.seconds * rate))


def greatest(granted: Mapping[Region, Grants], *, only: Region | None = None) -> Grants:
    """Return how far an origin's lanes may be filled by what Regions granted: the most that any did, for grants grow.

    `only`: the origin, if each Region delivers for itself; what others grant does not count then.
    """
    counting = [grants for region, grants in granted.items() if only in (None, region)]
    by_number: dict[int, SequenceNumber] = {}
    for grants in counting:
        for number, grant in grants.items():
            by_number[number] = max(grant, by_number.get(number, grant))
    return by_number


def is_low(left: int, settings: Backpressure) -> bool:
    """Tell if fewer events are `left` to a lane's producers than any decision leaves them where nothing waits."""
    return left <= settings.events_min - max(1, settings.events_min // 4)


def least(grants: Iterable[SequenceNumber | None]) -> SequenceNumber | None:
    """Return the grant of a lane that several subscriptions may gate; None: nobody does."""
    return min((grant for grant in grants if grant is not None), default=None)


def fitting(
    count: int, tail: SequenceNumber, grant: SequenceNumber | None, *, is_atomic: bool, is_alone: bool
) -> int:
    """Return how many of `count` events may be put at a tail before the next look at the credit.

    That is a share of it, for all of it would go to whoever reads first; or all of it if nobody else has appended there
    since this publisher did (`is_alone`). What cannot be cut (`is_atomic`) begins below the grant, and ends anywhere.
    """
    if grant is None:
        return count
    if tail >= grant:
        return 0
    return count if is_atomic else min(count, ceil((grant - tail) * (1 if is_alone else SHARE)))
