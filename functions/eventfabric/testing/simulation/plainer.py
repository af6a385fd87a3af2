"""Ways to simplify a plan: the parts that can be left out, and the values that can be made ordinary.

Every way yields a plan that can run: the number of lanes stays a power of two, removed names are used nowhere, and no
durability needs more Regions than there are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeVar

from msgspec.structs import fields, replace

from eventfabric.testing.simulation.plan import (
    FINE,
    Conduct,
    Happening,
    Plan,
    PlannedEvent,
    PlannedSubscription,
    Publish,
)

T = TypeVar("T")
_QUORUM_REGIONS: Final = 3
_ORDINARY: Final[dict[str, Any]] = {
    "shards": 1,
    "lanes": 1,
    "slowness": 1.0,
    "failover": False,
    "retention_days": 0,
    "express": False,
    "clones": False,
    "rivals": 0,
}
"""Plainest values of a plan's own fields."""


class PlanPart:
    """A part of a plan: things in an order. `without`: returns the plan without some of them; None: it needs them."""

    def __init__(self, count: Callable[[Plan], int], without: Callable[[Plan, range], Plan | None]) -> None:
        self.count = count
        self.without = without


@dataclass(frozen=True)
class Ways:
    """The ways to simplify plans of a kind. `parts`: what can be left out, largest first."""

    parts: tuple[PlanPart, ...]
    plainer: Callable[[Plan], Iterator[Plan]]


def plainer(plan: Plan) -> Iterator[Plan]:
    """Yield plans in which one thing is more ordinary."""
    yield from _plainer_fabric(plan)
    for number, subscription in enumerate(plan.subscriptions):
        for plain in _plainer_subscription(subscription):
            yield replace(plan, subscriptions=_with(plan.subscriptions, number, plain))
    for number, publish in enumerate(plan.publishes):
        if publish.how != "many":
            yield replace(plan, publishes=_with(plan.publishes, number, replace(publish, how="many")))
    for number, happening in enumerate(plan.happenings):
        if happening.number:
            yield replace(plan, happenings=_with(plan.happenings, number, replace(happening, number=0)))
    yield from _plainer_events(plan)
    whole = _in_whole_seconds(plan)
    if whole != plan:
        yield whole


