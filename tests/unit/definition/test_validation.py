"""Validation of single keys: pydantic, which knows the schema's annotations by itself, judges the same."""

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from annotated_types import Interval, Len, Predicate
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from eventfabric import limits
from eventfabric.definition.annotations import alternatives, bare, marks_of
from eventfabric.definition.marks import (
    Listed,
    Name,
    Pattern,
    PowersOfTwo,
    is_date,
    is_free_variable,
    is_start,
)
from eventfabric.definition.schema import Definition, is_power_of_two
from eventfabric.definition.validation import FaultyKey, KeyFault, validated

BY_PYDANTIC = TypeAdapter(Definition)
NAMES = st.sampled_from(["orders", "a", "b-2", "x" * 28])
WRONG_NAMES = st.sampled_from(["x" * 29, "Orders", "or ders", "1st", "", "é", "a\n"])
REGIONS = ["us-east-1", "eu-west-1", "us-gov-west-1", "europe", "us-east-1\n", "us-east-10", ""]
TEXTS = st.sampled_from(
    [
        *REGIONS,
        *("subscribers.billing:charge", "a:b", "a.b", "a:b:c", ":b", "a.1:b", "ä:b"),
        *("earliest", "latest", "2026-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01", "now"),
        *("arn:aws:sns:us-east-1:111122223333:on-call", "arn:aws:sns:us-east-1:111122223333:x.fifo"),
        *("key", "none", "regional", "quorum", "exactly_once", "one", "skip", "é" * 128, "e" * 129),
    ]
)
NUMBERS = st.sampled_from([0, 1, 2, 3, 64, 100, 101, 4096, 8192, -1, 2**63 - 1, 0.05, 0.5, 1.0, 900.5, 1e300])
NO_NUMBERS = st.sampled_from([float("nan"), float("inf"), -float("inf")])
ANYTHING = st.recursive(
    st.booleans() | NUMBERS | NO_NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES | WRONG_NAMES, inner, max_size=2),
    max_leaves=4,
)


def mostly(likely: st.SearchStrategy[Any], unlikely: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 29).flatmap(lambda die: likely if die < 29 else unlikely)


def value(annotation: object) -> st.SearchStrategy[Any]:
    """Values that are mostly right."""
    return mostly(right(annotation), ANYTHING)


def right(annotation: object) -> st.SearchStrategy[Any]:
    """Values of the right type, mostly in their bounds."""
    kind, marks = bare(annotation), marks_of(annotation)
    size_min = next((mark.min_length for mark in marks if isinstance(mark, Len)), 0)
    size = mostly(st.just(size_min), st.integers(0, 2))
    if isinstance(kind, type) and is_dataclass(kind):
        return tables(kind)
    if get_origin(kind) is dict:
        named = size.flatmap(
            lambda n: st.dictionaries(
                names(get_args(kind)[0]), value(get_args(kind)[1]), min_size=n, max_size=2
            )
        )
        if "name" not in getattr(get_args(kind)[1], "__dataclass_fields__", ()):
            return named
        return named.map(lambda tables: {name: with_name(name, table) for name, table in tables.items()})
    if get_origin(kind) is tuple:
        return size.flatmap(lambda n: st.lists(value(get_args(kind)[0]), min_size=n, max_size=2))
    if kinds := alternatives(kind):
        return st.one_of(*map(right, kinds))
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from([choice.value for choice in kind])
    return st.booleans() if kind is bool else bounded(kind, marks)


def names(kind: object) -> st.SearchStrategy[str]:
    """Names of tables or values, mostly right."""
    return mostly(NAMES, WRONG_NAMES) if kind == Name else mostly(bounded(str, marks_of(kind)), WRONG_NAMES)


def bounded(kind: object, marks: tuple[object, ...]) -> st.SearchStrategy[Any]:
    """Texts and numbers, mostly as their marks allow them."""
    for mark in marks:
        match mark:
            case PowersOfTwo(most=greatest):
                return mostly(st.sampled_from([1, 64, greatest]), NUMBERS)
            case Listed(numbers=numbers):
                return mostly(st.sampled_from(numbers), NUMBERS)
            case Predicate(func=func) if func is is_free_variable:
                return st.sampled_from(
                    ["CURRENCY", "a1", "AWS_REGION", "aws_region", "EVENTFABRIC_X", "A", "A-B"]
                )
            case Predicate(func=func) if func is is_start:
                return mostly(st.sampled_from(["earliest", "latest", "2026-01-01T00:00:00Z"]), TEXTS)
    for mark in marks:
        match mark:
            case Pattern(regex=regex):
                return mostly(st.from_regex(regex, fullmatch=True), TEXTS)
            case Interval(ge=int() | float() as least, le=int() | float() as most):
                inside = st.integers(int(least), int(most)) if kind is int else st.floats(least, most)
                return mostly(inside, NUMBERS)
    return NAMES


