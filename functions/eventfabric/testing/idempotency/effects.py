"""Effects that handlers had outside in one run, and how they differ from runs without faults. Pure.

Two kinds of effects, measured in two ways:

    calls    messages, mails, charges: how often each was made for an event; every repetition is one too many
    state    items of tables and objects of buckets: what is there in the end; writing the same again is harmless

The name of an effect leaves out the event and the item, so that two runs give the same effect the same name.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from eventfabric.errors import UnknownStepError
from eventfabric.services.delivery.retry import CRASHED, EXPIRED
from eventfabric.testing.simulation.subscribers import DownstreamDown


@dataclass(frozen=True, order=True)
class Call:
    """An effect of one event. `effect` names what was called, for example "sqs SendMessage mails"."""

    subscription: str
    event: str
    effect: str


@dataclass(frozen=True, order=True)
class Store:
    """A table or a bucket of a Region."""

    service: str
    name: str
    region: str

    def __str__(self) -> str:
        return f"{self.service} {self.name}"


_NEAR_SECONDS: Final = 400 * 86_400
"""Largest distance from now of a time that a handler derives from the clock, times to live included."""
_SLACK_SECONDS: Final = 5
"""Tolerance for two such times, beyond the time between their runs: they are rounded, and clocks are set."""
_ROUND_SECONDS: Final = (60, 900, 3_600, 86_400)
"""Units that times are rounded to. If such a unit ends between two runs, their times differ by a whole unit."""
_OFFSETS_SECONDS: Final = 900
"""Hours and days of every timezone end at a multiple of this."""
_NOT_ITS_OWN: Final = frozenset(
    {
        CRASHED,
        EXPIRED,
        *(
            f"{error_class.__module__}:{error_class.__qualname__}"
            for error_class in (UnknownStepError, DownstreamDown)
        ),
    }
)
"""Errors of dead letters that the handler is not to blame for. A step in doubt, for example, waits for a person by
design.
"""
Items = dict[str, dict[str, str]]
"""Attributes as text, by key and then by name."""


@dataclass
class Left:
    """Everything that a run left outside. `writers`: the subscriptions that wrote each place, by its service and name.

    `began_seconds` and `ended_seconds` are by the clock that handlers see, in seconds since 1970.
    """

    calls: Counter[Call] = field(default_factory=Counter)
    state: dict[Store, Items] = field(default_factory=dict)
    writers: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    regions: set[str] = field(default_factory=set)
    """Regions in which the run wrote."""
    unresolved: dict[tuple[str, str], str] = field(default_factory=dict)
    """Error of each event still dead in the end, by subscription and event; empty for those that only wait."""
    began_seconds: float = 0.0
    ended_seconds: float = 0.0


@dataclass(frozen=True)
class Difference:
    """An effect that is not what it is without faults. `effect` names it with its subscription, `what` describes it.

    `events`: the events concerned, if known.
    """

    effect: str
    what: str
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Result of comparing a run: the differences, and the names of all effects `judged`, as they name them.

    `unsteady`: names of effects that cannot be judged.
    """

    differences: tuple[Difference, ...]
    judged: frozenset[str]
    unsteady: frozenset[str]


def compared(left: Left, calm: Sequence[Left], *, may_lose: frozenset[str]) -> Comparison:
    """Compare a run with runs of the same events without faults.

    `may_lose`: subscriptions whose effects may be lost. Their state is not judged, since any part of it may be missing.
    """
    dead = left.unresolved.keys() - set().union(*(run.unresolved.keys() for run in calm))
    incomplete = may_lose | {name for name, _ in dead}
    calls = _Calls(left, calm, may_lack=incomplete)
    differences = [*_of_dead(left, dead), *calls.differences()]
    judges = [
        _Judge(" and ".join(sorted(writers)), place, left, calm)
        for place, writers in _writers((left, *calm))
        if writers and not writers & incomplete
    ]
    # An attribute that depends on chance or on order in one item does so in all items, in every Region.
    by_order = set().union(*(judge.differ_when_calm() for judge in judges))
    for judge in judges:
        differences += judge.differences(by_order)
    unsteady = calls.unsteady.union(by_order, *(judge.unsteady for judge in judges))
    judged = calls.judged.union(*(judge.judged for judge in judges)) - unsteady
    return Comparison(tuple(differences), frozenset(judged), frozenset(unsteady))


