"""Tests of checkers, on histories made by hand: what registrations make of the index, and what consumers look up."""

import json
from typing import Any

import pytest

from eventfabric.testing.simulation.history_of_schemas import (
    PutVersion,
    SchemaLookedUp,
    SchemasAsked,
    SchemasPut,
)
from eventfabric.testing.simulation.verdict import Result
from tests.simulation.hand_made import HOME, Hand
from tests.simulation.test_checkers import INVALID, VALID, result

TYPE = "Placed"
TEXTS = {
    digest: json.dumps({"type": "object", "properties": {member: {"type": kind}}})
    for digest, member, kind in (
        ("a", "kind", "integer"),
        ("b", "kind", "string"),
        ("c", "kind", "string"),
        ("x", "more", "integer"),
        ("y", "less", "integer"),
    )
}
"""Schemas by digest: `a` excludes `b` and `c`."""


def asked(hand: Hand, digest: str, *, since: int, until: int, **about: Any) -> Hand:
    """Note that a pipeline asked for a schema, and was answered."""
    return hand.tell(
        SchemasAsked,
        request=f"r{until}",
        schemas={TYPE: digest},
        texts={TYPE: TEXTS[digest]},
        since=since,
        until=until,
        **about,
    )


def indexed(*indices: str, reasons: str = "", requests: str = "") -> Hand:
    """Return a history with these indices: each as digests with numbers, in the order of their last registration.

    `reasons`: digests that a person accepted. `requests`: of each index; default: each of its own.
    """
    hand = Hand()
    for count, index in enumerate(indices, 1):
        pairs = zip(index[::2], index[1::2], strict=True)
        versions = tuple(
            PutVersion(int(number), digest, "agreed" if digest in reasons else "") for digest, number in pairs
        )
        request = requests[count - 1] if requests else f"r{count}"
        hand.tell(
            SchemasPut, region=HOME, sequence=count, request=request, count=count, versions={TYPE: versions}
        )
    return hand


def known(*indices: str, **about: Any) -> Result:
    """Return the verdict on these indices; see `indexed`. All of their schemas were registered without a refusal."""
    hand = indexed(*indices, **about)
    for count, index in enumerate(indices, 1):
        asked(hand, index[-2], since=count - 1, until=count)
    return result("wrong_registration", hand.history)


@pytest.mark.parametrize(
    ("indices", "about", "expected"),
    [
        ((), {}, VALID),
        (("x1", "x1y2"), {}, VALID),
        (("x1", "x1y2", "y2x1"), {}, VALID),
        (("x1", "x1y2", "y1x2"), {}, INVALID),
        (("x1", "x1y2", "x1y2x3"), {}, INVALID),
        (("x1", "x1y1"), {}, INVALID),
        (("x1", "y1"), {}, INVALID),
        (("a1", "a1b2"), {}, INVALID),
        (("a1", "a1b2"), {"reasons": "b"}, VALID),
        (("a1", "a1x2"), {"reasons": "x"}, INVALID),
        (("a1", "a1b2", "b2a1", "a1b2", "a1b2c3"), {"reasons": "b"}, VALID),
        (("a1", "a1b2", "b2a1", "b2a1c3"), {"reasons": "b"}, INVALID),
        (("x1", "x1y2", "y2x1"), {"requests": "rsr"}, INVALID),
    ],
)
def test_wrong_registration(indices: tuple[str, ...], about: dict[str, Any], expected: Result) -> None:
    assert known(*indices, **about) is expected


def test_wrong_registration_of_two_regions_that_go_on_from_the_same_index() -> None:
    hand = Hand()
    for digest in "xy":
        versions = {TYPE: (PutVersion(1, digest),)}
        hand.tell(SchemasPut, region=HOME, sequence=1, request=digest, count=1, versions=versions)
    assert result("wrong_registration", hand.history) is INVALID


@pytest.mark.parametrize(
    ("digest", "since", "about", "expected"),
    [
        ("x", 1, {}, VALID),
        ("b", 0, {"refused": True}, VALID),
        ("b", 0, {"refused": True, "reason": "agreed"}, INVALID),
        ("y", 0, {"refused": True}, INVALID),
        ("a", 1, {"refused": True}, INVALID),
        ("a", 0, {}, VALID),
        ("a", 2, {}, INVALID),
        ("y", 0, {}, INVALID),
        ("x", 0, {"failed": "UndecodableRecordError"}, INVALID),
    ],
)
def test_wrong_registration_of_an_answer(
    digest: str, since: int, about: dict[str, Any], expected: Result
) -> None:
    hand = Hand()
    for count, index in enumerate((("a",), ("a", "x")), 1):
        versions = {TYPE: tuple(PutVersion(number, own) for number, own in enumerate(index, 1))}
        hand.tell(
            SchemasPut, region=HOME, sequence=count, request=f"r{count}", count=count, versions=versions
        )
    for own, text in (("a", TEXTS["a"]), ("x", TEXTS["x"])):
        hand.tell(SchemasAsked, request=own, schemas={TYPE: own}, texts={TYPE: text}, since=0, until=2)
    asked(hand, digest, since=since, until=2, **about)
    assert result("wrong_registration", hand.history) is expected


@pytest.mark.parametrize(
    ("number", "schema", "there", "expected"),
    [
        (1, "x", True, VALID),
        (1, "", False, VALID),
        (0, "", False, VALID),
        (0, "", True, INVALID),
        (2, "x", True, INVALID),
        (1, "y", False, INVALID),
        (1, "", True, INVALID),
    ],
)
def test_lost_schema(number: int, schema: str, *, there: bool, expected: Result) -> None:
    hand = Hand().tell(
        SchemasPut,
        region=HOME,
        sequence=1,
        request="r",
        count=1,
        versions={TYPE: (PutVersion(1, "x"),)},
    )
    hand.tell(SchemaLookedUp, region=HOME, of=TYPE, digest="x", number=number, schema=schema, there=there)
    assert result("lost_schema", hand.history) is expected
