"""Outcomes of a producer's transaction, by the reasons for which it was cancelled."""

import pytest

from eventfabric.errors import RefusedError, ThrottledError
from eventfabric.model import WriteRefused
from eventfabric.wire.outbox_request import outcome_of
from eventfabric.wire.service_errors import Refusal

NONE, FAILED = Refusal("None"), Refusal("ConditionalCheckFailed", "The conditional request failed")
BUSY = [Refusal("TransactionConflict"), Refusal("ThrottlingError"), Refusal("ProvisionedThroughputExceeded")]


@pytest.mark.parametrize("busy", BUSY)
@pytest.mark.parametrize("is_record", [True, False])
def test_a_write_is_not_refused_while_anything_else_of_its_transaction_is_busy(
    busy: Refusal, is_record: bool
) -> None:
    with pytest.raises(ThrottledError):
        outcome_of([busy if is_record else NONE, FAILED, NONE if is_record else busy], 1)


def test_a_write_that_alone_is_refused_is_named_by_its_number() -> None:
    assert outcome_of([NONE, NONE, FAILED], 1) == WriteRefused(1, FAILED.code, FAILED.message)


def test_a_record_that_cannot_be_written_is_nobody_elses_refusal() -> None:
    with pytest.raises(RefusedError, match=r"^append: ItemCollectionSizeLimitExceeded: "):
        outcome_of([Refusal("ItemCollectionSizeLimitExceeded"), NONE], 1)
