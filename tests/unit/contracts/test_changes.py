"""The differ's verdicts on a table of changes, for readers of both directions; validators know documents for each."""

from collections.abc import Iterator
from random import Random
from typing import Any

import jsonschema
import pytest

from eventfabric.contracts.closing import closed
from eventfabric.contracts.differ import differences
from eventfabric.contracts.lint import schema_problems
from tests.support.random_documents import DocumentMaker
from tests.support.schema_changes import NO, OPEN, YES, Change
from tests.unit.contracts.changes_of_circles import RARE
from tests.unit.contracts.changes_of_lists import LISTS
from tests.unit.contracts.changes_of_objects import OBJECTS
from tests.unit.contracts.changes_of_unions import UNIONS
from tests.unit.contracts.changes_of_values import VALUES

CHANGES = [*VALUES, *OBJECTS, *LISTS, *UNIONS, *RARE]
PAIRS = [
    pytest.param(reader, writer, verdict, id=f"{change.rule}-{index}-{direction}")
    for index, change in enumerate(CHANGES)
    for direction, reader, writer, verdict in (
        ("backward", change.new, change.old, change.backward),
        ("forward", change.old, change.new, change.forward),
    )
]


def verdict_of(reader: Any, writer: Any) -> str:
    known = differences(reader, writer)
    if not known:
        return YES
    return OPEN if all(difference.is_undecided for difference in known) else NO


def published(writer: Any, reader: Any, count: int) -> Iterator[Any]:
    """Yield documents that a producer may publish by a schema."""
    validators = [jsonschema.Draft202012Validator(schema) for schema in (closed(writer), writer)]
    maker = DocumentMaker(writer, Random(1), other=reader)
    for _ in range(count):
        document = maker.document()
        if all(validator.is_valid(document) for validator in validators):
            yield document


def test_the_table_has_changes_of_all_rules() -> None:
    assert len(CHANGES) >= 300
    assert all(change.why for change in CHANGES)


@pytest.mark.parametrize("change", [pytest.param(change, id=change.rule) for change in CHANGES])
def test_the_table_holds_schemas_that_may_be_registered(change: Change) -> None:
    assert schema_problems(change.old) == []
    assert schema_problems(change.new) == []


@pytest.mark.parametrize(("reader", "writer", "verdict"), PAIRS)
def test_a_change_has_its_verdict(reader: Any, writer: Any, verdict: str) -> None:
    assert verdict_of(reader, writer) == verdict


@pytest.mark.parametrize(("reader", "writer", "verdict"), PAIRS)
def test_documents_agree_with_the_verdict(reader: Any, writer: Any, verdict: str) -> None:
    validator = jsonschema.Draft202012Validator(reader)
    refused = (
        document
        for document in published(writer, reader, 2000 if verdict == NO else 150)
        if not validator.is_valid(document)
    )
    if verdict == YES:
        assert list(refused) == []
    elif verdict == NO:
        assert next(refused, "none") != "none"
