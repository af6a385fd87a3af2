"""Scaling: what keeps a subscription from delivering faster now, by figures, and the lever that comes next.

The length of a queue is no figure: doorbells of a lane become one. What counts is which lanes wait, which of them move,
what is in them, and what Lambda says of the function. Nothing here reads or changes anything.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from eventfabric import limits
from eventfabric.definition.sections import ATTEMPTS_MAX
from eventfabric.model import CircuitState
from eventfabric.model.function_figures import FunctionFigures
from eventfabric.services.lanes.hot_lane import LaneLoad

SHORT_SECONDS: Final = 60.0
"""Age of the oldest event up to which nothing is slow, of a subscription without an objective."""
_SHORT_BUDGET_PERCENT: Final = 50.0
_MOST: Final = 0.5
"""Share of the waiting events from which they are one lane's."""
_FULL: Final = 0.9
"""Share of a bound from which it is reached."""
_RETRIED_MIN: Final = 3


class Bottleneck(StrEnum):
    """The closed list of what can keep a subscription from delivering faster."""

    NOTHING = "nothing"
    PAUSED = "paused"
    STOPPED = "stopped"
    """Nothing moves, and nothing here says why."""
    DOWNSTREAM = "downstream"
    HOT_KEY = "hot key"
    PACKING = "packing"
    LANES = "lanes"
    ACCOUNT = "account concurrency"
    POLLERS = "pollers"
    HANDLER = "handler"


@dataclass(frozen=True, slots=True)
class Lever:
    """A thing to change: the key of the definition or the command, what it would bring, and what it costs."""

    change: str
    brings: str
    costs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Figures of a subscription in one Region, over `seconds`."""

    stream: str
    subscription: str
    seconds: float
    circuit: CircuitState
    waiting: int
    """Events that wait, without those of parked keys."""
    oldest_seconds: float
    objective_seconds: float | None
    arrived: float
    """Events a second that were appended."""
    handled: float
    """Events a second that cursors passed."""
    lanes: int
    """Lanes that are delivered here and have events."""
    lagging: int
    moving: int
    """Lanes that lag and whose cursors moved."""
    retried: int
    """Parked keys that are retried."""
    lane: str
    """The lane in which most events wait, or else the one that gets most."""
    lane_share: float
    """Share of the waiting events that are in it."""
    load: LaneLoad
    concurrency: int | str
    attempts_max: int
    invocations_max: int
    """Invocations at the same time that the queue may have."""
    uses_pollers: bool
    account: int
    """`account_concurrency`."""
    watched: FunctionFigures

    @property
    def budget_percent(self) -> float | None:
        """The share of the objective that the oldest event has used up, in percent; None: there is no objective."""
        return None if self.objective_seconds is None else 100 * self.oldest_seconds / self.objective_seconds

    @property
    def is_late(self) -> bool:
        """Tell if events wait for too long."""
        used = self.budget_percent
        is_late = self.oldest_seconds > SHORT_SECONDS if used is None else used > _SHORT_BUDGET_PERCENT
        return self.waiting > 0 and is_late

    @property
    def is_of_one_lane(self) -> bool:
        """Tell if most of what waits is in one lane."""
        return self.lagging == 1 or self.lane_share >= _MOST


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The bottleneck, why it is that, and the levers for it, the cheapest first."""

    bottleneck: Bottleneck
    because: str
    levers: tuple[Lever, ...] = ()


_Rule = Callable[[Figures], Diagnosis | None]


def diagnose(figures: Figures) -> Diagnosis:
    """Name the bottleneck. Of several, the one comes first without which no other lever brings anything."""
    for rule in _RULES:
        diagnosis = rule(figures)
        if diagnosis is not None:
            return diagnosis
    return _handler(figures)


def _paused(figures: Figures) -> Diagnosis | None:
    if figures.circuit is not CircuitState.PAUSED:
        return None
    resume = Lever(f"eventfabric subscriptions resume {figures.subscription}", "deliveries go on", "nothing")
    return Diagnosis(Bottleneck.PAUSED, "somebody paused it", (resume,))


