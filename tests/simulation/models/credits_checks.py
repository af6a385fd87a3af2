"""Checkers of credits: each returns what is wrong with a trial."""

from collections.abc import Callable, Sequence

from tests.simulation.models.credits_trial import Trial

RETURNS_SECONDS = 15.0


def jain(shares: Sequence[float]) -> float:
    """Return Jain's index of shares: 1 if all are equal, 1/n if one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares)) if any(shares) else 0.0


def lag_bound(trial: Trial) -> list[str]:
    """Nothing is appended beyond a grant, no grant shrinks, and a transaction that is refused writes nothing."""
    world = trial.world
    shrunk = sum(item.shrunk for consumer in world.consumers for item in consumer.items.values())
    wrong = world.beyond[:3]
    wrong += ["a publisher knows less than before"] if any(p.forgot for p in trial.publishers) else []
    wrong += [f"{shrunk} slots shrank"] if shrunk else []
    return wrong + (
        [f"{world.rows} rows, {world.row_events} events"] if world.rows != world.row_events else []
    )


def backlog(trial: Trial) -> list[str]:
    """The backlog is at most ten seconds of the usual rate, and what is granted at least."""
    if trial.backlog_until is None:
        return []
    settings = trial.world.consumers[0].settings
    # What a lane drains varies, and its best average counts.
    most = 1.25 * settings.seconds * trial.size.rate + 0.25 * settings.events_min * trial.size.lanes
    highest = max(events for time, events in trial.world.backlog if 15 < time < trial.backlog_until)
    return [f"a backlog of {highest}, more than {most:.0f}"] if highest > most else []


def no_starvation(trial: Trial) -> list[str]:
    """All publishers get equal shares of what an overloaded consumer takes."""
    index, least = jain(trial.shares), trial.least_index or trial.size.fair
    return [f"Jain's index is {index:.3f}"] if trial.is_overloaded and index < least else []


def returned_after(trial: Trial) -> float | None:
    """Return the seconds from the recovery to the full rate."""
    assert trial.recovers is not None
    for second in range(int(trial.size.ends - trial.recovers) - 5):
        start = trial.recovers + second
        if trial.rate(start, start + 5) >= 0.9 * trial.size.rate:
            return float(second)
    return None


def credit_returns(trial: Trial) -> list[str]:
    """Publishers have their full rate again soon after the recovery, and keep it."""
    if trial.recovers is None:
        return []
    start = trial.recovers + RETURNS_SECONDS
    rate = trial.rate(start, trial.size.ends)
    return [f"{rate:.1f}/s after the recovery"] if rate < 0.9 * trial.size.rate else []


def rates(trial: Trial) -> list[str]:
    """Publishers get on as fast as the scenario says, and not faster."""
    wrong = []
    for since, until, least in trial.least:
        if (rate := trial.rate(since, until)) < least:
            wrong.append(f"{rate:.1f}/s from {since:.0f} to {until:.0f} s, less than {least:.1f}")
    for since, until, most in trial.most:
        if (rate := trial.rate(since, until)) > most + 0.1:
            wrong.append(f"{rate:.1f}/s from {since:.0f} to {until:.0f} s, more than {most:.1f}")
    return wrong


def read_budget(trial: Trial) -> list[str]:
    """A process takes half a read unit a second at most, and its first read."""
    for publisher in trial.publishers:
        lived = min(publisher.until, trial.size.ends) - publisher.since
        most = 0.5 * lived / 0.75 + 0.5 * len(trial.world.consumers)
        if publisher.read_units > most:
            return [f"{publisher.read_units:.1f} read units in {lived:.0f} s"]
    return []


def write_budget(trial: Trial) -> list[str]:
    """Writes of slots are few: one in two seconds and lane at most."""
    world = trial.world
    most = 0.6 * trial.size.ends * trial.size.lanes * len(world.consumers)
    return [f"{world.writes} writes, more than {most:.0f}"] if world.writes > most else []


def no_deadlock(trial: Trial) -> list[str]:
    """No lane in which events wait stands still at the end."""
    world = trial.world
    waiting = {
        lane
        for publisher in trial.publishers
        if publisher.until > trial.size.ends
        for lane, count in publisher.waiting.items()
        if count
    }
    since = trial.size.ends - trial.stands_seconds
    still = sorted(lane for lane in waiting if world.last_append.get(lane, 0.0) < since)
    return [f"events wait for ever in lanes {still}"] if still else []


CHECKS: tuple[Callable[[Trial], list[str]], ...] = (
    *(lag_bound, backlog, no_starvation, credit_returns, rates, read_budget, write_budget, no_deadlock),
)


def wrong_with(trial: Trial) -> list[str]:
    """Return all that is wrong with a trial that has run."""
    return [f"{check.__name__}: {text}" for check in CHECKS for text in check(trial)]
