"""Every error that botocore's models list for the calls that the fabric makes has one meaning, in one table."""

import ast
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.retries.standard import ThrottledRetryableChecker

import eventfabric.aws
from eventfabric.aws.clients import named_failures
from eventfabric.errors import LastingError, OutcomeUnknownError, PortError, RefusedError, ThrottledError
from eventfabric.wire.service_errors import MEANINGS, REASONS, Meaning, meaning_of, meaning_of_reason

BEHIND = {"kms": ("Encrypt", "Decrypt", "GenerateDataKey", "DescribeKey")}
"""Calls that the services make in turn, and whose errors they pass on."""
_session = botocore.session.get_session()


def calls_made() -> set[str]:
    """The names of all methods that the adapters, the command line and the local fabric call on something."""
    root = Path(eventfabric.aws.__file__).parent.parent
    return {
        node.func.attr
        for folder in ("aws", "cli", "sdk", "runtime")
        for file in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }


def operations() -> Iterator[tuple[str, str]]:
    """Service and operation of every call that the fabric makes, and of what stands behind those."""
    made = calls_made()
    for service in ("dynamodb", "sqs", "stepfunctions"):
        for operation in _session.get_service_model(service).operation_names:
            if xform_name(operation) in made:
                yield service, operation
    for service, names in BEHIND.items():
        yield from ((service, name) for name in names)


def test_the_walk_sees_the_calls_that_the_fabric_is_made_of() -> None:
    names = {operation for _, operation in operations()}
    assert {"PutItem", "Query", "TransactWriteItems", "DeleteItem", "GetItem"} <= names
    assert {"SendMessage", "SendMessageBatch", "ChangeMessageVisibilityBatch", "DeleteMessageBatch"} <= names


@pytest.mark.parametrize(("service", "operation"), sorted(operations()))
def test_every_error_of_a_call_has_a_meaning(service: str, operation: str) -> None:
    shapes = _session.get_service_model(service).operation_model(operation).error_shapes
    codes = {shape.metadata.get("error", {}).get("code", shape.name) for shape in shapes}
    codes |= {shape.name for shape in shapes}
    assert codes <= MEANINGS.keys(), f"without a meaning: {sorted(codes - MEANINGS.keys())}"


def failure(code: str, status: int = 400) -> PortError:
    """Return the error that a service's error becomes."""
    answer = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(PortError) as raised, named_failures("put"):
        raise ClientError(answer, "PutItem")  # type: ignore[arg-type]  # as much of an answer as is looked at
    return raised.value


@pytest.mark.parametrize("code", sorted(MEANINGS))
def test_an_error_says_whether_to_try_again_and_whether_it_took_effect(code: str) -> None:
    error, meaning = failure(code), MEANINGS[code]
    assert error.retryable is (meaning in (Meaning.BUSY, Meaning.UNCERTAIN))
    assert error.no_effect is (meaning is not Meaning.UNCERTAIN)
    assert isinstance(error, ThrottledError) is (meaning is Meaning.BUSY)
    assert isinstance(error, OutcomeUnknownError) is (meaning is Meaning.UNCERTAIN)
    assert isinstance(error, RefusedError) is (meaning is not Meaning.UNCERTAIN)
    lasting = (Meaning.DENIED, Meaning.MISSING, Meaning.KEY_UNUSABLE, Meaning.QUOTA)
    assert isinstance(error, LastingError) is (meaning in lasting)
    if isinstance(error, LastingError):
        assert error.cause == meaning.name.lower()
    assert code in str(error)


def test_a_code_that_nobody_knows_is_judged_by_its_status() -> None:
    assert type(failure("Unheard", 400)) is RefusedError
    assert type(failure("Unheard", 500)) is OutcomeUnknownError
    assert type(failure("Unheard", 503)) is OutcomeUnknownError
    assert type(failure("", 0)) is RefusedError
    assert type(failure("Unheard", 429)) is ThrottledError
    assert type(failure("UnheardThrottle")) is ThrottledError
    assert meaning_of_reason("Unheard") is Meaning.REFUSED


def test_every_reason_that_dynamodb_may_give_for_a_statement_has_a_meaning() -> None:
    listed = _session.get_service_model("dynamodb").shape_for("BatchStatementErrorCodeEnum").metadata["enum"]
    assert len(listed) > 8
    assert set(listed) <= REASONS.keys()


def test_what_botocore_retries_as_a_throttle_is_busy() -> None:
    codes: list[str] = vars(ThrottledRetryableChecker)["_THROTTLED_ERROR_CODES"]
    # An earlier try of a transaction in progress may yet take effect; a limit of the services called here lasts.
    others = {"TransactionInProgressException", "LimitExceededException"}
    assert {code for code in codes if meaning_of(code) is not Meaning.BUSY} == others


def test_a_key_that_the_table_may_not_use_is_distinguished_from_a_missing_grant() -> None:
    answer = {"Error": {"Code": "AccessDeniedException", "Message": "KMS key access denied error: disabled"}}
    with pytest.raises(LastingError) as raised, named_failures("put"):
        raise ClientError(answer, "PutItem")  # type: ignore[arg-type]  # as much of an answer as is looked at
    assert raised.value.cause == "key_unusable"


def test_what_a_transaction_is_cancelled_for_means_what_the_error_of_a_single_call_means() -> None:
    pairs = {
        "TransactionConflict": "TransactionConflictException",
        "ProvisionedThroughputExceeded": "ProvisionedThroughputExceededException",
        "ThrottlingError": "ThrottlingException",
        "ConditionalCheckFailed": "ConditionalCheckFailedException",
        "ItemCollectionSizeLimitExceeded": "ItemCollectionSizeLimitExceededException",
        "ValidationError": "ValidationException",
        "AccessDenied": "AccessDeniedException",
    }
    for reason, code in pairs.items():
        assert meaning_of_reason(reason) is meaning_of(code), reason
