"""Owns what handlers did outside in one run, and how that differs from runs without faults. Pure.

Two kinds of effects, two measures:

    calls    messages, mails, charges: how often each was made of an event; a repetition is one too many
    state    items of tables and objects of buckets: what stands there in the end; to write the same again is nothing

An effect is named without the event and the item that it is of, so that two runs name the same one alike.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final


@dataclass(frozen=True, order=True)
class Call:
    """An effect of one event: `effect` names what was called, such as "sqs SendMessage mails"."""

    subscription: str
    event: str
    effect: str


@dataclass(frozen=True, order=True)
class Place:
    """A table or a bucket of a Region."""

    service: str
    name: str
    region: str

    def __str__(self) -> str:
        return f"{self.service} {self.name}"


_NEAR_SECONDS: Final = 400 * 86_400
"""How far from now a time may be that a handler makes up: times to live, too."""
_NOT_ITS_OWN: Final = frozenset({"UnknownStepError", "Crashed", "Expired"})
"""Why an event is dead that its handler does not answer for: a step in doubt is for a person, by design."""
Items = dict[str, dict[str, str]]
"""By key, attribute by attribute, as text."""


@dataclass
class Left:
    """What a run left outside. `writers`: the subscriptions that wrote each place, by service and name."""

    calls: Counter[Call] = field(default_factory=Counter)
    state: dict[Place, Items] = field(default_factory=dict)
    writers: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    regions: set[str] = field(default_factory=set)
    """In which it wrote."""
    unresolved: dict[tuple[str, str], str] = field(default_factory=dict)
    """Subscription and event of what is still dead in the end, or stands behind that; and why it is dead, if so."""


@dataclass(frozen=True)
class Difference:
    """An effect that is not what it is without faults: `effect` names it with its subscription, `what` says how.

    `events`: those it is of, where that is known.
    """

    effect: str
    what: str
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """What a run says of effects, by the names that differences have. `unsteady`: those that nothing can say of."""

    differences: tuple[Difference, ...]
    seen: frozenset[str]
    unsteady: frozenset[str]


def compared(left: Left, calm: Seq[Left], *, at_most_once: frozenset[str]) -> Comparison:
    """Hold a run against runs of the same events without faults.

    `at_most_once`: subscriptions that may lose effects; their state is not judged, for it may lack anything.
    """
    dead = left.unresolved.keys() - set().union(*(one.unresolved.keys() for one in calm))
    unjudged = frozenset(name for name, _ in dead)
    differences = [*_of_dead(left, dead), *_of_calls(left, calm, at_most_once, unjudged)]
    seen = {_named(call.subscription, call.effect) for one in (left, *calm) for call in one.calls}
    unsteady: set[str] = set()
    for place in sorted({place for one in (left, *calm) for place in one.state}):
        writers = {name for one in (left, *calm) for name in one.writers[place.service, place.name]}
        owner = " and ".join(sorted(writers)) or "somebody"
        if not writers or writers & (at_most_once | unjudged):
            continue
        of_place = _Judge(owner, place, left.state.get(place, {}), [one.state.get(place, {}) for one in calm])
        differences += of_place.differences()
        seen |= of_place.seen
        unsteady |= of_place.unsteady
    return Comparison(tuple(differences), frozenset(seen), frozenset(unsteady))


def _of_dead(left: Left, dead: Iterable[tuple[str, str]]) -> Iterator[Difference]:
    """Events whose handler raises since something was done before, even after a redrive."""
    for name, event in sorted(dead):
        error = left.unresolved[name, event]
        if error and error not in _NOT_ITS_OWN:
            what = (
                f"{event} is a dead letter ({error}), redriven once more without faults; else it is handled"
            )
            yield Difference(_named(name, "dead letter"), what, (event,))


def _of_calls(
    left: Left, calm: Seq[Left], at_most_once: frozenset[str], unjudged: frozenset[str]
) -> Iterator[Difference]:
    for call in sorted({call for one in (left, *calm) for call in one.calls}):
        counts = [one.calls[call] for one in calm]
        made, name = left.calls[call], _named(call.subscription, call.effect)
        if made > max(counts):
            what = f"{_times(made)} for {call.event}; without faults {_times(max(counts))}"
            yield Difference(name, what, (call.event,))
        elif (
            made < min(counts) and call.subscription not in at_most_once and call.subscription not in unjudged
        ):
            what = f"{_times(made)} for {call.event}, which counts as handled; without faults {_times(min(counts))}"
            yield Difference(name, what, (call.event,))


class _Judge:
    """Of one place."""

    def __init__(self, owner: str, place: Place, items: Items, calm: Seq[Items]) -> None:
        self._owner = owner
        self._place = place
        self._items = items
        self._calm = calm
        self.seen: set[str] = set()
        self.unsteady: set[str] = set()

    def differences(self) -> Iterator[Difference]:
        """What stands there and should not, or the other way round."""
        keys = [set(one) for one in self._calm]
        whole = self._name("items")
        if any(one != keys[0] for one in keys):
            # Keys that are made anew each time: how many there are is what can be compared.
            counts = {len(one) for one in self._calm}
            if len(counts) > 1:
                self.unsteady.add(whole)
                return
            self.seen.add(whole)
            expected, found = counts.pop(), len(self._items)
            if found != expected:
                what = (
                    f"{_number(found)}; without faults {_number(expected)}, under keys that differ each time"
                )
                yield Difference(whole, what)
            return
        for key in sorted(keys[0] | self._items.keys()):
            yield from self._of_item(key)

    def _of_item(self, key: str) -> Iterator[Difference]:
        calm = [one.get(key) for one in self._calm]
        found, expected = self._items.get(key), calm[0]
        if found is None or expected is None:
            name = self._name("items")
            self.seen.add(name)
            what = (
                f"no item {key}, which is there without faults"
                if found is None
                else f"an item {key} too many"
            )
            yield Difference(name, what)
            return
        for attribute in sorted(found.keys() | expected.keys()):
            name = self._name(attribute)
            values = {one.get(attribute) if one else None for one in calm}
            if len(values) > 1:
                self.unsteady.add(name)
                continue
            differs = found.get(attribute) != expected.get(attribute)
            if differs and _tells_time(found.get(attribute)) and _tells_time(expected.get(attribute)):
                self.unsteady.add(name)
                continue
            self.seen.add(name)
            if differs:
                stands = f"{attribute} of {key} is {found.get(attribute, 'absent')}"
                yield Difference(name, f"{stands}; without faults {expected.get(attribute, 'absent')}")

    def _name(self, part: str) -> str:
        return _named(self._owner, f"{self._place}: {part}")


def _named(subscription: str, effect: str) -> str:
    return f"{subscription}: {effect}"


def _times(number: int) -> str:
    return {0: "not made", 1: "made once", 2: "made twice"}.get(number, f"made {number} times")


def _number(items: int) -> str:
    return f"{items} item" + "s" * (items != 1)


def _tells_time(text: str | None) -> bool:
    """Whether it is a time near now, as handlers write it: seconds or milliseconds since 1970, or ISO 8601.

    Runs without faults may fall into the same second, and that with faults into another.
    """
    if text is None:
        return False
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = datetime.fromisoformat(text).timestamp()
        except ValueError:
            return False
    now = datetime.now().astimezone().timestamp()
    return any(abs(seconds / unit - now) < _NEAR_SECONDS for unit in (1, 1_000, 1_000_000, 1_000_000_000))


def item_text(item: Mapping[str, object]) -> dict[str, str]:
    """An item attribute by attribute, as short text; sets in one order."""
    return {name: _value(value) for name, value in item.items()}


def _value(value: object) -> str:
    match value:
        case {"L": list(values)}:
            return f"[{', '.join(_value(one) for one in values)}]"
        case {"M": dict(values)}:
            return f"{{{', '.join(f'{name}: {_value(one)}' for name, one in sorted(values.items()))}}}"
        case {"SS": list(values)} | {"NS": list(values)} | {"BS": list(values)}:
            return f"{{{', '.join(sorted(str(one) for one in values))}}}"
        case dict() if len(value) == 1:
            return str(next(iter(value.values())))
        case _:
            return str(value)
