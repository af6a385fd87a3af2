"""Published events: what makes two of them one, and the records that they need."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.model import Lane, Region
from eventfabric.wire.payload_codec import Row
from eventfabric.wire.published import NO_ROOMS, Published

LANE = Lane.parse("us-east-1/0.0")
ROW: Row = ("id", "type", "key", 1, "source", {}, 1, b"{}")


def published(number: int = 0, *, type: str = "type", lane: Lane = LANE) -> Published:
    return Published("orders", lane, (str(number), type, *ROW[2:]), 100)


@pytest.mark.parametrize(
    "other",
    [
        Published("invoices", LANE, ROW, 2),
        Published("orders", replace(LANE, origin=Region("eu-west-1")), ROW, 2),
        *(
            Published("orders", LANE, (*ROW[:index], value, *ROW[index + 1 :]), 2)  # type: ignore[arg-type] # one field of the row
            for index, value in ((0, "other"), (1, "other"), (2, "other"), (4, "other"), (6, 2), (7, b"[]"))
        ),
    ],
)
def test_an_event_is_another_by_its_place_id_type_key_source_and_content(other: Published) -> None:
    assert other.digest != Published("orders", LANE, ROW, 2).digest


def test_an_event_is_the_same_whenever_it_was_published() -> None:
    later = (*ROW[:3], 2, *ROW[4:])
    assert Published("orders", LANE, later, 2).digest == Published("orders", LANE, ROW, 2).digest


def test_events_of_a_lane_share_a_record_until_it_is_full_of_them_or_of_types() -> None:
    full = [published(number) for number in range(limits.RECORD_EVENTS_MAX)]
    assert NO_ROOMS.after(full).records == 1
    assert NO_ROOMS.after([*full, published()]).records == 2
    types = [published(type=f"type-{number}") for number in range(limits.RECORD_TYPES_MAX)]
    assert NO_ROOMS.after(types).records == 1
    assert NO_ROOMS.after([*types, published(type="another")]).records == 2
    assert NO_ROOMS.after([published(), published(lane=Lane.parse("us-east-1/0.1"))]).records == 2
