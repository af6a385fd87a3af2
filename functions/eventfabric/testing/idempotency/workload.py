"""Draws plans for a project's handlers: which of the sample's events are published, and what goes wrong meanwhile.

Events of one key come in the order of the sample, from one Region, so that handlers do the same in every run without
faults. Ids are new, so that a repetition in the sample is an event of its own.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Final

from msgspec.structs import replace

from eventfabric import limits
from eventfabric.definition.schema import Subscription
from eventfabric.model import Event, SubscriptionFilter
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.drawing import Draw, Profile
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.plainer import (
    CONDUCTS,
    EVENTS,
    HAPPENINGS,
    PUBLISHES,
    RATES,
    SUBSCRIPTIONS,
    Ways,
    plainer_conducts,
)
from eventfabric.testing.simulation.plan import (
    FINE,
    Conduct,
    Plan,
    PlannedEvent,
    PlannedSubscription,
    Publish,
)
from eventfabric.testing.simulation.schedule import START_MS

NAME: Final = "handlers"
LANES_MAX: Final = 4
"""Fewer lanes than a fabric has, so that events of several keys meet in one."""
WAYS: Final = Ways((HAPPENINGS, PUBLISHES, RATES, SUBSCRIPTIONS, EVENTS, CONDUCTS), plainer_conducts)
"""Parts that shrinking may leave out of such a plan. The events are the project's own, and are not simplified."""
_HANDOVERS: Final = ("failover", "failover", "failback")
CALM_SLOWNESS: Final = (1.0, 200.0)
"""Slowness of calls in the first runs without faults; it decides the order in which actors run."""
_APART_SECONDS: Final = 10.0


def profile_of(*, failover: bool, replay: bool) -> Profile:
    """Return how plans are drawn. Handovers and replays repeat effects by design, so they are drawn only on request."""
    replays = ("replay", "replay") if replay else ()
    return Profile(
        consumers=(1, 2, 3),
        bad=(0.0, 0.2, 0.5),
        happenings=(0, 1, 2, 3),
        anywhere=("deploy", "split", "reconcile", "clock", "outage", "redrive", "pause", *replays),
        between=("region_loss", "silence", "cut", *(_HANDOVERS if failover else ())),
        copied=(),
        tamper_share=0.0,
        slowness=(0.5, 1.0, 1.0, 20.0),
    )


class Workload(Draw):
    """Plans for one stream."""

    def __init__(
        self,
        profile: Profile,
        stream: StreamTopology,
        subscriptions: Sequence[Subscription],
        events: Sequence[Event],
    ) -> None:
        super().__init__(profile, Random())
        self._stream = stream
        self._wanting = tuple(subscriptions)
        self._filters = [SubscriptionFilter.of(subscription) for subscription in subscriptions]
        self._events = [
            event
            for event in events
            if any(subscription_filter.wants(event) for subscription_filter in self._filters)
        ]

    def plan(self, seed: int) -> Plan:
        """Return the plan of a seed, always the same one."""
        random = self._random = Random(f"{seed} {NAME} {self._stream.name}")
        self._regions = self._stream.definition.regions
        self._durability = self._stream.definition.durability
        self._seconds = random.choice(self._profile.seconds)
        return self._plan(
            seed,
            self._calls(random.choice((1, 2, 4, 8, 14))),
            happenings=self.happenings(seed, expires=False),
            rates=self.rates(),
            shards=random.choice((1, 1, 2)),
            slowness=random.choice(self._profile.slowness),
            consumers=random.choice(self._profile.consumers),
        )

    def whole(self, most: int) -> Plan:
        """Return a plan of up to `most` events, spread over the sample, without any fault."""
        self._random, self._regions = Random(f"{NAME} {self._stream.name}"), self._stream.definition.regions
        self._seconds = 60.0
        # Keep keys whole: a later event may depend on those before it.
        by_key: dict[str, list[Event]] = {}
        for event in self._events:
            by_key.setdefault(event.key, []).append(event)
        keys = list(by_key)
        self._random.shuffle(keys)
        events = [event for key in keys for event in by_key[key]]
        chosen = events[:most]
        for subscription_filter in self._filters:
            if not any(map(subscription_filter.wants, chosen)):
                chosen += by_key[next(event.key for event in events if subscription_filter.wants(event))]
        return self._plan(
            0, self._publishing([_planned(number, event, FINE) for number, event in enumerate(chosen, 1)])
        )

    def _plan(self, seed: int, publishes: tuple[Publish, ...], *, consumers: int = 1, **rest: object) -> Plan:
        stream = self._stream.definition
        base = Plan(
            seed=seed,
            profile=NAME,
            regions=stream.regions,
            lanes=min(LANES_MAX, stream.lanes),
            durability=stream.durability,
            subscriptions=tuple(_subscription(subscription, consumers) for subscription in self._wanting),
            producers=stream.regions,
            publishes=publishes,
            happenings=(),
            rates={},
            stream=self._stream.name,
        )
        return replace(base, **rest) if rest else base

    def _calls(self, count: int) -> tuple[Publish, ...]:
        """Return calls that publish the first events of a few keys, in the order of the sample."""
        random = self._random
        by_key: defaultdict[str, list[int]] = defaultdict(list)
        for number, event in enumerate(self._events):
            by_key[event.key].append(number)
        keys = random.sample(sorted(by_key), min(len(by_key), random.choice((1, 2, 4, 8))))
        numbers: list[int] = []
        while len(numbers) < count and keys:
            for key in list(keys):
                left = by_key[key]
                if not left:
                    keys.remove(key)
                elif len(numbers) < count:
                    numbers.append(left.pop(0))
        bad = random.choice(self._profile.bad)
        return self._publishing(
            [
                _planned(number, self._events[index], self._how() if random.random() < bad else FINE)
                for number, index in enumerate(sorted(numbers), 1)
            ]
        )

    def _how(self) -> Conduct:
        """Draw how handlers behave with an event: never so badly that the event is given up."""
        most = min(subscription.retry.attempts for subscription in self._wanting) - 1
        crashes_max = limits.CRASHES_MAX - 1
        match self._random.randrange(4):
            case 0:
                return Conduct(hangs=1)
            case 1 if most > 0:
                return Conduct(fails=min(most, self._random.choice((1, 1, 2))))
            case _:
                return Conduct(crashes=min(crashes_max, self._random.choice((1, 1, 2))))

    def _publishing(self, events: list[PlannedEvent]) -> tuple[Publish, ...]:
        random = self._random
        home = {key: random.randrange(len(self._regions)) for key in sorted({event.key for event in events})}
        made: list[Publish] = []
        at_seconds = sorted(round(random.uniform(0, self._seconds), 3) for _ in events)
        left = list(zip(at_seconds, events, strict=True))
        while left:
            seconds, first = left.pop(0)
            batch = [first]
            most = random.choice((1, 1, 2, 4))
            while left and len(batch) < most and home[left[0][1].key] == home[first.key]:
                batch.append(left.pop(0)[1])
            made.append(Publish(seconds, home[first.key], tuple(_timed(event, seconds) for event in batch)))
        return tuple(made)


