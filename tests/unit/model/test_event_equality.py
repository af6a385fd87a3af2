"""Equality of events, their representation, and their time to the microsecond."""

from datetime import UTC, datetime
from typing import Any

import pytest

from eventfabric.model import NO_DATA, Event, Kind, Payload, SequenceNumber
from tests.support.memory_fabric import HOME, LANE, lane

TIME_US = 1_700_000_000_000_001


def in_log(**changed: Any) -> Event:
    """An event as the log has it, at sequence 7."""
    good = {
        "id": "1",
        "type": "placed",
        "key": "k",
        "time": TIME_US,
        "source": "/s",
        "headers": {"h": "v"},
        "payload": Payload(Kind.JSON, b"1"),
    }
    place = {"lane": LANE, "sequence": SequenceNumber(7)}
    place.update({name: changed.pop(name) for name in tuple(changed) if name in place})
    return Event.from_log(tuple({**good, **changed}.values()), **place)  # type: ignore[arg-type]  # of any field


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "2"},
        {"type": "paid"},
        {"key": "l"},
        {"time": TIME_US + 1},
        {"source": "/t"},
        {"headers": {}},
        {"payload": NO_DATA},
        {"lane": lane(1)},
        {"sequence": SequenceNumber(8)},
    ],
    ids=str,
)
def test_events_are_one_where_all_of_them_is_the_same(changed: dict[str, Any]) -> None:
    assert in_log() == in_log()
    assert in_log() != in_log(**changed)


def test_an_event_is_nothing_else() -> None:
    assert in_log() != "Event"
    assert in_log().__eq__("Event") is NotImplemented


def test_events_that_are_one_are_one_in_a_set() -> None:
    assert len({in_log(), in_log(), in_log(id="2"), in_log(sequence=SequenceNumber(8))}) == 3
    assert hash(in_log()) == hash(("1", "k", LANE, 7))


def test_an_event_in_the_log_says_where_it_stands_and_that_it_is_not_late() -> None:
    event = in_log()
    assert (event.origin, event.lane, event.sequence) == (HOME, LANE, 7)
    assert (event.later, event.late) == (None, False)
    assert (event.payload, event.data, event.headers) == (Payload(Kind.JSON, b"1"), 1, {"h": "v"})
    event.later = in_log(id="2")
    assert event.late


def test_it_is_shown_with_its_place_once_it_has_one() -> None:
    assert repr(Event(type="placed", key="k'", id="1")) == "Event('placed' '1', 0 bytes)"
    assert repr(in_log()).endswith(", us-east-1/0.0@7)")


@pytest.mark.parametrize(
    ("time", "stored", "text"),
    [
        (datetime(2023, 11, 14, 22, 13, 20, 1, UTC), TIME_US, "2023-11-14T22:13:20.000001+00:00"),
        (datetime(1970, 1, 1, tzinfo=UTC), 0, "1970-01-01T00:00:00+00:00"),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), -1, "1969-12-31T23:59:59.999999+00:00"),
        (
            datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
            253_402_300_799_999_999,
            "9999-12-31T23:59:59.999999+00:00",
        ),
        (
            datetime(8888, 1, 1, 0, 0, 0, 999_999, UTC),
            218_311_027_200_999_999,
            "8888-01-01T00:00:00.999999+00:00",
        ),
    ],
    ids=str,
)
def test_a_time_is_kept_to_the_microsecond_from_the_first_year_to_the_last(
    time: datetime, stored: int, text: str
) -> None:
    event = Event(type="placed", key="k", time=time)
    assert (event.stored_time, event.time, event.time_text) == (stored, time, text)
