"""Records and events that a subscription wants, by its definition."""

from dataclasses import dataclass, replace
from itertools import chain, combinations

import pytest

from eventfabric.definition.guarantee import Guarantee
from eventfabric.definition.schema import Subscription
from eventfabric.model import (
    EMPTY_TAIL,
    EVERYTHING,
    Event,
    Record,
    SequenceNumber,
    SkippedBy,
    SubscriptionFilter,
    Tail,
    skip_at,
)
from tests.support.memory_fabric import LANE, event
from tests.support.subscribed_stream import SubscribedStream

TYPES = ("placed", "paid", "viewed")


def definition(*types: str) -> Subscription:
    return Subscription(
        name="billing", stream="orders", handler="subscribers.billing:charge", types=types or None
    )


def filter_of(*types: str) -> SubscriptionFilter:
    return SubscriptionFilter.of(definition(*types))


def record_of(*types: str) -> Record:
    return SubscribedStream().put(*(event(f"e{number}", type=type) for number, type in enumerate(types)))


def skip() -> Record:
    """The record that stands for three lost ones."""
    until = Tail(SequenceNumber(3), EMPTY_TAIL.chain, EMPTY_TAIL.time)
    by = SkippedBy("ann", "lost", 1)
    return skip_at(EMPTY_TAIL, LANE, until=until, chain=until.chain, expires_at=None, skipped=by)


@dataclass(frozen=True)
class Case:
    """Answers of a filter about a record with events of these types."""

    wanted: tuple[str, ...]
    """Types in the definition; none: it names none."""
    of: tuple[str, ...]
    may_want: bool
    indices: tuple[int, ...]

    def __str__(self) -> str:
        return f"{'+'.join(self.wanted) or 'all'} of {'+'.join(self.of)}"


CASES = [
    Case((), ("placed",), True, (0,)),
    Case((), ("placed", "paid", "placed"), True, (0, 1, 2)),
    Case(("placed",), ("placed",), True, (0,)),
    Case(("placed",), ("paid",), False, ()),
    Case(("placed",), ("paid", "placed", "viewed", "placed"), True, (1, 3)),
    Case(("placed", "paid"), ("viewed", "paid", "placed"), True, (1, 2)),
    Case(("placed", "paid"), ("viewed", "viewed"), False, ()),
    Case(("place",), ("placed",), False, ()),
    Case(("Placed",), ("placed",), False, ()),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_record_may_hold_a_wanted_event_where_one_of_its_events_is_wanted(case: Case) -> None:
    filter, events = filter_of(*case.wanted), [event(f"e{n}", type=type) for n, type in enumerate(case.of)]
    assert filter.may_want(record_of(*case.of)) is case.may_want
    assert tuple(filter.wanted(events, 0, len(events))) == case.indices
    assert tuple(index for index, event in enumerate(events) if filter.wants(event)) == case.indices
    assert filter.wants_all is not bool(case.wanted)


def test_whatever_is_named_the_questions_agree_with_each_other() -> None:
    events = [event(type, type=type) for type in TYPES]
    for named in chain.from_iterable(combinations(TYPES, size) for size in range(4)):
        filter = filter_of(*named)
        for start in range(4):
            for end in range(start, 4):
                some = list(filter.wanted(events, start, end))
                assert some == [number for number in range(start, end) if filter.wants(events[number])]
        for candidate in events:
            assert filter.may_want(record_of(candidate.type)) is filter.wants(candidate)


def test_a_record_that_was_skipped_is_wanted_by_nobody_who_names_types() -> None:
    assert not filter_of("placed").may_want(skip())
    assert EVERYTHING.may_want(skip())  # its readers step over it


def test_where_all_is_wanted_no_event_is_looked_at() -> None:
    class Untouchable(Event):
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(f"{name} is looked at")

    untouchable = Untouchable.__new__(Untouchable)
    assert EVERYTHING.wants(untouchable)
    assert list(EVERYTHING.wanted([untouchable], 0, 1)) == [0]


def test_a_definition_decides_and_one_that_names_no_types_wants_everything() -> None:
    assert SubscriptionFilter.of(definition()) is EVERYTHING
    assert filter_of("paid", "placed") == filter_of("placed", "paid", "paid") != filter_of("paid")
    changed = replace(definition("paid"), guarantee=Guarantee.AT_MOST_ONCE, order="none")
    assert SubscriptionFilter.of(changed) == filter_of("paid")


def test_a_filter_says_what_it_wants() -> None:
    assert str(filter_of()) == "any event"
    assert str(filter_of("placed", "paid")) == "events of type paid or placed"
