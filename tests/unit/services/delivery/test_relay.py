"""The decisions of services.delivery.relay and of wire.stream_record."""

from typing import Any

import pytest

from eventfabric.errors import UndecodableMessageError
from eventfabric.model import Region, SequenceNumber
from eventfabric.services.delivery.relay import Relay
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.stream import Change
from eventfabric.wire.doorbell import from_body
from eventfabric.wire.stream_record import RecordNews, from_stream_record
from tests.support.memory_fabric import AWAY, HOME, event, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def rung(fabric: SubscribedStream) -> list[tuple[str, int]]:
    bells = [from_body(body) for body in fabric.queue.bodies]
    return [(str(bell.lane), bell.tail) for bell in bells]


def appended(fabric: SubscribedStream, *news: tuple[int, int], region: Region = HOME) -> str | None:
    """Relay a batch that says (lane, tail) to the queues of HOME; its positions are p0, p1 and so on."""
    seen = [RecordNews(f"p{n}", lane(index), SequenceNumber(tail)) for n, (index, tail) in enumerate(news)]
    return Relay(fabric.stream, region=region, ports=fabric.ports(), telemetry=fabric.telemetry).ring(seen)


def test_each_lane_is_rung_once_for_its_highest_tail_in_whatever_order_it_grew() -> None:
    fabric = SubscribedStream()
    assert appended(fabric, (0, 4), (1, 2), (0, 9), (0, 7), (1, 1)) is None
    assert sorted(rung(fabric)) == [(f"{HOME}/0.0", 9), (f"{HOME}/0.1", 2)]
    assert fabric.telemetry.totals[Metric.DOORBELLS_RUNG] == 2


def test_an_empty_batch_rings_nothing() -> None:
    fabric = SubscribedStream()
    assert appended(fabric) is None
    assert rung(fabric) == []


def test_ringing_again_what_was_rung_is_dropped_by_the_queue() -> None:
    fabric = SubscribedStream()
    for _ in range(3):
        appended(fabric, (0, 4))
    assert rung(fabric) == [(f"{HOME}/0.0", 4)]


def test_a_record_that_arrives_behind_those_that_continue_it_is_news_of_its_own() -> None:
    """In a replica, the doorbell for the highest tail may have been answered before that record was there."""
    fabric = SubscribedStream(deliver="everywhere")
    for news in ([9], [9, 7], [7, 9], [9, 7, 8], [6, 7, 8, 9], [9, 8, 7]):
        appended(fabric, *((0, tail) for tail in news), region=AWAY)
    assert rung(fabric) == [(f"{HOME}/0.0", 9)] * 4


def test_at_its_origin_no_record_arrives_behind_those_that_continue_it() -> None:
    fabric = SubscribedStream()
    for news in ([9], [8, 9], [7, 8, 9]):
        appended(fabric, *((0, tail) for tail in news))
    assert rung(fabric) == [(f"{HOME}/0.0", 9)]


@pytest.mark.parametrize(
    ("settings", "rings"),
    [
        ({"deliver": "origin"}, []),
        ({"deliver": "everywhere"}, [(f"{HOME}/0.0", 1)]),
        ({"deliver": "one", "region": AWAY}, [(f"{HOME}/0.0", 1)]),
        ({"deliver": "one", "region": HOME}, []),
    ],
    ids=str,
)
def test_a_region_rings_only_for_lanes_that_it_delivers(
    settings: dict[str, Any], rings: list[tuple[str, int]]
) -> None:
    fabric = SubscribedStream(delivered_in=AWAY, **settings)
    fabric.put(event("a"))
    fabric.cloud.replicate()
    fabric.relay_all()
    assert rung(fabric) == rings
    assert fabric.subscription.name == SUBSCRIPTION


def change_of(fabric: SubscribedStream) -> dict[str, Any]:
    fabric.put(event("a"), event("b"))
    change: Change = fabric.table.stream.changes[-1]
    return change.event()


def test_a_new_record_says_how_far_its_lane_goes() -> None:
    fabric = SubscribedStream()
    change = change_of(fabric)
    (record,) = fabric.log.read(lane(0), SequenceNumber(0), records_max=1).records
    news = RecordNews(
        "000000000000000000001", lane(0), SequenceNumber(2), SequenceNumber(0), record.types, record.time
    )
    assert from_stream_record(change) == news


@pytest.mark.parametrize(("attribute", "field"), [("t", "types"), ("h", "time")])
def test_what_only_tells_if_somebody_wants_a_record_may_be_missing_or_wrong(
    attribute: str, field: str
) -> None:
    for wrong in ({"S": "x"}, {"BOOL": True}, None):
        change = change_of(SubscribedStream())
        change["dynamodb"]["NewImage"][attribute] = wrong
        news = from_stream_record(change)
        assert news is not None
        assert (news.tail, getattr(news, field)) == (2, None)


def test_a_removal_is_no_news() -> None:
    assert from_stream_record({**change_of(SubscribedStream()), "eventName": "REMOVE"}) is None


def test_a_stream_that_shows_keys_only_has_no_news() -> None:
    change = change_of(SubscribedStream())
    del change["dynamodb"]["NewImage"]
    assert from_stream_record(change) is None


@pytest.mark.parametrize("attribute", ["pk", "sk", "n"])
def test_an_image_that_is_no_record_is_refused_as_such(attribute: str) -> None:
    for wrong in ({"S": "x"}, {"BOOL": True}, None):
        change = change_of(SubscribedStream())
        change["dynamodb"]["NewImage"][attribute] = wrong
        with pytest.raises(UndecodableMessageError, match="not a record of the log"):
            from_stream_record(change)
