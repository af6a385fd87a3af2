"""Strategies for property tests: identifiers, records, cursors, events; all that a fabric may really hold."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

from eventfabric import limits
from eventfabric.model import (
    UNKNOWN_CHAIN,
    BatchId,
    Chain,
    Cursor,
    Event,
    Generation,
    HybridTime,
    Lane,
    LaneIndex,
    LaneKey,
    Note,
    Record,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)

REGIONS = ["us-east-1", "eu-west-1", "ap-southeast-2", "us-gov-west-1"]
names = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)
text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
sequences = st.integers(0, limits.SEQUENCE_MAX - limits.RECORD_EVENTS_MAX).map(SequenceNumber)
chains = st.binary(min_size=16, max_size=16).map(Chain)
lanes = st.builds(
    Lane,
    st.sampled_from(REGIONS).map(Region),
    st.integers(0, 99).map(Generation),
    st.integers(0, limits.LANES_MAX - 1).map(LaneIndex),
)
lane_keys = st.builds(LaneKey, names.map(StreamName), names.map(SubscriptionName), lanes)
types = st.frozensets(text, min_size=1, max_size=5)
records = st.builds(
    Record,
    lane=lanes,
    sequence=sequences,
    count=st.integers(1, limits.RECORD_EVENTS_MAX),
    chain=chains,
    batch_id=st.binary(min_size=16, max_size=16).map(BatchId),
    time=st.integers(0, 2**63 - 1).map(HybridTime),
    types=types,
    payload=st.binary(max_size=200),
    expires_at=st.none() | st.integers(0, 2**40),
    note=st.none() | st.builds(Note, lanes, sequences),
)
cursors = st.builds(
    lambda base, offset, chain, **others: Cursor(SequenceNumber(base + offset), base, chain, **others),
    sequences,
    st.integers(0, limits.RECORD_EVENTS_MAX - 1),
    chains | st.just(UNKNOWN_CHAIN),
    version=st.integers(0, 2**40),
    epoch=st.integers(0, 2**40),
    replay_until=sequences,
    replay_from=sequences,
    began=sequences,
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
header_names = st.from_regex(r"x[a-z0-9]{0,19}", fullmatch=True) | st.sampled_from(
    ["subject", "dataschema", "datacontenttype", "traceparent"]
)
header_values = (
    st.text(st.characters(codec="utf-8"), max_size=20) | st.integers(-(2**31), 2**31 - 1) | st.booleans()
)
headers = st.dictionaries(header_names, header_values, max_size=4)
zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=zones)  # noqa: DTZ001  the zone is drawn
time_texts = st.sampled_from(
    ["2026-11-23T09:47:32Z", "2026-11-23T09:47:32.123456789Z", "1985-04-12T23:20:50.52-08:00"]
)
events = st.builds(
    Event,
    id=text,
    type=text,
    key=text,
    data=json_values | st.binary(max_size=50),
    time=times | time_texts,
    source=text,
    headers=headers,
)