def _writers(runs: Sequence[Left]) -> Iterator[tuple[Store, set[str]]]:
    """Yield each place that any run left, with the subscriptions that wrote it in any."""
    for place in sorted({place for run in runs for place in run.state}):
        yield place, set().union(*(run.writers[place.service, place.name] for run in runs))


def _of_dead(left: Left, dead: Iterable[tuple[str, str]]) -> Iterator[Difference]:
    """Yield a difference for each event that fails because of an earlier attempt, even after a redrive."""
    for name, event in sorted(dead):
        error = left.unresolved[name, event]
        if error and error not in _NOT_ITS_OWN:
            what = (
                f"{event} is a dead letter ({error}), redriven once more without faults; else it is handled"
            )
            yield Difference(_named(name, "dead letter"), what, (event,))


class _Calls:
    """Compares calls. `may_lack`: the subscriptions that may have made fewer calls than without faults."""

    def __init__(self, left: Left, calm: Sequence[Left], *, may_lack: frozenset[str]) -> None:
        self._left = left
        self._calm = calm
        self._may_lack = may_lack
        self.judged: set[str] = set()
        self.unsteady: set[str] = set()

    def differences(self) -> Iterator[Difference]:
        """Yield calls made too often or not often enough: for each event, or else for all events together."""
        for (subscription, effect), events in sorted(self._events().items()):
            name = _named(subscription, effect)
            counts = {event: self._counts([Call(subscription, event, effect)]) for event in sorted(events)}
            if all(len(set(calm)) == 1 for _, calm in counts.values()):
                for event, (made, calm) in counts.items():
                    yield from self._count_difference(name, made, calm[0], subscription, event)
            else:
                # Order or chance decides for which events it is made: only the total can be compared.
                made, calm = self._counts([Call(subscription, event, effect) for event in events])
                if len(set(calm)) > 1:
                    self.unsteady.add(name)
                    continue
                yield from self._count_difference(name, made, calm[0], subscription)
            self.judged.add(name)

    def _events(self) -> dict[tuple[str, str], set[str]]:
        """Return for each subscription and effect the events for which any run called it."""
        events: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for run in (self._left, *self._calm):
            for call in run.calls:
                events[call.subscription, call.effect].add(call.event)
        return events

    def _counts(self, calls: Sequence[Call]) -> tuple[int, list[int]]:
        """Return how often these calls were made, and how often in each run without faults."""
        made, *calm = (sum(run.calls[call] for call in calls) for run in (self._left, *self._calm))
        return made, calm

    def _count_difference(
        self, name: str, made: int, expected: int, subscription: str, event: str = ""
    ) -> Iterator[Difference]:
        whom, events = (f"for {event}", (event,)) if event else ("in all", ())
        if made > expected:
            yield Difference(name, f"{_times(made)} {whom}; without faults {_times(expected)}", events)
        elif made < expected and subscription not in self._may_lack:
            handled = ", which counts as handled" if event else ""
            yield Difference(
                name, f"{_times(made)} {whom}{handled}; without faults {_times(expected)}", events
            )


