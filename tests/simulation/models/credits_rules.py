"""The rules of credits, each by the name that the product gives it. A planted bug replaces one of them.

A subscription that asks for it is a gate: for each lane, it grants the sequence up to which publishers may append.

    deliver     commits the cursor, and beside it the lane's Account: what is granted, where and when that was decided
                copies the grant into the lane's slot of the credit item, unless that holds as much; then the doorbell
                is done. A run that begins copies first of all what the account says, if its doorbell came again,
                and the first grant of a lane in which nothing was ever granted.
    publisher   knows of a slot the most that it ever read; a lane's grant is the least of what its gates grant
                appends where the tail is below the grant, and cuts a record that would go beyond it
                reads the item when an event has no credit, at most once a second
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil, exp

MEASURED_SECONDS = 30.0
"""Time over which the drained events of a lane are averaged."""
BEST_HALF_SECONDS = 600.0
"""Time after which the best average of a lane counts for half."""

SHARE = 0.25
"""Share of a lane's credit that one record may take."""
ROUND_SECONDS = 2.0
"""Usual time from a grant to the events that use it, and to their commit."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A gate's settings in the definition: `backpressure = { seconds = 10, events_min = 16 }`."""

    seconds: float = 10.0
    events_min: int = 16


@dataclass(frozen=True, slots=True)
class Account:
    """A lane's credit as its cursor keeps it. `granted` None: nothing was ever granted, and the lane is not gated.

    `place` and `decided` are the cursor and the time of the last decision; `measured` is the time of the last commit.
    `rate` is the average of events a second lately, `best` the best of these, fading.
    """

    granted: int | None = None
    place: int = 0
    decided: float = 0.0
    measured: float = 0.0
    rate: float = 0.0
    best: float = 0.0

    def after(self, drained: int, now: float) -> "Account":
        """Return the account after a commit that moved the cursor over so many events."""
        passed = max(0.001, now - self.measured)
        kept = exp(-passed / MEASURED_SECONDS)
        rate = self.rate * kept + drained * (1 - kept) / passed
        best = max(rate, self.best * 0.5 ** (passed / BEST_HALF_SECONDS))
        return replace(self, rate=rate, best=best, measured=now)


class Rules:
    """The rules as they hold."""

    # A subscription's side.

    def window(self, settings: Settings, account: Account, cursor: int, *, empty: bool, now: float) -> int:
        """Return how far beyond its cursor a lane is granted: `seconds` of what it drains.

        An empty lane counts at its best. If its publishers used up all that was granted, it might have drained more
        than it got: then what it drained since the last decision counts, if that was faster.
        """
        rate = account.best if empty else account.rate
        if empty and account.granted is not None and cursor >= account.granted:
            rate = max(rate, (cursor - account.place) / max(ROUND_SECONDS, now - account.decided))
        return max(settings.events_min, int(settings.seconds * rate))

    def grant(self, account: Account, cursor: int, window: int, tail: int) -> int:
        """Return the new grant of a lane. `tail`: as far as the run knows it.

        The first is from the tail: what stood there before is not the publishers' debt. After that, a lane further
        behind than its window (history, a pause, a replay, an override) grants half of what it drains.
        """
        if account.granted is None:
            return max(cursor, tail) + window
        half_drained = max(0, cursor - account.place) // 2
        return max(account.granted + half_drained, cursor + window)

    def is_due(self, account: Account, grant: int, window: int) -> bool:
        """Tell if a grant is worth a write: it grew by a quarter of the window."""
        return account.granted is None or grant - account.granted >= max(1, window // 4)

    def decide(
        self, settings: Settings, account: Account, cursor: int, tail: int, *, now: float
    ) -> tuple[Account, bool]:
        """Return the account after a commit, and whether its grant is to be copied into the slot."""
        window = self.window(settings, account, cursor, empty=cursor >= tail, now=now)
        grant = self.grant(account, cursor, window, tail)
        if self.is_due(account, grant, window):
            return replace(account, granted=grant, place=cursor, decided=now), True
        # A replay moved the cursor back: what is drained counts from there.
        return (replace(account, place=cursor) if cursor < account.place else account), False

    def grants_while_paused(self) -> bool:
        """Tell if a paused subscription's lanes are granted from their tails, as if it had delivered all."""
        return True

    def learnt(self, granted: int | None, slot: int | None) -> int | None:
        """Return the grant from which an account goes on after a write: an operator may have granted more."""
        return granted if granted is None or slot is None else max(granted, slot)

    def is_shut_by(self, *, halted: bool) -> bool:
        """Tell if a lane that has credit is shut all the same, because some lane of the subscription is halted."""
        return False

    def grants_before_first_commit(self) -> bool:
        """Tell if a lane's first run grants before it hands out anything: it may take long."""
        return True

    def copies_again(self, *, came_again: bool) -> bool:
        """Tell if a run begins by copying the account's grant: the one before may have died before its copy."""
        return came_again

    def is_rung(self, *, wanted: bool) -> bool:
        """Tell if a gate is rung for a record: for each, wanted or not, for its cursor must pass it."""
        return True

    def stored(
        self, slots: Mapping[int, int], seen: Mapping[int, int], lane: int, grant: int
    ) -> dict[int, int]:
        """Return the slots that a write changes: only the lane's, and only upwards. `seen`: before the run began."""
        return {lane: grant} if grant > slots.get(lane, -1) else {}

    # A publisher's side.

    def known(self, before: int | None, read: int | None) -> int | None:
        """Return what a publisher knows of a slot after a read, which may be older than one before it."""
        if before is None or read is None:
            return before if read is None else read
        return max(before, read)

    def least(self, grants: Iterable[int | None]) -> int | None:
        """Return the grant of a lane that several subscriptions gate; None: nobody does."""
        return min((grant for grant in grants if grant is not None), default=None)

    def fitting(self, count: int, tail: int, grant: int | None, *, atomic: bool, alone: bool) -> int:
        """Return how many of `count` events may be put at a tail, before the next read.

        A share of the credit, for all of it would go to whoever reads first; all of it if nobody else has appended
        there since this publisher did (`alone`). What is atomic begins below the grant, and ends anywhere.
        """
        if grant is None:
            return count
        if tail >= grant:
            return 0
        return count if atomic else min(count, ceil((grant - tail) * (1.0 if alone else SHARE)))

    def checks_each_place(self) -> bool:
        """Tell if the credit is looked at again where another publisher took the place."""
        return True

    def gates(self, *, retired: bool) -> bool:
        """Tell if a subscription gates its stream."""
        return not retired

    def reads_for(self, *, lacks_credit: bool) -> bool:
        """Tell if an event has a publisher read the item."""
        return lacks_credit

    def pause_after_read(self, units: float) -> float:
        """Return the seconds after a read until the next: half a read unit a second."""
        return max(1.0, units / 0.5)

    def refuses_first(self) -> bool:
        """Tell if a transaction looks at the credit before anything of it is written."""
        return True