def _plainer_fabric(plan: Plan) -> Iterator[Plan]:
    for name, value in _ORDINARY.items():
        if getattr(plan, name) != value:
            yield replace(plan, **{name: value})
    if plan.lanes > 2:
        yield replace(plan, lanes=plan.lanes // 2)
    if plan.durability == "quorum":
        yield replace(plan, durability="replicated")


def _plainer_subscription(subscription: PlannedSubscription) -> Iterator[PlannedSubscription]:
    for field in fields(subscription):
        if field.name != "name" and getattr(subscription, field.name) != field.default:
            yield replace(subscription, **{field.name: field.default})
    if subscription.consumers > 2:
        yield replace(subscription, consumers=subscription.consumers - 1)


def plainer_conducts(plan: Plan) -> Iterator[Plan]:
    """Yield plans in which one event goes wrong less often."""
    for number, event in enumerate(_events(plan)):
        for conduct in _plainer_conduct(event.conduct):
            yield _mapped(plan, {number: replace(event, conduct=conduct)})


def _plainer_conduct(conduct: Conduct) -> Iterator[Conduct]:
    for name in ("crashes", "hangs", "fails"):
        if getattr(conduct, name) > 1:
            yield replace(conduct, **{name: 1})


def _plainer_events(plan: Plan) -> Iterator[Plan]:
    first = next(iter(plan.events.values()), None)
    for number, event in enumerate(_events(plan)):
        conduct, values = event.conduct, list[dict[str, Any]]()
        if first is not None and event.key != first.key:
            values.append({"key": first.key})
        if event.type != "placed":
            values.append({"type": "placed"})
        if event.data is not None:
            values.append({"data": None})
        values += [{"conduct": plainer} for plainer in _plainer_conduct(conduct)]
        for value in values:
            yield _mapped(plan, {number: replace(event, **value)})


def _in_whole_seconds(plan: Plan) -> Plan:
    return replace(
        plan,
        publishes=tuple(
            replace(publish, after_seconds=float(round(publish.after_seconds))) for publish in plan.publishes
        ),
        happenings=tuple(
            replace(
                happening,
                after_seconds=float(round(happening.after_seconds)),
                seconds=float(round(happening.seconds)),
            )
            for happening in plan.happenings
        ),
    )


def _without_regions(plan: Plan, gone: range) -> Plan | None:
    left = _cut(plan.regions, gone)
    if not left:
        return None
    durability = _durability_among(left, plan.durability)
    acks2 = "acks2" if durability == "replicated" else "many"
    return replace(
        plan,
        regions=left,
        durability=durability,
        producers=tuple(name if name in left else left[0] for name in plan.producers),
        publishes=tuple(replace(call, how=acks2) if call.how == "acks2" else call for call in plan.publishes),
        happenings=_happenings_among(left, plan.happenings),
        failover=plan.failover and len(left) > 1,
    )


def _durability_among(regions: tuple[str, ...], durability: str) -> str:
    """Return the durability, or the next that these Regions are enough for."""
    if len(regions) == 1:
        return "regional"
    if durability == "quorum" and len(regions) < _QUORUM_REGIONS:
        return "replicated"
    return durability


def _happenings_among(regions: tuple[str, ...], happenings: tuple[Happening, ...]) -> tuple[Happening, ...]:
    """Return what happens to these Regions; the other Region of a happening is one of them, too, or none."""
    return tuple(
        happening if happening.other in ("", *regions) else _with_other(regions, happening)
        for happening in happenings
        if happening.region in ("", *regions)
    )


def _with_other(regions: tuple[str, ...], happening: Happening) -> Happening:
    return replace(happening, other=next((name for name in regions if name != happening.region), ""))


def _without_subscriptions(plan: Plan, gone: range) -> Plan | None:
    left = _cut(plan.subscriptions, gone)
    return replace(plan, subscriptions=left) if left else None


def _without_producers(plan: Plan, gone: range) -> Plan | None:
    """Leave out producers, and give their calls to the first one left."""
    left = _cut(plan.producers, gone)
    if not left:
        return None
    numbers = count()
    moved = [0 if number in gone else next(numbers) for number in range(len(plan.producers))]
    publishes = tuple(replace(publish, producer=moved[publish.producer]) for publish in plan.publishes)
    return replace(plan, producers=left, publishes=publishes)


def _without_rates(plan: Plan, gone: range) -> Plan:
    return replace(plan, rates=dict(_cut(tuple(plan.rates.items()), gone)))


def _without_events(plan: Plan, gone: range) -> Plan:
    return _mapped(plan, dict.fromkeys(gone))


def _without_conducts(plan: Plan, gone: range) -> Plan:
    bad = [(number, event) for number, event in enumerate(_events(plan)) if not event.conduct.is_fine]
    return _mapped(
        plan, {number: replace(event, conduct=FINE) for number, event in bad[gone.start : gone.stop]}
    )


def _events(plan: Plan) -> list[PlannedEvent]:
    return [event for publish in plan.publishes for event in publish.events]


def _mapped(plan: Plan, changed: dict[int, PlannedEvent] | dict[int, None]) -> Plan:
    """Replace some events of the plan, by their number in it; None: leave the event out."""
    numbers, publishes = count(), list[Publish]()
    for publish in plan.publishes:
        events = [changed.get(next(numbers), event) for event in publish.events]
        left = tuple(event for event in events if event is not None)
        if left:
            publishes.append(replace(publish, events=left))
    return replace(plan, publishes=tuple(publishes))


def _with(values: tuple[T, ...], number: int, value: T) -> tuple[T, ...]:
    return (*values[:number], value, *values[number + 1 :])


def _cut(values: tuple[T, ...], gone: range) -> tuple[T, ...]:
    return values[: gone.start] + values[gone.stop :]


HAPPENINGS: Final = PlanPart(
    lambda plan: len(plan.happenings),
    lambda plan, gone: replace(plan, happenings=_cut(plan.happenings, gone)),
)
PUBLISHES: Final = PlanPart(
    lambda plan: len(plan.publishes),
    lambda plan, gone: replace(plan, publishes=_cut(plan.publishes, gone)),
)
RATES: Final = PlanPart(lambda plan: len(plan.rates), _without_rates)
SUBSCRIPTIONS: Final = PlanPart(lambda plan: len(plan.subscriptions), _without_subscriptions)
REGIONS: Final = PlanPart(lambda plan: len(plan.regions), _without_regions)
EVENTS: Final = PlanPart(lambda plan: len(_events(plan)), _without_events)
CONDUCTS: Final = PlanPart(
    lambda plan: sum(not event.conduct.is_fine for event in _events(plan)), _without_conducts
)
PRODUCERS: Final = PlanPart(lambda plan: len(plan.producers), _without_producers)
ALL: Final = Ways(
    (HAPPENINGS, PUBLISHES, RATES, SUBSCRIPTIONS, REGIONS, EVENTS, CONDUCTS, PRODUCERS), plainer
)
"""For plans that decide everything, including the fabric itself."""
