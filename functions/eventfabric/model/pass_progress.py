"""Progress of a pass of reconciliation that one invocation did not finish, and what it has counted so far."""

from dataclasses import dataclass, field

from eventfabric import limits


@dataclass(slots=True)
class SubscriptionTally:
    """Counts of one subscription. `oldest_ms`: since when the event that waits longest waits; None: nothing waits.

    `failing`: parked keys that have failed for long. `dead`: those that wait for an operator. `short_ms`: since when
    producers of some lane may append nothing more for it; None: those of all may.
    """

    oldest_ms: int | None = None
    failing: int = 0
    dead: int = 0
    short_ms: int | None = None

    def wait(self, since_ms: int) -> None:
        """Count an event that has been there since then."""
        self.oldest_ms = since_ms if self.oldest_ms is None else min(self.oldest_ms, since_ms)

    def run_short(self, since_ms: int) -> None:
        """Count a lane that has been short of credit since then."""
        self.short_ms = since_ms if self.short_ms is None else min(self.short_ms, since_ms)


@dataclass(slots=True)
class PassTally:
    """Counts of the lanes that a pass has checked. `findings`: by the name of the metric that counts them.

    `short`: lanes to which nothing may be appended. `verified_ms`: since when all of these lanes have been verified as
    a whole; None: nothing was to be verified.
    """

    subscriptions: dict[str, SubscriptionTally] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=dict)
    clock_ahead_ms: int = 0
    short: int = 0
    verified_ms: int | None = None

    def of(self, subscription: str) -> SubscriptionTally:
        """Return the counts of a subscription, to be changed."""
        return self.subscriptions.setdefault(subscription, SubscriptionTally())

    def verify(self, whole_ms: int) -> None:
        """Note that some lanes have been verified as a whole since then."""
        self.verified_ms = whole_ms if self.verified_ms is None else min(self.verified_ms, whole_ms)

    def add(self, tally: "PassTally") -> None:
        """Add the counts of other lanes."""
        for name, counts in tally.subscriptions.items():
            mine = self.of(name)
            mine.failing += counts.failing
            mine.dead += counts.dead
            if counts.oldest_ms is not None:
                mine.wait(counts.oldest_ms)
            if counts.short_ms is not None:
                mine.run_short(counts.short_ms)
        for metric, count in tally.findings.items():
            self.findings[metric] = self.findings.get(metric, 0) + count
        self.short += tally.short
        self.clock_ahead_ms = max(self.clock_ahead_ms, tally.clock_ahead_ms)
        if tally.verified_ms is not None:
            self.verify(tally.verified_ms)


@dataclass(frozen=True, slots=True)
class PassProgress:
    """Place to which a pass over a stream has come in a Region. Without a `part`, no pass is unfinished.

    `part`: the first part that is left, as `<origin>/<name>`. `began_ms`: its beginning, in ms since 1970. `before_ms`:
    that of the pass before it; 0: unknown.
    `until_ms`: end of the invocation that makes the pass, in ms since 1970; 0: it has ended. `is_broken`: lanes could
    not be checked, so the pass will not count as complete. `version` counts the writes; None: it cannot be read.
    """

    part: str = field(default="", repr=False)
    is_full: bool = False
    began_ms: int = 0
    before_ms: int = 0
    until_ms: int = 0
    is_broken: bool = False
    tally: PassTally = field(default_factory=PassTally)
    version: int | None = 0

    def is_under_way(self, now_ms: int) -> bool:
        """Tell if an invocation is at the pass."""
        # A time further away than any invocation can last was written by something else.
        return bool(self.part) and 0 < self.until_ms - now_ms <= 1000 * limits.FUNCTION_TIMEOUT_SECONDS_MAX
