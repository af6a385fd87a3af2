"""Fields of a replacement: which are its own and which the dead event's, and how large it may be."""

import pytest

from eventfabric import limits
from eventfabric.errors import EventTooLargeError, InvalidEventError
from eventfabric.model import HOPS, Event, HeaderValue
from eventfabric.wire.keys import record_key
from eventfabric.wire.payload_codec import encode_event, stored
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
from tests.unit.services.operations.test_replacement import fabric_with_a_dead_letter

TIME = "2026-12-24T18:00:00Z"
OWN = {"id": "mended", "source": "/mended", "time": TIME}


@pytest.mark.parametrize(
    "own", [(), ("id",), ("source",), ("time",), ("id", "time"), ("id", "source", "time")]
)
def test_what_a_replacement_has_is_its_own_and_the_rest_is_the_dead_events(own: tuple[str, ...]) -> None:
    fabric = fabric_with_a_dead_letter()
    (dead,) = named("a1")
    expected = {"id": dead.id, "source": dead.source, "time": dead.stored_time}
    given = {name: OWN[name] for name in own}
    replacement = Event(key="a", type="mended", data=1, **given)  # type: ignore[arg-type]  # of any one field
    dead_letters(fabric).redrive(the_dead_letter(fabric), replacement=replacement)
    fabric.deliver_all()
    mended = fabric.recorder.events[0]
    fields = {"id": mended.id, "source": mended.source, "time": mended.stored_time}
    assert fields == {**expected, **given}


@pytest.mark.parametrize("wrong", [{"id": "x" * 200}, {"source": ""}], ids=["id", "source"])
def test_what_is_its_own_must_be_good_though_the_rest_is_the_dead_events(wrong: dict[str, str]) -> None:
    fabric = fabric_with_a_dead_letter()
    replacement = Event(key="a", type="mended", **wrong)  # type: ignore[arg-type]  # of any one field
    with pytest.raises(InvalidEventError) as raised:
        dead_letters(fabric).check_replacement(the_dead_letter(fabric), replacement)
    assert [problem.path for problem in raised.value.problems] == list(wrong)


def test_where_the_dead_event_has_expired_its_time_is_now_to_the_microsecond() -> None:
    fabric = fabric_with_a_dead_letter()
    fabric.table.write("Delete", {"Key": record_key(LANE, 0)})
    now_ms = fabric.clock.now_ms()
    replacement = Event(id="mended", source="/t", key="a", type="mended")
    dead_letters(fabric).redrive(the_dead_letter(fabric), replacement=replacement)
    fabric.deliver_all()
    assert fabric.recorder.events[0].stored_time == now_ms * 1000


@pytest.mark.parametrize("more", [0, 1])
def test_it_may_be_as_large_as_a_record_and_no_larger(more: int) -> None:
    fabric = fabric_with_a_dead_letter()

    def of_size(data: int) -> Event:
        return Event(key="a", type="mended", id="m", source="/t", time=TIME, data=bytes(data))

    around = len(encode_event(stored(of_size(200_000)))) - 200_000
    replacement = of_size(limits.RECORD_PAYLOAD_BYTES_MAX - around + more)
    assert len(encode_event(stored(replacement))) == limits.RECORD_PAYLOAD_BYTES_MAX + more
    if more:
        with pytest.raises(EventTooLargeError) as raised:
            dead_letters(fabric).check_replacement(the_dead_letter(fabric), replacement)
        assert [problem.path for problem in raised.value.problems] == ["event"]
    else:
        dead_letters(fabric).redrive(the_dead_letter(fabric), replacement=replacement)
        fabric.deliver_all()
        assert fabric.recorder.ids() == ["m", "a2"]


@pytest.mark.parametrize(("own", "hops"), [({}, 3), ({"x": 1}, 3), ({HOPS: 1}, 1)])
def test_it_has_come_through_as_many_handlers_as_the_dead_event_unless_it_says_otherwise(
    own: dict[str, HeaderValue], hops: int
) -> None:
    dead = Event(id="a1", source="/t", time=TIME, key="a", type="placed", headers={HOPS: 3, "y": 2})
    fabric = fabric_of(Failing({"a1": 99}), dead, **FEW)
    drained(fabric)
    replacement = Event(id="mended", key="a", type="mended", headers=own)
    dead_letters(fabric).redrive(the_dead_letter(fabric), replacement=replacement)
    fabric.deliver_all()
    assert fabric.recorder.events[-1].headers == {**own, HOPS: hops}
    assert replacement.headers == own