def _circuit(figures: Figures) -> Diagnosis | None:
    if figures.circuit is not CircuitState.OPEN:
        return None
    mend = Lever(
        "mend what the handler calls",
        f"the next probe, within {limits.CIRCUIT_PROBE_SECONDS} s, closes the circuit",
        "no scaling helps before",
    )
    return Diagnosis(Bottleneck.DOWNSTREAM, "its circuit is open: so many events fail", (mend,))


def _hot_lane(figures: Figures) -> Diagnosis | None:
    """Look at what is appended: it is near the bound of a lane, whether events wait or not."""
    load = figures.load
    if not load.is_hot:
        return None
    if load.has_hot_key:
        return _hot_key(figures, f"{figures.lane} gets {load}")
    if not load.is_packed:
        records = 1 / max(1.0, load.sample.events_a_record)
        pack = Lever(
            "publish_many, or a publisher, instead of publish",
            f"10 events a record are {0.1 / records:.0%} of the records",
            "less: a record costs what its bytes cost; up to a publisher's linger_ms of latency",
        )
        return Diagnosis(
            Bottleneck.PACKING, f"{figures.lane} gets {load}", (pack, _split(figures, Bottleneck.PACKING))
        )
    return Diagnosis(
        Bottleneck.LANES, f"{figures.lane} gets {load}, packed already", (_split(figures, Bottleneck.LANES),)
    )


def _nothing(figures: Figures) -> Diagnosis | None:
    if figures.is_late:
        return None
    because = f"the oldest of {figures.waiting:,} waiting events is {figures.oldest_seconds:,.0f} s old"
    return Diagnosis(Bottleneck.NOTHING, because if figures.waiting else "no event waits")


def _downstream(figures: Figures) -> Diagnosis | None:
    """Look for calls that fail, or that take the longer the more of them are made."""
    if figures.retried >= _RETRIED_MIN:
        because = f"{figures.retried:,} keys are retried: calls of the handler fail"
        look = Lever(
            f"eventfabric parked list {figures.subscription}", "the errors, by key", "a read for each lane"
        )
        return Diagnosis(Bottleneck.DOWNSTREAM, because, (look,))
    limit = figures.watched.limit
    if figures.concurrency == "auto" and limit is not None and limit < _FULL * figures.attempts_max:
        because = (
            f"functions allow {limit:.0f} attempts of {figures.attempts_max}: with more, each takes longer"
        )
        mend = Lever(
            "more capacity downstream, or fewer calls an event", "the limit grows by itself", "yours"
        )
        return Diagnosis(Bottleneck.DOWNSTREAM, because, (mend,))
    return None


def _one_key(figures: Figures) -> Diagnosis | None:
    if figures.is_of_one_lane and figures.load.has_hot_key:
        return _hot_key(
            figures,
            f"{figures.lane} has {figures.lane_share:.0%} of what waits, and most of it is of one key",
        )
    return None


def _hot_key(figures: Figures, because: str) -> Diagnosis:
    sample = figures.load.sample
    share = f"; {sample.key_share:.0%} of its events are of the key of {figures.lane}@{sample.sequence}"
    levers = (
        Lever("publish_many, or a publisher", "fewer records of that key", "nothing"),
        Lever(
            "@subscriber(batch=...)", "several events of the key in one call", "a failed call goes one by one"
        ),
        Lever("a finer key", "its events run beside each other", "order holds for the finer key only"),
    )
    return Diagnosis(Bottleneck.HOT_KEY, because + share, levers)


def _account(figures: Figures) -> Diagnosis | None:
    throttles = figures.watched.throttles
    if not throttles:
        return None
    because = f"Lambda refused {throttles:,.0f} invocations of its function"
    reserve = Lever(
        f"[subscriptions.{figures.subscription}.function] reserved_concurrency",
        "invocations that nobody else takes",
        "others of the account have fewer",
    )
    quota = Lever(
        f"the account's quota of concurrent executions, then account_concurrency (now {figures.account:,})",
        "as many more invocations",
        "nothing by itself",
    )
    return Diagnosis(Bottleneck.ACCOUNT, because, (reserve, quota))


