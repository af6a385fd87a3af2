"""The differ: what a difference says, and that no pair of schemas takes it long."""

from typing import Any

import pytest

from eventfabric.contracts.differ import DIFFERENCES_MAX, STEPS_MAX, compared, differences
from eventfabric.contracts.lint import schema_problems
from tests.support.schema_changes import NIL, I, N, S, any_of, defs, enum, lst, obj, one_of, ref, tagged


def test_a_difference_points_into_the_readers_schema_and_says_what_to_do() -> None:
    [difference] = differences(obj({"a/b": obj({"c!": S})}), obj({"a/b": obj({"c": S})}))
    assert difference.pointer == "/properties/a~1b/required"
    assert difference.keyword == "required"
    assert not difference.is_undecided
    assert not difference.is_in_writer
    assert "'c'" in difference.rule
    assert difference.remedy
    assert difference.pointer in str(difference)


@pytest.mark.parametrize(
    ("reader", "writer", "pointer"),
    [
        (obj({"a": I}), obj({"a": N}), "/properties/a/type"),
        (defs(obj({"a": ref("x")}), x=I), obj({"a": N}), "/$defs/x/type"),
        (obj({"a": False}), obj({"a": S}), "/properties/a"),
        (obj({"a": S}, additionalProperties=False), obj({"b": S}), "/additionalProperties"),
        (lst(I), lst(S), "/items/type"),
        (one_of(tagged("a"), tagged("b")), one_of(tagged("a"), tagged("c")), "/oneOf"),
        (one_of(tagged("a"), tagged("b", {"n": I})), tagged("b", {"n": S}), "/oneOf/1/properties/n/type"),
        (enum("a"), S, "/enum"),
        (any_of(S, NIL), {"type": ["string", "boolean"]}, "/anyOf"),
    ],
)
def test_a_difference_is_said_where_it_arises(reader: Any, writer: Any, pointer: str) -> None:
    assert [difference.pointer for difference in differences(reader, writer)] == [pointer]


def test_all_differences_are_said_once() -> None:
    reader = obj({"a!": I, "b!": obj({"c": enum("x")}), "d": lst(I)})
    writer = obj({"a": S, "b": obj({"c": S}), "d": lst(S)})
    known = {difference.pointer: difference.keyword for difference in differences(reader, writer)}
    assert known == {
        "/required": "required",
        "/properties/a/type": "type",
        "/properties/b/properties/c/enum": "enum",
        "/properties/d/items/type": "type",
    }
    assert len(differences(reader, writer)) == 5, "each of two members is required"


def test_differences_are_bounded() -> None:
    reader = obj({f"a{number}!": S for number in range(1000)})
    assert len(differences(reader, obj({"b": S}))) == DIFFERENCES_MAX


@pytest.mark.parametrize(
    ("reader", "writer", "is_in_writer"),
    [
        ({"requried": ["a"]}, S, False),
        (S, {"$schema": "http://json-schema.org/draft-07/schema#"}, True),
        ({"$ref": "https://example.com/a.json"}, S, False),
        (S, {"$dynamicRef": "#a"}, True),
    ],
)
def test_what_could_not_be_registered_is_undecided(reader: Any, writer: Any, is_in_writer: bool) -> None:
    [difference] = differences(reader, writer)
    assert difference.is_undecided
    assert difference.is_in_writer is is_in_writer


def nested_unions(depth: int, branches: int, leaf: Any) -> Any:
    if depth == 0:
        return leaf
    inner = nested_unions(depth - 1, branches, leaf)
    return any_of(*[obj({f"a{number}!": inner}) for number in range(branches)])


def chain(length: int, last: Any, *, union: bool = False) -> Any:
    links = {f"d{number}": obj({"a": ref(f"d{number + 1}")}) for number in range(length)}
    if union:
        links = {name: any_of(NIL, link, lst(link["properties"]["a"])) for name, link in links.items()}
    return defs(ref("d0"), **links, **{f"d{length}": last})


def graph(size: int, extra: dict[str, Any]) -> Any:
    nodes = {
        f"d{number}": obj({f"x{edge}": ref(f"d{(number * 7 + edge * 3 + 1) % size}") for edge in range(10)})
        for number in range(size)
    }
    nodes[f"d{size - 1}"].update(extra)
    return defs(ref("d0"), **nodes)


def crossing(size: int, label: Any) -> Any:
    """Return a schema whose places are sets of its definitions, of which there are very many."""
    states = {}
    for number in range(size):
        edges = [
            {"a": ref(f"q{(number * 5 + shift) % size}"), "b": ref(f"q{(number * 3 + shift) % size}")}
            for shift in (1, 4)
        ]
        states[f"q{number}"] = {"allOf": [obj({**edge, "label": label}) for edge in edges]}
    return defs(ref("q0"), **states)


BIG = [
    (obj({f"p{number}": S for number in range(4000)}), obj({f"q{number}": S for number in range(4000)})),
    (
        one_of(*[tagged(number, {"a": S}) for number in range(150)]),
        one_of(*[tagged(number) for number in range(150)]),
    ),
    (any_of(*[{"const": number} for number in range(900)]), enum(*range(900))),
    (obj({"a": I}), enum(*[{"a": number, "b": [number] * 3} for number in range(900)])),
    (graph(200, {}), graph(200, {"required": ["x1"]})),
    (nested_unions(4, 3, S), nested_unions(4, 3, S)),
    (chain(300, S), chain(300, enum("a"))),
]
HOSTILE = [
    (nested_unions(5, 3, S), nested_unions(5, 3, I)),
    (chain(3000, S), chain(3000, I)),
    (chain(1000, S, union=True), chain(1000, I, union=True)),
    (crossing(23, I), crossing(23, N)),
    (S, {"allOf": [any_of({"minLength": number}, {"maxLength": number}) for number in range(30)]}),
    (
        obj(patternProperties={f"(a|b|{number})*c{{1,50}}": S for number in range(300)}),
        obj({"a" * 150 + str(number): S for number in range(300)}),
    ),
    (
        any_of(*[{"properties": {f"a{number}": S}} for number in range(500)]),
        any_of(*[{"properties": {f"a{number}": I}} for number in range(500)]),
    ),
    (
        one_of(*[tagged(number) for number in range(900)]),
        any_of(*[obj({f"a{number}": S}) for number in range(900)]),
    ),
]


@pytest.mark.parametrize(("reader", "writer"), BIG)
def test_large_schemas_are_compared_within_the_bound(reader: Any, writer: Any) -> None:
    known, steps = compared(reader, writer)
    assert known == []
    assert steps < STEPS_MAX


@pytest.mark.parametrize(("reader", "writer"), HOSTILE)
def test_hostile_schemas_end_at_the_bound_and_are_never_compatible(reader: Any, writer: Any) -> None:
    known, steps = compared(reader, writer)
    assert known
    assert steps <= STEPS_MAX + 2_000


@pytest.mark.parametrize("schema", [schema for pair in HOSTILE for schema in pair])
def test_a_hostile_schema_that_may_be_registered_is_compatible_with_itself(schema: Any) -> None:
    assert (compared(schema, schema)[0] == []) is (schema_problems(schema) == [])
