"""Schemas at an edit: what takes the place of a dead event is held to the schema of its type."""

from pathlib import Path

import pytest

from eventfabric import Event
from eventfabric.contracts.identity import SchemaIdentity, parse_schema_uri
from eventfabric.errors import InvalidEventError
from eventfabric.sdk.operations import Operations
from tests.support.failing_handlers import FEW, Failing, drained, fabric_of, named, the_dead_letter
from tests.support.memory_fabric import HOME, STREAM
from tests.support.schema_folders import PLACED, checks
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

SECRET = "opensesame"


@pytest.fixture
def fabric() -> SubscribedStream:
    """Return a fabric whose a1 is dead, and would be handled by now."""
    failing = Failing({"a1": 99})
    fabric = drained(fabric_of(failing, *named("a1", "a2"), **FEW))
    failing.times.clear()
    return fabric


def operations(fabric: SubscribedStream, folder: Path) -> Operations:
    schemas = checks(folder, {f"{STREAM}/placed": PLACED})
    return Operations(fabric.topology, HOME, fabric.ports(), schemas=schemas)


def edited(data: object, **headers: str) -> Event:
    return Event(key="a", type="placed", data=data, headers=headers)


def test_an_edit_that_does_not_fit_changes_nothing(fabric: SubscribedStream, tmp_path: Path) -> None:
    letters, letter = operations(fabric, tmp_path).dead_letters(SUBSCRIPTION), the_dead_letter(fabric)
    for data in ({}, {"order": "A", SECRET: SECRET}, b"bytes"):
        for attempt in (letters.check_replacement, letters.redrive):
            with pytest.raises(InvalidEventError) as refused:
                if attempt == letters.redrive:
                    letters.redrive(letter, replacement=edited(data))
                else:
                    letters.check_replacement(letter, edited(data))
            assert SECRET not in str(refused.value)
    assert the_dead_letter(fabric) == letter


def test_an_edit_that_fits_names_its_schema_whatever_it_named_before(
    fabric: SubscribedStream, tmp_path: Path
) -> None:
    letters = operations(fabric, tmp_path).dead_letters(SUBSCRIPTION)
    replacement = edited({"order": "A"}, dataschema="urn:before", mine="kept")
    letters.redrive(the_dead_letter(fabric), replacement=replacement)
    fabric.deliver_all()
    mended, _ = fabric.recorder.events
    identity = parse_schema_uri(mended.headers["dataschema"])
    assert identity is not None
    assert (identity.type, mended.headers["mine"]) == ("placed", "kept")


BEFORE = str(SchemaIdentity(STREAM, "placed", "b" * 22))


def dead_of_before(dataschema: str) -> SubscribedStream:
    """Return a fabric whose a1 is dead, and names a schema that is not the type's any more."""
    failing, [event] = Failing({"a1": 99}), named("a1")
    event.headers = {"dataschema": dataschema}
    fabric = drained(fabric_of(failing, event, **FEW))
    failing.times.clear()
    return fabric


def test_an_edit_that_keeps_the_other_version_of_its_event_is_not_judged_by_this_one(tmp_path: Path) -> None:
    fabric = dead_of_before(BEFORE)
    letters = operations(fabric, tmp_path).dead_letters(SUBSCRIPTION)
    letters.redrive(the_dead_letter(fabric), replacement=edited({"of": "before"}, dataschema=BEFORE))
    fabric.deliver_all()
    assert fabric.recorder.events[0].headers["dataschema"] == BEFORE


@pytest.mark.parametrize(
    ("of_event", "of_edit"),
    [
        ("urn:before", BEFORE),
        (str(SchemaIdentity(STREAM, "placed", "c" * 22)), BEFORE),
        (BEFORE, "urn:after"),
        *((str(SchemaIdentity(*place, "b" * 22)),) * 2 for place in ((STREAM, "paid"), ("others", "placed"))),
        ("urn:before", "urn:before"),
    ],
)
def test_an_edit_that_names_any_other_schema_is_held_to_that_of_its_type(
    tmp_path: Path, of_event: str, of_edit: str
) -> None:
    fabric = dead_of_before(of_event)
    letters, letter = operations(fabric, tmp_path).dead_letters(SUBSCRIPTION), the_dead_letter(fabric)
    with pytest.raises(InvalidEventError):
        letters.redrive(letter, replacement=edited({"of": "before"}, dataschema=of_edit))
    assert the_dead_letter(fabric) == letter


def test_an_event_that_is_redriven_as_it_is_is_not_judged(fabric: SubscribedStream, tmp_path: Path) -> None:
    schemas = checks(tmp_path, {f"{STREAM}/{event.type}": False for event in named("a1")})
    operations_ = Operations(fabric.topology, HOME, fabric.ports(), schemas=schemas)
    operations_.dead_letters(SUBSCRIPTION).redrive(the_dead_letter(fabric))
    fabric.deliver_all()
    assert [event.id for event in fabric.recorder.events] == ["a1", "a2"]


def test_who_has_no_schemas_at_hand_edits_as_ever(fabric: SubscribedStream) -> None:
    letters = Operations(fabric.topology, HOME, fabric.ports()).dead_letters(SUBSCRIPTION)
    letters.redrive(the_dead_letter(fabric), replacement=edited(b"bytes"))
    fabric.deliver_all()
    assert fabric.recorder.events[0].data == b"bytes"
