"""Replacements of a dead event: nothing that could not be published, lest it stop its lane."""

import pytest

from eventfabric import limits
from eventfabric.errors import EventTooLargeError, InvalidEventError
from eventfabric.model import Event
from eventfabric.wire.keys import record_key
from tests.support.failing_handlers import (
    FEW,
    Failing,
    dead_letters,
    drained,
    fabric_of,
    named,
    the_dead_letter,
)
from tests.support.memory_fabric import LANE
from tests.support.subscribed_stream import SubscribedStream


def fabric_with_a_dead_letter() -> SubscribedStream:
    """A fabric whose a1 is dead, and would be handled by now."""
    failing = Failing({"a1": 99})
    fabric = drained(fabric_of(failing, *named("a1", "a2"), **FEW))
    failing.times.clear()
    return fabric


def test_what_a_replacement_leaves_out_is_as_in_the_dead_event() -> None:
    fabric = fabric_with_a_dead_letter()
    (dead,) = named("a1")
    dead_letters(fabric).redrive(
        the_dead_letter(fabric), replacement=Event(key="a", type="mended", data="mended")
    )
    fabric.deliver_all()
    mended, behind = fabric.recorder.events
    assert (mended.id, mended.source, mended.time) == (dead.id, dead.source, dead.time)
    assert (mended.type, mended.data, behind.id) == ("mended", "mended", "a2")


def test_a_replacement_without_a_time_is_of_now_where_the_dead_event_has_expired() -> None:
    fabric = fabric_with_a_dead_letter()
    fabric.table.write("Delete", {"Key": record_key(LANE, 0)})
    letter, whole = the_dead_letter(fabric), Event(id="mended", source="/t", key="a", type="mended")
    with pytest.raises(InvalidEventError, match="id"):
        dead_letters(fabric).redrive(letter, replacement=Event(key="a", type="mended"))
    dead_letters(fabric).redrive(letter, replacement=whole)
    fabric.deliver_all()
    mended, behind = fabric.recorder.events
    assert (mended.id, behind.id) == ("mended", "a2")
    assert mended.time is not None


def test_what_could_not_be_published_replaces_nothing() -> None:
    fabric = fabric_with_a_dead_letter()
    letter = the_dead_letter(fabric)
    with pytest.raises(InvalidEventError, match="type"):
        dead_letters(fabric).redrive(letter, replacement=Event(key="a", type=""))
    large = Event(key="a", type="mended", data=bytes(limits.RECORD_PAYLOAD_BYTES_MAX))
    with pytest.raises(EventTooLargeError, match="at most"):
        dead_letters(fabric).redrive(letter, replacement=large)
    assert the_dead_letter(fabric) == letter
