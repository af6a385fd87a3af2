"""Comparison with earlier versions: which of them, in which direction, and where a difference is shown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from eventfabric.contracts.document import SchemaDocument, read_schema
from eventfabric.definition.sections import Compatibility, TypeSection
from eventfabric.errors import Problem
from eventfabric.services.catalogue.schema_comparison import comparison_of
from eventfabric.stream_topology import StreamTopology
from tests.support.memory_fabric import STREAM
from tests.support.subscribed_stream import topology

ORDER: Mapping[str, Any] = {"type": "object", "properties": {"order": {"type": "string"}}}
REQUIRED = {**ORDER, "required": ["order"]}
"""Whoever reads by this refuses what ORDER publishes, and not the reverse."""


def schema(value: object) -> SchemaDocument:
    return read_schema(json.dumps(value), where="-")


def stream(promise: Compatibility, **types: Compatibility) -> StreamTopology:
    own = topology().stream(STREAM)
    sections = {type_: TypeSection(compatibility=promised) for type_, promised in types.items()}
    return replace(own, definition=replace(own.definition, compatibility=promise, types=sections))


def problems(
    promise: Compatibility, new: object, *earlier: object, type_: str = "Placed", **types: Compatibility
) -> Sequence[Problem]:
    known = [(f"version {number}", schema(value)) for number, value in enumerate(earlier, 1)]
    return comparison_of(stream(promise, **types))(type_, schema(new), known)


READS_EARLIER = [own for own in Compatibility if own.reads_earlier]
IS_READ_EARLIER = [own for own in Compatibility if own.is_read_earlier]


def test_each_promise_says_in_which_direction_and_how_far_back() -> None:
    backward, forward = Compatibility.BACKWARD, Compatibility.FORWARD
    assert set(READS_EARLIER) ^ set(IS_READ_EARLIER) == {
        backward,
        Compatibility.BACKWARD_TRANSITIVE,
        forward,
        Compatibility.FORWARD_TRANSITIVE,
    }
    assert backward in READS_EARLIER
    assert forward in IS_READ_EARLIER
    assert [own for own in Compatibility if own.is_transitive] == [
        Compatibility.BACKWARD_TRANSITIVE,
        Compatibility.FORWARD_TRANSITIVE,
        Compatibility.FULL_TRANSITIVE,
    ]


@pytest.mark.parametrize("promise", Compatibility)
def test_what_the_new_version_would_refuse_counts_where_it_must_read_earlier_events(
    promise: Compatibility,
) -> None:
    assert bool(problems(promise, REQUIRED, ORDER)) == (promise in READS_EARLIER)


@pytest.mark.parametrize("promise", Compatibility)
def test_what_the_earlier_version_would_refuse_counts_where_it_must_read_new_events(
    promise: Compatibility,
) -> None:
    assert bool(problems(promise, ORDER, REQUIRED)) == (promise in IS_READ_EARLIER)


@pytest.mark.parametrize("promise", [own for own in Compatibility if own is not Compatibility.NONE])
def test_only_a_transitive_promise_goes_back_behind_the_last_version(promise: Compatibility) -> None:
    other = {"type": "array"}
    assert bool(problems(promise, ORDER, other, ORDER)) == promise.is_transitive
    assert problems(promise, ORDER, ORDER, other)


def test_a_type_may_promise_something_else_than_its_stream() -> None:
    full, none = Compatibility.FULL, Compatibility.NONE
    assert not problems(full, REQUIRED, ORDER, type_="Loose", Loose=none)
    assert problems(none, REQUIRED, ORDER, type_="Strict", Strict=full)
    assert problems(full, REQUIRED, ORDER, type_="Placed", Loose=none)


def test_a_difference_is_shown_in_the_schema_in_which_it_is() -> None:
    [backward] = problems(Compatibility.BACKWARD, REQUIRED, ORDER)
    assert backward.path.startswith(f"schemas/{STREAM}/Placed.json#/required")
    assert "version 1" in backward.found
    [forward] = problems(Compatibility.FORWARD, ORDER, REQUIRED)
    assert forward.path.startswith(f"version 1 of schemas/{STREAM}/Placed.json#/required")
    assert "version 1" in forward.allowed


def test_what_nobody_can_decide_is_refused_and_says_so() -> None:
    [problem, *_] = problems(Compatibility.BACKWARD, {"not": {"type": "string"}}, {"not": {"type": "array"}})
    assert problem.found.startswith("undecided")
