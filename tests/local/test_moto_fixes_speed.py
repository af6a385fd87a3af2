"""Look-ups of moto are remembered, and come out the same; polls of what is empty make no request."""

from collections.abc import Iterator
from typing import Any

import pytest
from moto import backend_index
from moto.core.serialize import AttributePickerContext, XFormedAttributePicker
from moto.core.utils import get_service_model
from moto.sqs.models import sqs_backends

from eventfabric.testing.local.moto_fixes.remembered import USED, names_in_a_dictionary
from eventfabric.testing.local.moto_fixes.unread import may_hold_messages, progress_of
from tests.local.moto_support import (
    REGION,
    Aws,
    assert_moto_still_errs,
    calls_made_by,
    item,
    mended_moto,
    plain_moto,
)

CALLS_OF_A_READ_MAX = 3_000
DEPTH = 4
"""How deep answers are looked at: values in values of DynamoDB have no end."""


def read_twice(aws: Aws) -> int:
    """Read an item, and return how many functions a second read calls."""
    aws.table()
    aws.dynamodb.put_item(TableName="t", Item=item(1))

    def read() -> object:
        return aws.dynamodb.get_item(TableName="t", Key={"pk": {"S": "p"}, "sk": {"N": "1"}})

    read()
    return calls_made_by(read)


def test_plain_moto_works_out_names_methods_and_urls_for_each_request() -> None:
    with plain_moto() as aws:
        assert_moto_still_errs(read_twice(aws) > 1.2 * CALLS_OF_A_READ_MAX, "remembered.py")


def test_a_request_works_out_nothing_that_the_one_before_worked_out() -> None:
    with mended_moto() as aws:
        assert read_twice(aws) <= CALLS_OF_A_READ_MAX


def query_of_nothing(aws: Aws, others: int) -> int:
    """Query a partition without items in a table with others, and return how many functions that calls."""
    aws.table()
    for number in range(others):
        aws.dynamodb.put_item(TableName="t", Item=item(number))

    def query() -> None:
        answer = aws.dynamodb.query(
            TableName="t",
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": {"S": "nobody"}},
        )
        assert answer["Items"] == []

    query()
    return calls_made_by(query)


def test_plain_moto_sorts_a_whole_table_to_find_no_item() -> None:
    with plain_moto() as aws:
        assert_moto_still_errs(query_of_nothing(aws, 60) > 1.5 * CALLS_OF_A_READ_MAX, "dynamodb_reads.py")


def test_a_query_that_finds_nothing_costs_the_same_in_every_table() -> None:
    counts = []
    for others in (3, 60):
        with mended_moto() as aws:
            counts.append(query_of_nothing(aws, others))
    assert counts[1] - counts[0] < 30


def members(shape: Any, depth: int = DEPTH) -> Iterator[tuple[str, Any]]:
    """Yield every member of a structure and of all that it holds, as moto walks them."""
    match shape.type_name:
        case "structure":
            for key, member in shape.members.items():
                member.parent = shape
                yield key, member
                yield from members(member, depth - 1) if depth else ()
        case "list":
            yield from members(shape.member, depth)
        case "map":
            yield from members(shape.value, depth)


@pytest.mark.parametrize("service", USED)
def test_the_names_under_which_a_member_is_looked_for_are_motos_own(service: str) -> None:
    picker, model = XFormedAttributePicker(), get_service_model(service)
    looked_at = 0
    for name in model.operation_names:
        answer = model.operation_model(name).output_shape
        for key, shape in members(answer) if answer is not None else ():
            of_moto = picker.get_possible_keys(AttributePickerContext({}, key, shape))
            assert list(dict.fromkeys(of_moto)) == list(names_in_a_dictionary(picker, key, shape))
            looked_at += 1
    assert looked_at > 20


@pytest.mark.parametrize("service", USED)
@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1"])
def test_services_of_a_fabric_are_looked_at_first_and_found_as_before(service: str, region: str) -> None:
    host = {"dynamodbstreams": "streams.dynamodb"}.get(service, service)
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    url = f"https://{host}.{region}.{suffix}/"

    def matching_names() -> list[str]:
        return [name for name, pattern in backend_index.backend_url_patterns if pattern.match(url)]

    plain = matching_names()
    with mended_moto():
        assert {name for name, _ in backend_index.backend_url_patterns[: len(USED)]} <= {*USED}
        assert matching_names()[0] == plain[0]


def test_a_queue_without_messages_is_known_to_have_none() -> None:
    with mended_moto() as aws:
        url = aws.queue()
        assert not may_hold_messages("q.fifo", REGION)
        aws.sqs.send_message(QueueUrl=url, MessageBody="a", MessageGroupId="g", MessageDeduplicationId="1")
        assert may_hold_messages("q.fifo", REGION)
        (message,) = aws.sqs.receive_message(QueueUrl=url)["Messages"]
        assert may_hold_messages("q.fifo", REGION)  # in flight: it may come back
        aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        assert not may_hold_messages("q.fifo", REGION)


def test_a_queue_that_this_process_does_not_know_may_hold_messages() -> None:
    with mended_moto():
        assert may_hold_messages("elsewhere.fifo", REGION)
    with plain_moto() as aws:
        aws.queue()
        assert type(sqs_backends["123456789012"][REGION].queues["q.fifo"]).__name__ == "Queue"
        assert may_hold_messages("q.fifo", REGION)


def test_a_stream_has_come_further_with_each_change_and_with_a_new_table() -> None:
    with mended_moto() as aws:
        assert progress_of("t", REGION) is None
        aws.table()
        first = progress_of("t", REGION)
        aws.dynamodb.put_item(TableName="t", Item=item(1))
        second = progress_of("t", REGION)
        assert first is not None
        assert second is not None
        assert first != second == progress_of("t", REGION)
        aws.dynamodb.delete_table(TableName="t")
        assert progress_of("t", REGION) is None
        aws.table()
        assert progress_of("t", REGION) not in (None, first)