def tables(kind: type) -> st.SearchStrategy[dict[str, object]]:
    """Tables that mostly hold what they must, and mostly no key that they must not hold."""
    hints = get_type_hints(kind, include_extras=True)
    named = {field.name: field for field in fields(kind)}
    must = {name for name, field in named.items() if MISSING is field.default is field.default_factory}
    held = st.fixed_dictionaries(
        {name: value(hints[name]) for name in sorted(must)},
        optional={name: value(hints[name]) for name in sorted(named.keys() - must)},
    )
    lost = mostly(st.just(set()), st.sets(st.sampled_from(sorted(named)), max_size=1))
    unknown = st.dictionaries(st.sampled_from(["lane", "nam", "zzz"]), ANYTHING, max_size=1)
    return st.builds(
        lambda table, lost, unknown: {key: table[key] for key in table if key not in lost} | unknown,
        held,
        lost,
        mostly(st.just({}), unknown),
    )


def with_name(name: str, table: object) -> object:
    return {**table, "name": name} if isinstance(table, dict) else table


ALTERNATIVES = [("constrained-int",), ("literal['auto']",)]


def pydantics_faults(error: ValidationError) -> Iterator[FaultyKey]:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    paths = {detail["loc"] for detail in details}
    kinds = {"unexpected_keyword_argument": KeyFault.UNKNOWN, "missing": KeyFault.MISSING}
    for detail in details:
        path = detail["loc"]
        # pydantic counts a list's items without the wrong ones, and then calls the list too short as well.
        if detail["type"] == "too_short" and any(other[: len(path)] == path != other for other in paths):
            continue
        # Of a key with alternatives, pydantic says of each why it is not that one.
        path = path[:-1] if path[-1:] in ALTERNATIVES else path
        yield FaultyKey(path, kinds.get(detail["type"], KeyFault.WRONG))


def test_a_list_that_is_too_long_is_judged_as_pydantic_judges_it() -> None:
    table = {"subnet_ids": ["subnet-0123456789abcdef0"] * 16, "security_group_ids": ["sg-12345678"] * 5}
    for key in table:
        for count in (0, len(table[key]), len(table[key]) + 1):
            vpc = {**table, key: table[key][:1] * count}
            raw = {
                "fabric": {"name": "shop", "regions": ["us-east-1"]},
                "streams": {"a": {"name": "a"}},
                "functions": {"vpc": {"us-east-1": vpc}},
            }
            _, faulty = validated(raw)
            assert bool(faulty) == (not 0 < count <= len(table[key]))
            try:
                BY_PYDANTIC.validate_json(json.dumps(raw))
            except ValidationError:
                assert faulty
            else:
                assert not faulty


@given(tables(Definition))
def test_a_definition_is_judged_as_pydantic_judges_it(raw: dict[str, object]) -> None:
    definition, faulty = validated(raw)
    try:
        expected, faults = BY_PYDANTIC.validate_json(json.dumps(raw)), list[FaultyKey]()
    except ValidationError as error:
        expected, faults = None, list(pydantics_faults(error))
    assert definition == expected
    assert repr(definition) == repr(expected)
    assert sorted(faulty, key=str) == sorted(set(faults), key=str)


def test_whole_numbers_become_fractions_only_where_any_number_is_allowed() -> None:
    subscription = {"name": "b", "stream": "a", "handler": "a:b"}
    fabric = {"name": "shop", "regions": ["us-east-1"]}
    raw = {"fabric": fabric, "streams": {"a": {"name": "a"}}, "subscriptions": {"b": subscription}}
    definition, faulty = validated(
        {**raw, "subscriptions": {"b": {**subscription, "retry": {"attempts": 3, "backoff_seconds": 2}}}}
    )
    assert definition is not None
    assert not faulty
    retry = definition.subscriptions["b"].retry
    assert (type(retry.attempts), type(retry.backoff_seconds)) == (int, float)
    _, faulty = validated({**raw, "streams": {"a": {"name": "a", "lanes": 64.0}}})
    assert faulty == [FaultyKey(("streams", "a", "lanes"), KeyFault.WRONG)]


def every_mark(annotation: object) -> Iterator[object]:
    yield from marks_of(annotation)
    kind = bare(annotation)
    if isinstance(kind, type) and is_dataclass(kind):
        for hint in get_type_hints(kind, include_extras=True).values():
            yield from every_mark(hint)
    for inner in get_args(kind):
        if get_origin(kind) is not Literal and inner is not Ellipsis:
            yield from every_mark(inner)


def test_every_bound_of_the_schema_is_of_a_form_that_validation_knows() -> None:
    for mark in every_mark(Definition):
        match mark:
            case Interval():
                assert (mark.gt, mark.lt) == (None, None)
                assert None not in (mark.ge, mark.le)
            case Len():
                assert 0 < mark.min_length <= (mark.max_length or mark.min_length)
            case Predicate(func=func) if func not in (is_date, is_free_variable, is_start, is_power_of_two):
                assert func == limits.LOG_DAYS.__contains__
            case Pattern():
                assert (mark.regex[0], mark.regex[-1]) == ("^", "$")


def test_a_mark_that_validation_does_not_know_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventfabric.definition.validation.marks_of", lambda annotation: ("at most twice",))
    with pytest.raises(AssertionError, match="at most twice"):
        validated({})
