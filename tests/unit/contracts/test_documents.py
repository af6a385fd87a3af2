"""Documents: one canonical text for equal schemas, and one clear error for what is none."""

import pytest

from eventfabric.contracts.document import SCHEMA_BYTES_MAX, read_schema
from eventfabric.errors import InvalidSchemaError


def test_equal_schemas_have_equal_text_and_digest() -> None:
    first = read_schema('{"type": "object",\n "required": ["a"]}', where="a")
    second = read_schema(b'{"required":["a"],"type":"object"}', where="b")
    assert first == second
    assert first.content == b'{"required":["a"],"type":"object"}'
    assert first.digest == second.digest
    assert len(first.digest) == 22


def test_the_digest_of_a_schema_never_changes() -> None:
    # It is in stored events.
    assert read_schema("true", where="-").digest == "tb6kG2xiP3wJ8b8k3K5Y6w"


def test_a_schema_is_decoded_as_it_is() -> None:
    assert read_schema('{"const": "ä", "enum": [1, 1.5]}', where="-").value == {
        "const": "ä",
        "enum": [1, 1.5],
    }


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("", "no JSON"),
        ("[]", "an array"),
        ('"text"', "a string"),
        ('{"a": NaN}', "NaN"),
        ('{"maximum": 1e999}', "no JSON"),
        ('{"type": "object", "type": "array"}', "twice"),
        (b'{"title": "\xff"}', "no JSON"),
        (r'{"title": "\ud800"}', "no JSON"),
        ("[" * 200_000, "too deep"),
    ],
)
def test_what_is_no_schema_is_refused_with_one_error(text: str | bytes, state: str) -> None:
    with pytest.raises(InvalidSchemaError) as refused:
        read_schema(text, where="orders/OrderPlaced.json")
    assert refused.value.where == "orders/OrderPlaced.json"
    [problem] = refused.value.problems
    assert state in problem.found


def test_a_schema_is_as_large_as_a_record_can_hold() -> None:
    around = len('{"description":""}')
    text = '{"description":"%s"}'
    read_schema(text % ("x" * (SCHEMA_BYTES_MAX - around)), where="-")
    with pytest.raises(InvalidSchemaError):
        read_schema(text % ("x" * (SCHEMA_BYTES_MAX - around + 1)), where="-")
