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

UNSTEADY = "differs between runs without faults"


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


Items = dict[str, dict[str, str]]
"""By key, attribute by attribute, as text."""


@dataclass
class Left:
    """What a run left outside. `writers`: the subscriptions that wrote each place, by service and name."""

    calls: Counter[Call] = field(default_factory=Counter)
    state: dict[Place, Items] = field(default_factory=dict)
    writers: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    unresolved: set[tuple[str, str]] = field(default_factory=set)
    """Subscription and event of what is still dead, or stands behind that, in the end."""

    def writer_of(self, place: Place) -> str:
        """Whose state it is: usually one subscription's."""
        return " and ".join(sorted(self.writers[place.service, place.name])) or "somebody"


@dataclass(frozen=True)
class Difference:
    """An effect that is not what it is without faults: `effect` names it with its subscription, `what` says how.

    `events`: those it is of, where that is known. `is_missing`: it should be there, and is not.
    """

    effect: str
    what: str
    events: tuple[str, ...] = ()
    is_missing: bool = False


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
    unjudged = {name for name, _ in left.unresolved.difference(*(one.unresolved for one in calm))}
    differences = [*_of_calls(left, calm, at_most_once, unjudged)]
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


def _of_calls(
    left: Left, calm: Seq[Left], at_most_once: frozenset[str], unjudged: Iterable[str]
) -> Iterator[Difference]:
    unjudged = frozenset(unjudged)
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
            yield Difference(name, what, (call.event,), is_missing=True)


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
                yield Difference(whole, what, is_missing=found < expected)
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
            yield Difference(name, what, is_missing=found is None)
            return
        for attribute in sorted(found.keys() | expected.keys()):
            name = self._name(attribute)
            values = {one.get(attribute) if one else None for one in calm}
            if len(values) > 1:
                self.unsteady.add(name)
                continue
            self.seen.add(name)
            if found.get(attribute) != expected.get(attribute):
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