def calm_plans(of: History) -> list[Plan]:
    """Return plans that publish what a run published, in its order, without faults: several, each at another pace."""
    published = _published(of)
    publishes: list[Publish] = []
    for call in of.plan.publishes:
        events = tuple(replace(event, conduct=FINE) for event in call.events if event.id in published)
        if events:
            publishes.append(replace(call, events=events))
    calm = replace(of.plan, publishes=tuple(publishes), happenings=(), rates={}, failover=False, shards=1)
    plans = [replace(calm, slowness=slowness) for slowness in CALM_SLOWNESS]
    plans.append(replace(calm, publishes=_keys_backwards(calm.publishes)))
    return [replace(plan, seed=1000 * of.plan.seed + number) for number, plan in enumerate(plans)]


def _published(of: History) -> set[str]:
    """Return the ids of all events that are in the log."""
    own = [entry for entry in of.entries if isinstance(entry, history.Appended) and not entry.copied]
    return {id for entry in own for id in entry.ids}


def _keys_backwards(publishes: Sequence[Publish]) -> tuple[Publish, ...]:
    """Return the events key by key, last key first, so that whatever depends on the order of keys differs."""
    single = [(event.key, publish.producer, event) for publish in publishes for event in publish.events]
    keys = list(dict.fromkeys(key for key, _, _ in single))[::-1]
    single.sort(key=lambda entry: keys.index(entry[0]))
    return tuple(
        Publish(_APART_SECONDS * number, producer, (event,))
        for number, (_, producer, event) in enumerate(single)
    )


def _planned(number: int, event: Event, conduct: Conduct) -> PlannedEvent:
    headers = dict(event.headers) if event.headers else {}
    time = None if event.time is None else event.time.isoformat()
    return PlannedEvent(f"e{number}", event.key, event.type, conduct, event.data, event.source, time, headers)


def _timed(event: PlannedEvent, at_seconds: float) -> PlannedEvent:
    """Give an event without a time the one at which it is to be published, so that all runs use the same."""
    if event.time is not None:
        return event
    time = datetime.fromtimestamp(START_MS / 1000 + at_seconds, UTC)
    return replace(event, time=time.isoformat(timespec="milliseconds"))


def _subscription(subscription: Subscription, consumers: int) -> PlannedSubscription:
    return PlannedSubscription(
        name=subscription.name,
        guarantee=subscription.guarantee,
        order=subscription.order,
        deliver=subscription.deliver,
        on_late=subscription.on_late,
        on_expired=subscription.on_expired,
        types=subscription.types or (),
        immediate=subscription.retry.immediate,
        attempts=subscription.retry.attempts,
        failure_ratio=subscription.breaker.failure_ratio,
        parked_keys=subscription.breaker.parked_keys,
        consumers=consumers,
    )
