"""Planted bugs: rules of credits that somebody might write instead, and the scenarios that show why not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tests.simulation.models.credits_rules import Account, Rules, Settings


class GrantMayShrink(Rules):
    """A grant is cursor and window, also where that is less than before."""

    def grant(self, account: Account, cursor: int, window: int, tail: int) -> int:
        return cursor + window

    def is_due(self, account: Account, grant: int, window: int) -> bool:
        return account.granted is None or abs(grant - account.granted) >= max(1, window // 4)

    def stored(
        self, slots: Mapping[int, int], seen: Mapping[int, int], lane: int, grant: int
    ) -> dict[int, int]:
        return {lane: grant}


class GrantFromTail(Rules):
    """A grant counts from the tail instead of the cursor: whoever appends is granted more."""

    def grant(self, account: Account, cursor: int, window: int, tail: int) -> int:
        return max(account.granted or 0, tail + window)


class FirstGrantFromCursor(Rules):
    """The first grant counts from the cursor: history shuts the stream."""

    def grant(self, account: Account, cursor: int, window: int, tail: int) -> int:
        return max(account.granted or 0, cursor + window)


class NothingForDebt(Rules):
    """A lane further behind than its window grants nothing: a replay, or a pause that ended, shuts it."""

    def grant(self, account: Account, cursor: int, window: int, tail: int) -> int:
        if account.granted is None:
            return max(cursor, tail) + window
        return max(account.granted, cursor + window)


class WindowOfNothing(Rules):
    """The window is what was drained lately, and nothing else: an idle lane has none."""

    def window(self, settings: Settings, account: Account, cursor: int, *, empty: bool, now: float) -> int:
        return int(settings.seconds * account.rate)


class HaltShutsStream(Rules):
    """A halted lane shuts all lanes."""

    def is_shut_by(self, *, halted: bool) -> bool:
        return halted


class RefusedWrites(Rules):
    """A transaction finds out that it has no credit once the caller's rows are written."""

    def refuses_first(self) -> bool:
        return False


class MostCounts(Rules):
    """The most counts that any of several subscriptions grants."""

    def least(self, grants: Iterable[int | None]) -> int | None:
        return max((grant for grant in grants if grant is not None), default=None)


class WholeItemWritten(Rules):
    """A write puts the whole item, as it was read when the run began."""

    def stored(
        self, slots: Mapping[int, int], seen: Mapping[int, int], lane: int, grant: int
    ) -> dict[int, int]:
        return {**seen, lane: grant}


class ReadsForEachEvent(Rules):
    """The item is read for each event, and again soon."""

    def pause_after_read(self, units: float) -> float:
        return 0.2

    def reads_for(self, *, lacks_credit: bool) -> bool:
        return True


class PausedGates(Rules):
    """A paused subscription grants nothing."""

    def grants_while_paused(self) -> bool:
        return False


class RetiredGates(Rules):
    """A retired subscription goes on gating."""

    def gates(self, *, retired: bool) -> bool:
        return True


class ReplayLowersGrants(Rules):
    """A replay's run decides from its cursor, and writes that."""

    def decide(
        self, settings: Settings, account: Account, cursor: int, tail: int, *, now: float
    ) -> tuple[Account, bool]:
        if cursor < account.place:
            window = self.window(settings, account, cursor, empty=False, now=now)
            return replace(account, granted=cursor + window, place=cursor, decided=now), True
        return super().decide(settings, account, cursor, tail, now=now)

    def stored(
        self, slots: Mapping[int, int], seen: Mapping[int, int], lane: int, grant: int
    ) -> dict[int, int]:
        return {lane: grant}


class StaleReadCounts(Rules):
    """A publisher takes what it read last for the newest, also if there is less in it."""

    def known(self, before: int | None, read: int | None) -> int | None:
        return read


class CopiesNothingAgain(Rules):
    """A doorbell that came again finds nothing to deliver, and is done: the copy of the run that died is never made."""

    def copies_again(self, *, came_again: bool) -> bool:
        return False


class FirstGrantAtCommit(Rules):
    """A lane is granted nothing before its first commit, and nobody is held back until then."""

    def grants_before_first_commit(self) -> bool:
        return False


class UnwantedNotRung(Rules):
    """A gate is rung for what it wants alone, so its cursor does not pass the rest."""

    def is_rung(self, *, wanted: bool) -> bool:
        return wanted


class WholeRecords(Rules):
    """A record is never cut: it may be appended where all of it has credit."""

    def fitting(self, count: int, tail: int, grant: int | None, *, atomic: bool, alone: bool) -> int:
        return count if grant is None or tail + count <= grant else 0


class RecordsOverrun(Rules):
    """A record may begin below the grant, and end anywhere."""

    def fitting(self, count: int, tail: int, grant: int | None, *, atomic: bool, alone: bool) -> int:
        return count if grant is None or tail < grant else 0


class FirstTakesAll(Rules):
    """Whoever reads first takes all of a lane's credit."""

    def fitting(self, count: int, tail: int, grant: int | None, *, atomic: bool, alone: bool) -> int:
        if atomic or grant is None:
            return super().fitting(count, tail, grant, atomic=atomic, alone=alone)
        return max(0, min(count, grant - tail))


class OperatorsGrantForgotten(Rules):
    """An account goes on from what it decided itself, below what an operator or a pause has granted."""

    def learnt(self, granted: int | None, slot: int | None) -> int | None:
        return granted


class WritesEachCommit(Rules):
    """A grant is written at each commit at which it grows at all."""

    def is_due(self, account: Account, grant: int, window: int) -> bool:
        return account.granted is None or grant > account.granted


class ChecksFirstPlaceAlone(Rules):
    """A publisher that loses its place goes on at the next one, without a look at the credit."""

    def checks_each_place(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Bug:
    """A planted bug, and the scenario that finds it; "states": the exploration of all states does."""

    rules: type[Rules]
    scenario: str


BUGS = (
    Bug(GrantMayShrink, "replays"),
    Bug(GrantFromTail, "singly"),
    Bug(FirstGrantFromCursor, "newcomer"),
    Bug(NothingForDebt, "replays"),
    Bug(WindowOfNothing, "trickle"),
    Bug(HaltShutsStream, "halted"),
    Bug(RefusedWrites, "transactions"),
    Bug(MostCounts, "two_gates"),
    Bug(WholeItemWritten, "tenth"),
    Bug(ReadsForEachEvent, "tenth"),
    Bug(PausedGates, "paused"),
    Bug(RetiredGates, "retired"),
    Bug(ReplayLowersGrants, "replays"),
    Bug(StaleReadCounts, "faulty"),
    Bug(CopiesNothingAgain, "faulty"),
    Bug(FirstGrantAtCommit, "cold"),
    Bug(UnwantedNotRung, "unwanted"),
    Bug(WholeRecords, "bursts"),
    Bug(RecordsOverrun, "bursts"),
    Bug(FirstTakesAll, "half"),
    Bug(OperatorsGrantForgotten, "paused"),
    Bug(WritesEachCommit, "halted"),
    Bug(ChecksFirstPlaceAlone, "states"),
)
