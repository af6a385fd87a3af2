"""Identifiers: lanes, the lane of a key, and UUIDv7."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfabric.limits import LANES_MAX
from eventfabric.model import Lane, lane_index, parse_place, uuid7_prefix, uuid7_suffixes
from tests.support.strategies import lanes, text

RANDOM = st.binary(min_size=10, max_size=10)
MILLISECONDS = st.integers(0, 2**48 - 1)
LANE_COUNTS = [2**power for power in range(LANES_MAX.bit_length())]


@given(lanes)
def test_a_lane_comes_back_from_its_text_as_it_was(lane: Lane) -> None:
    assert Lane.parse(str(lane)) == lane
    assert str(lane) == f"{lane.origin}/{lane.local}"


@pytest.mark.parametrize(
    "wrong",
    ["", "/", "us-east-1", "us-east-1/", "us-east-1/0", "us-east-1/.1", "/0.1", "us-east-1/0.-1", "a/0.1.2"],
)
def test_text_that_is_no_lane_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="not a lane"):
        Lane.parse(wrong)


@given(text, st.sampled_from(LANE_COUNTS[:-1]))
def test_doubling_the_lanes_splits_each_lane_into_its_two_halves(key: str, lanes_count: int) -> None:
    index = lane_index(key, lanes_count)
    assert 0 <= index < lanes_count
    assert lane_index(key, 2 * lanes_count) in (2 * index, 2 * index + 1)


def test_keys_spread_evenly_over_the_lanes() -> None:
    keys, lanes_count = 64_000, 64
    counts = [0] * lanes_count
    for number in range(keys):
        counts[lane_index(f"order-{number}", lanes_count)] += 1
    mean = keys / lanes_count
    assert max(counts) < 1.2 * mean
    assert min(counts) > 0.8 * mean


def test_the_lane_of_a_key_never_changes_between_versions() -> None:
    """A change here would break the order of every key that is in flight."""
    assert [lane_index(key, 4096) for key in ("order-1", "order-2", "Straße", "🦉")] == LANES_FOR_EVER


LANES_FOR_EVER = [601, 305, 1006, 698]


@given(MILLISECONDS, RANDOM)
def test_a_uuid7_holds_the_time_and_the_bits_that_say_what_it_is(unix_ms: int, random: bytes) -> None:
    for suffix in uuid7_suffixes(random):
        text = uuid7_prefix(unix_ms) + suffix
        parsed = UUID(text)
        assert text == str(parsed)
        assert (parsed.version, parsed.variant) == (7, "specified in RFC 4122")
        assert parsed.int >> 80 == unix_ms


@given(MILLISECONDS, MILLISECONDS)
def test_uuid7s_sort_by_time(one_ms: int, other_ms: int) -> None:
    if one_ms < other_ms:
        assert uuid7_prefix(one_ms) < uuid7_prefix(other_ms)


@given(RANDOM)
def test_the_suffixes_of_a_block_differ_and_sort_as_they_are_taken_from_its_end(random: bytes) -> None:
    suffixes = uuid7_suffixes(random)
    assert sorted(set(suffixes), reverse=True) == suffixes
    assert len(suffixes) == 256


@given(st.integers(0, 65))
def test_66_of_the_random_bits_reach_the_uuid(bit: int) -> None:
    used = bit + 4 if bit < 62 else bit + 14
    assert uuid7_suffixes(bytes(10)) != uuid7_suffixes((1 << used).to_bytes(10, "big"))


@pytest.mark.parametrize("text", ["us-east-1/0.17@42", "eu-west-1/0.0@0", "@us-east-1/orders@3"])
def test_a_place_is_read_as_it_is_written(text: str) -> None:
    place = parse_place(text)
    assert place is not None
    assert f"{place[0]}@{place[1]}" == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a@b.c",
        "us-east-1/0.17",
        "us-east-1/0.17@",
        "us-east-1/0.17@-1",
        "us-east-1@4",
        "us-east-1/0.17@²",
        "us-east-1/0.17@" + "9" * 5000,
    ],
)
def test_what_is_no_place_may_be_an_id(text: str) -> None:
    assert parse_place(text) is None
