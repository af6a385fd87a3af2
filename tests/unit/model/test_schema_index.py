"""Indexes of schemas: numbers of versions, and which of them a new one has to go together with."""

from dataclasses import replace

import pytest

from eventfabric.model import Region, SequenceNumber
from eventfabric.model.schema_index import SchemaIndex, SchemaVersion

BROKEN = "nobody reads it"


def index_of(*registered: str) -> SchemaIndex:
    """Return an index after these registrations of one type, by their digests; `!` has one break what was before."""
    index = SchemaIndex()
    for at_ms, digest in enumerate(registered):
        version = SchemaVersion(
            number=0,
            digest=digest.removesuffix("!"),
            region=Region("us-east-1"),
            sequence=SequenceNumber(at_ms),
            at_ms=at_ms,
            accepted_because=BROKEN if digest.endswith("!") else "",
        )
        index = index.with_schema("Placed", version)
    return index


@pytest.mark.parametrize(
    ("registered", "binding"),
    [
        ((), []),
        (("a", "b", "c"), ["a", "b", "c"]),
        (("a", "b", "a"), ["b", "a"]),
        (("a", "b!", "c"), ["b", "c"]),
        (("a", "b!", "c", "d!", "e"), ["d", "e"]),
        (("a", "b!", "a"), ["b", "a"]),
        (("a", "b", "c!"), ["c"]),
        # What was accepted and comes back binds as it did: neither by what it broke, nor without what came after it.
        (("a", "b!", "a", "b"), ["b"]),
        (("a", "b!", "c", "b"), ["c", "b"]),
        (("a", "b!", "c", "a", "b"), ["c", "b"]),
        (("a", "b!", "c", "b", "a"), ["c", "b", "a"]),
        (("a", "b!", "c!", "b"), ["c", "b"]),
        (("a", "b!", "c!", "b", "c"), ["c"]),
    ],
)
def test_a_new_version_goes_together_with_all_since_the_last_that_was_accepted(
    registered: tuple[str, ...], binding: list[str]
) -> None:
    assert [version.digest for version in index_of(*registered).binding("Placed")] == binding


def test_a_schema_that_comes_back_is_the_version_that_it_was_and_stands_where_its_text_is() -> None:
    first, second = index_of("a", "b!").versions("Placed")
    index = index_of("a", "b!", "a")
    assert index.types["Placed"] == (second, replace(first, again_ms=2))
    assert [version.number for version in index.versions("Placed")] == [1, 2]
    assert index.newest("Placed") == index.version_of("Placed", "a")
    assert [version.last_ms for version in index.versions("Placed")] == [2, 1]
    assert (second.accepted_because, index_of("a", "b!", "a", "b").types["Placed"][1].accepted_because) == (
        BROKEN,
        BROKEN,
    )


def test_what_comes_and_goes_for_ever_takes_no_more_room_and_is_counted() -> None:
    index = index_of("a", "b", *["a", "b"] * 50)
    assert [version.again_ms for version in index.types["Placed"]] == [100, 101]
    assert index.count == 102


def test_what_is_of_other_types_is_no_version() -> None:
    index = index_of("a")
    assert (index.versions("Paid"), index.newest("Paid"), index.binding("Paid")) == ((), None, ())
    assert index.version_of("Paid", "a") is None
    assert index.with_schema("Paid", index.types["Placed"][0]).versions("Paid")[0].number == 1
