"""Refusals of a commit's single actions: which of them are a handler's, and which are the fabric's own."""

import pytest

from eventfabric.errors import PortError, StateRefusedError, ThrottledError
from eventfabric.model import (
    EMPTY_TAIL,
    START,
    LaneKey,
    Region,
    StreamName,
    SubscriptionName,
    Write,
    WriteRefused,
    record_at,
)
from eventfabric.wire.ledger_commit import CommitRequest
from eventfabric.wire.service_errors import Refusal
from tests.support.memory_fabric import LANE, batch_of, event

NONE = Refusal("None")
TOO_LARGE = Refusal("ItemCollectionSizeLimitExceeded", "as DynamoDB says")
FAILED = Refusal("ConditionalCheckFailed", "without the item that is there")


def request() -> CommitRequest:
    """A commit of a record, a handler's write, and the cursor."""
    record = record_at(EMPTY_TAIL, LANE, batch_of([event("a")], bytes(16)), now_ms=0, retention_seconds=None)
    return CommitRequest(
        "ledger",
        LaneKey(StreamName("orders"), SubscriptionName("billing"), LANE),
        Region("eu-central-1"),
        START,
        START,
        parked=(),
        settled=(),
        token=bytes(16),
        now_ms=0,
        writes=[Write("Put", {"TableName": "effects", "Item": {"id": {"S": "a"}}})],
        records=[("invoices", record)],
    )


@pytest.mark.parametrize(
    ("refusals", "raised"),
    [
        ([TOO_LARGE, NONE, NONE], StateRefusedError),
        ([TOO_LARGE, TOO_LARGE, NONE], StateRefusedError),
        ([NONE, NONE, TOO_LARGE], StateRefusedError),
        ([FAILED, NONE, NONE], ThrottledError),
        ([FAILED, TOO_LARGE, NONE], ThrottledError),
    ],
)
def test_what_the_fabric_writes_itself_is_blamed_on_no_write(
    refusals: list[Refusal], raised: type[PortError]
) -> None:
    with pytest.raises(raised):
        request().outcome(refusals)


def test_a_handlers_write_is_named_by_its_own_index() -> None:
    outcome = request().outcome([NONE, TOO_LARGE, NONE])
    assert outcome == WriteRefused(0, TOO_LARGE.code, TOO_LARGE.message)
