"""Tests of checkers, on histories made by hand: schemas that are registered, and events that are held to them."""

import json

import pytest

from eventfabric.testing.simulation.history_of_schemas import (
    EventsListed,
    EventsOffered,
    ListedEvent,
    ListedSchema,
    OfferedEvent,
    SchemaRegistered,
    SchemasListed,
)
from eventfabric.testing.simulation.verdict import Result
from tests.simulation.hand_made import AWAY, HOME, Hand
from tests.simulation.test_checkers import INVALID, VALID, result

TYPE = "Placed"
SCHEMA = json.dumps({"type": "object", "properties": {"total": {"type": "integer"}}})
OTHER = json.dumps({"type": "object", "properties": {"total": {"type": "string"}}})
GOOD, BAD = '{"total":1}', '{"total":"1"}'


def listed(*texts: str, region: str = HOME, number: int = 1) -> Hand:
    """Return a history at whose end these schemas are listed, as versions from `number` on."""
    versions = [ListedSchema(TYPE, count, f"d{count}", text) for count, text in enumerate(texts, number)]
    return Hand().tell(SchemasListed, actor="world", region=region, lane=HOME, versions=tuple(versions))


def test_wrong_schema() -> None:
    def registered(hand: Hand, number: int = 1) -> Result:
        digest = f"d{number}"
        hand.tell(SchemaRegistered, region=HOME, of=TYPE, number=number, digest=digest)
        return result("wrong_schema", hand.history)

    assert registered(listed(SCHEMA)) is VALID
    assert registered(listed(SCHEMA), 2) is INVALID
    assert registered(listed("cannot be read: lost")) is INVALID
    assert registered(listed(SCHEMA, OTHER)) is INVALID
    assert result("wrong_schema", Hand().history) is VALID


@pytest.mark.parametrize(("accepted", "expected"), [(0, VALID), (1, VALID), (None, INVALID)])
def test_wrong_schema_of_what_a_person_has_accepted(accepted: int | None, expected: Result) -> None:
    """Try three versions, of which the first and the last exclude each other: which later one was accepted."""
    texts = SCHEMA, SCHEMA.replace("total", "more"), OTHER
    versions = tuple(
        ListedSchema(TYPE, number, f"d{number}", text, "agreed" if accepted == number - 2 else "")
        for number, text in enumerate(texts, 1)
    )
    hand = Hand().tell(SchemasListed, actor="world", region=HOME, lane=HOME, versions=versions)
    assert result("wrong_schema", hand.history) is expected


def test_wrong_schema_of_regions_that_have_others() -> None:
    hand = listed(SCHEMA)
    for number, expected in ((1, VALID), (2, INVALID)):
        hand.entries += listed(SCHEMA, region=AWAY, number=number).entries
        assert result("wrong_schema", hand.history) is expected


@pytest.mark.parametrize(
    ("data", "digest", "expected"),
    [
        (GOOD, "d1", VALID),
        ("{}", "d1", VALID),
        (BAD, "d1", INVALID),
        ('{"total":true}', "d1", INVALID),
        ('{"more":1}', "d1", INVALID),
        ('"text"', "d1", INVALID),
        (BAD, "d2", VALID),
        (GOOD, "", INVALID),
        (GOOD, "d3", INVALID),
    ],
)
def test_unfit_event_in_the_log(data: str, digest: str, expected: Result) -> None:
    hand = listed(SCHEMA, OTHER)
    hand.tell(EventsListed, actor="world", region=HOME, events=(ListedEvent("k", TYPE, digest, data),))
    assert result("unfit_event", hand.history) is expected


@pytest.mark.parametrize(
    ("refused", "published", "in_log", "failed", "expected"),
    [
        ("b", "a", "a", "", VALID),
        ("ab", "", "", "", INVALID),
        ("b", "", "", "", INVALID),
        ("b", "", "a", "PublishFailedError", VALID),
        ("", "", "", "SimulatedCrash", VALID),
        ("", "", "", "InvalidEventError", INVALID),
        ("b", "a", "", "", INVALID),
        ("b", "a", "ab", "", INVALID),
    ],
)
def test_unfit_event_of_what_a_producer_was_told(
    refused: str, published: str, in_log: str, failed: str, expected: Result
) -> None:
    data = {"a": GOOD, "b": BAD}
    hand = Hand().tell(
        EventsOffered,
        region=HOME,
        how="together",
        of=TYPE,
        digest="d1",
        events=tuple(OfferedEvent(*own) for own in data.items()),
        refused=tuple(refused),
        published=tuple(published),
        failed=failed,
    )
    hand.entries += listed(SCHEMA).entries
    events = tuple(ListedEvent(key, TYPE, "d1", GOOD) for key in in_log)
    hand.tell(EventsListed, actor="world", region=HOME, events=events)
    assert result("unfit_event", hand.history) is expected