def _pollers(figures: Figures) -> Diagnosis | None:
    used, most = figures.watched.invocations, figures.invocations_max
    is_full = used is not None and used >= _FULL * most
    waits = figures.moving < figures.lagging and figures.moving > 0
    if not waits or not (is_full or used is None):
        return None
    shown = "" if used is None else f", {used:,.0f} of {most:,} invocations are used"
    because = f"{figures.moving:,} of {figures.lagging:,} lanes that lag move{shown}"
    return Diagnosis(Bottleneck.POLLERS, because, tuple(_poller_levers(figures)))


def _poller_levers(figures: Figures) -> Iterator[Lever]:
    table = f"[subscriptions.{figures.subscription}.function]"
    brings = f"up to {figures.lagging - figures.moving:,} lanes more at the same time"
    if figures.uses_pollers:
        yield Lever(f"{table} provisioned_pollers.maximum", brings, "pollers are paid by the hour")
        return
    if figures.invocations_max < min(figures.lagging, limits.MAPPING_CONCURRENCY_MAX):
        yield Lever(
            f"{table} maximum_concurrency (now {figures.invocations_max:,})",
            brings,
            "nothing by itself; of the account's concurrency",
        )
    yield Lever(
        f"{table} provisioned_pollers", f"{brings}, three times as fast", "pollers are paid by the hour"
    )


def _stopped(figures: Figures) -> Diagnosis | None:
    if figures.moving or figures.handled:
        return None
    look = Lever(
        "eventfabric reconcile, and the function's log", "the lane that is stopped, and why", "a pass"
    )
    return Diagnosis(
        Bottleneck.STOPPED, f"{figures.lagging:,} lanes lag, and none moves: docs/runbook.md", (look,)
    )


def _handler(figures: Figures) -> Diagnosis:
    """Return the diagnosis where every lane that lags moves: each event takes too long for what comes."""
    attempts = figures.attempts_max if figures.concurrency != 1 else 1
    busy = max(1, figures.moving if figures.concurrency == 1 else min(figures.moving * attempts, 10_000))
    took = f"at most {1000 * busy / figures.handled:,.0f} ms an event, " if figures.handled else ""
    because = (
        f"all lanes that lag move: {took}{figures.handled:,.1f} events a second of {figures.arrived:,.1f}"
    )
    levers = tuple(_handler_levers(figures))
    if levers:
        return Diagnosis(Bottleneck.HANDLER, because, levers)
    where = f"{figures.lane_share:.0%} of what waits is in {figures.lane}"
    return Diagnosis(
        Bottleneck.LANES,
        f"{where}, at {figures.attempts_max} attempts at the same time",
        (_split(figures, Bottleneck.LANES),),
    )


def _handler_levers(figures: Figures) -> Iterator[Lever]:
    own = f"subscriptions.{figures.subscription}"
    costs = "less: fewer milliseconds of Lambda an event; the handler must allow threads"
    if figures.concurrency == "auto" and figures.attempts_max < ATTEMPTS_MAX:
        yield Lever(
            f"[{own}] concurrency_max (now {figures.attempts_max})",
            f"up to {ATTEMPTS_MAX / figures.attempts_max:.0f} times as many events",
            costs,
        )
    elif figures.concurrency != "auto" and figures.attempts_max < ATTEMPTS_MAX:
        yield Lever(
            f'[{own}] concurrency = "auto" (now {figures.concurrency})',
            f"up to {ATTEMPTS_MAX / figures.attempts_max:.0f} times as many events, if there are as many keys",
            costs,
        )
    else:
        return
    yield Lever(
        f"[{own}.function] memory_megabytes",
        "a larger share of a CPU",
        "as many times what a millisecond costs",
    )


def _split(figures: Figures, bottleneck: Bottleneck) -> Lever:
    lane = figures.lane
    half = "half of its records in each of two lanes"
    brings = half if bottleneck is Bottleneck.PACKING else f"{half}; packed ones only become smaller"
    costs = "cannot be undone; a lane more to keep"
    return Lever(f"eventfabric lanes split {figures.stream} {lane}", brings, costs)


_RULES: Final[Sequence[_Rule]] = (
    _paused,
    _circuit,
    _hot_lane,
    _nothing,
    _account,
    _stopped,
    _one_key,
    _downstream,
    _pollers,
)