class _Judge:
    """Judges the state of one place."""

    def __init__(self, owner: str, place: Store, left: Left, calm: Sequence[Left]) -> None:
        self._owner = owner
        self._place = place
        self._items = left.state.get(place, {})
        self._calm = [run.state.get(place, {}) for run in calm]
        runs = (left, *calm)
        self._clock = _Clock(min(run.began_seconds for run in runs), max(run.ended_seconds for run in runs))
        self.judged: set[str] = set()
        self.unsteady: set[str] = set()

    def differ_when_calm(self) -> set[str]:
        """Return the attributes that differ, in any item, from one run without faults to another."""
        differing: set[str] = set()
        for key in set(self._calm[0]).intersection(*self._calm[1:]):
            items = [contents[key] for contents in self._calm]
            differing.update(
                self._name(attribute)
                for attribute in set().union(*items)
                if len({item.get(attribute) for item in items}) > 1
            )
        return differing

    def differences(self, by_order: Set[str]) -> Iterator[Difference]:
        """Yield items and attributes that are wrong, missing or too many. `by_order`: names of attributes to ignore."""
        keys = [set(contents) for contents in self._calm]
        whole = self._name("items")
        if any(run_keys != keys[0] for run_keys in keys):
            # Keys are made anew each time: only their number can be compared.
            counts = {len(contents) for contents in self._calm}
            if len(counts) > 1:
                self.unsteady.add(whole)
                return
            self.judged.add(whole)
            expected, count = counts.pop(), len(self._items)
            if count != expected:
                what = (
                    f"{_number(count)}; without faults {_number(expected)}, under keys that differ each time"
                )
                yield Difference(whole, what)
            return
        for key in sorted(keys[0] | self._items.keys()):
            yield from self._of_item(key, by_order)

    def _of_item(self, key: str, by_order: Set[str]) -> Iterator[Difference]:
        item, expected = self._items.get(key), self._calm[0].get(key)
        if item is None or expected is None:
            name = self._name("items")
            self.judged.add(name)
            missing = f"no item {key}, which is there without faults"
            yield Difference(name, missing if item is None else f"an item {key} too many")
            return
        for attribute in sorted(item.keys() | expected.keys()):
            name = self._name(attribute)
            if name in by_order:
                continue
            stands, right = item.get(attribute), expected.get(attribute)
            if stands == right:
                self.judged.add(name)
            elif self._clock.explains(stands, right):
                self.unsteady.add(name)
            else:
                self.judged.add(name)
                what = f"{attribute} of {key} is {stands or 'absent'}; without faults {right or 'absent'}"
                yield Difference(name, what)

    def _name(self, part: str) -> str:
        return _named(self._owner, f"{self._place}: {part}")


def _named(subscription: str, effect: str) -> str:
    return f"{subscription}: {effect}"


def _times(number: int) -> str:
    return {0: "not made", 1: "made once", 2: "made twice"}.get(number, f"made {number} times")


def _number(items: int) -> str:
    return f"{items} item" + "s" * (items != 1)


@dataclass(frozen=True)
class _Clock:
    """The period in which handlers may have read the clock. Two runs may fall into the same second, or not."""

    began_seconds: float
    ended_seconds: float

    def explains(self, actual: str | None, expected: str | None) -> bool:
        """Tell if both values are times derived from the clock whose distance the time between the runs explains."""
        if actual is None or expected is None:
            return False
        return any(
            self._is_near(actual_seconds)
            and self._is_near(expected_seconds)
            and self._passed(abs(actual_seconds - expected_seconds), actual_seconds, expected_seconds)
            for actual_seconds, expected_seconds in zip(
                _possible_times(actual), _possible_times(expected), strict=False
            )
        )

    def _is_near(self, seconds: float) -> bool:
        return abs(seconds - self.began_seconds) < _NEAR_SECONDS

    def _passed(self, apart: float, *times: float) -> bool:
        if apart <= self.ended_seconds - self.began_seconds + _SLACK_SECONDS:
            return True
        return any(
            apart == whole
            and all(time % min(whole, _OFFSETS_SECONDS) == 0 for time in times)
            and self._ends_one_of(min(whole, _OFFSETS_SECONDS))
            for whole in _ROUND_SECONDS
        )

    def _ends_one_of(self, seconds: int) -> bool:
        return self.began_seconds // seconds != self.ended_seconds // seconds


def _possible_times(text: str) -> list[float]:
    """Return the times, in seconds since 1970, that a text may stand for.

    A number may count seconds, milliseconds, microseconds or nanoseconds; other text may be ISO 8601.
    """
    try:
        number = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return []
        return [(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()]
    return [number / unit for unit in (1, 1_000, 1_000_000, 1_000_000_000)]


def item_text(item: Mapping[str, object]) -> dict[str, str]:
    """Return an item with each attribute as short text; sets are sorted."""
    return {name: _value(value) for name, value in item.items()}


def _value(value: object) -> str:
    match value:
        case {"L": list(values)}:
            return f"[{', '.join(_value(element) for element in values)}]"
        case {"M": dict(values)}:
            return (
                f"{{{', '.join(f'{name}: {_value(element)}' for name, element in sorted(values.items()))}}}"
            )
        case {"SS": list(values)} | {"NS": list(values)} | {"BS": list(values)}:
            return f"{{{', '.join(sorted(str(element) for element in values))}}}"
        case dict() if len(value) == 1:
            return str(next(iter(value.values())))
        case _:
            return str(value)
