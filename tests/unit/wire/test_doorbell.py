"""The doorbell's message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfabric.errors import UndecodableMessageError
from eventfabric.model import Doorbell, Generation, Lane, LaneIndex, Region, SequenceNumber, StreamName
from eventfabric.wire.doorbell import from_body, to_body
from tests.support.strategies import lanes, names, sequences

doorbells = st.builds(Doorbell, names.map(StreamName), lanes, sequences)
BELL = Doorbell(
    StreamName("orders"), Lane(Region("us-east-1"), Generation(0), LaneIndex(7)), SequenceNumber(41)
)


@given(doorbells)
def test_a_doorbell_comes_back_from_its_body_as_it_was(doorbell: Doorbell) -> None:
    assert from_body(to_body(doorbell)) == doorbell


@given(doorbells)
def test_what_the_queue_sees_of_a_doorbell_is_within_the_bounds_of_sqs(doorbell: Doorbell) -> None:
    for value in (doorbell.group, doorbell.deduplication_id):
        assert 0 < len(value) <= 128
        assert all(" " < character <= "~" for character in value)


def test_the_message_is_the_letter_of_the_design() -> None:
    assert to_body(BELL) == '{"stream":"orders","origin":"us-east-1","lane":"0.7","tail":41}'
    assert (BELL.group, BELL.deduplication_id) == ("us-east-1/0.7", "us-east-1/0.7@41")


def test_a_later_ring_is_another_message_of_the_same_lane() -> None:
    again = Doorbell(BELL.stream, BELL.lane, BELL.tail, again=29_000_000)
    assert from_body(to_body(again)) == again
    assert again.group == BELL.group
    assert again.deduplication_id != BELL.deduplication_id


@pytest.mark.parametrize(
    "body",
    [
        "",
        "ring",
        "[]",
        "{}",
        '{"stream":"orders","origin":"us-east-1","lane":"0.7"}',
        '{"stream":"orders","origin":"us-east-1","lane":"0.7","tail":"41"}',
        '{"stream":"orders","origin":"us-east-1","lane":"0.7","tail":-1}',
        '{"stream":"orders","origin":"","lane":"0.7","tail":1}',
        '{"stream":"orders","origin":"us-east-1","lane":"07","tail":1}',
        '{"stream":"orders","origin":"us-east-1","lane":"0.-7","tail":1}',
        '{"stream":"orders","origin":"us-east-1","lane":".","tail":1}',
        '{"stream":7,"origin":"us-east-1","lane":"0.7","tail":1}',
        '{"stream":"orders","origin":"us-east-1","lane":"0.7","tail":9007199254740992}',
        '{"stream":"orders","origin":"us-east-1","lane":"0.7","tail":1,"again":-1}',
        '{"stream":"orders","origin":"us-east-1","lane":"0.4096","tail":1}',
        '{"stream":"orders","origin":"us-east-1","lane":"0.\u0667","tail":1}',
        '{"stream":"orders","origin":"us-east-1","lane":"' + "9" * 200 + '.7","tail":1}',
        '{"stream":"","origin":"us-east-1","lane":"0.7","tail":1}',
        '{"more":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"Type":"Notification","Message":"hello"}',
    ],
)
def test_a_body_that_is_no_doorbell_is_refused(body: str) -> None:
    with pytest.raises(UndecodableMessageError, match="not a doorbell"):
        from_body(body)


def test_fields_of_a_later_version_are_left_alone() -> None:
    assert from_body(to_body(BELL)[:-1] + ',"more":1}') == BELL
