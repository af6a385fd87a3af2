import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer
from moto.sqs.models import sqs_backends

from eventfabric.testing.local import moto_fixes
from tests.local.moto_support import (
    ABSENT,
    REGION,
    Aws,
    Clock,
    assert_moto_still_errs,
    calls_made_by,
    item,
    mended_moto,
    plain_moto,
)


def test_fixes_are_applied_once_at_a_time_and_taken_back() -> None:
    before = dict(os.environ)
    with moto_fixes.applied(now=Clock()):
        with pytest.raises(RuntimeError, match="applied already"), moto_fixes.applied(now=Clock()):
            pass
        assert os.environ["AWS_ACCOUNT_ID_ENDPOINT_MODE"] == "disabled"
    assert dict(os.environ) == before
    with plain_moto() as aws:
        aws.queue()
        assert type(sqs_backends["123456789012"][REGION].queues["q.fifo"]).__name__ == "Queue"


# -- conditional writes (moto is right: kept as a guard, for the append depends on it) ---------------------------


@pytest.mark.parametrize("operation", ["put_item", "update_item", "delete_item"])
def test_a_failed_condition_returns_the_old_item(operation: str) -> None:
    with mended_moto() as aws:
        aws.table()
        aws.dynamodb.put_item(TableName="t", Item=item(1, "old"))
        key = {"pk": {"S": "p"}, "sk": {"N": "1"}}
        what = {"Item": item(1, "new")} if operation == "put_item" else {"Key": key}
        with pytest.raises(aws.dynamodb.exceptions.ConditionalCheckFailedException) as raised:
            getattr(aws.dynamodb, operation)(
                TableName="t",
                ConditionExpression=ABSENT,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **what,
            )
        response: Any = raised.value.response
        assert response["Item"] == item(1, "old")


# -- streams --------------------------------------------------------------------------------------------------


def records_of_a_write_that_changes_nothing(aws: Aws) -> int:
    aws.table()
    for _ in range(2):
        aws.dynamodb.put_item(TableName="t", Item=item(1))
    return len(aws.records())


def test_moto_records_a_write_that_changes_nothing() -> None:
    with plain_moto() as aws:
        assert_moto_still_errs(records_of_a_write_that_changes_nothing(aws) == 2, "the check in _record")


def test_a_write_that_changes_nothing_is_not_recorded() -> None:
    with mended_moto() as aws:
        assert records_of_a_write_that_changes_nothing(aws) == 1


def records_of_an_update_that_makes_the_item(aws: Aws) -> list[Any]:
    aws.table()
    aws.dynamodb.update_item(
        TableName="t",
        Key={"pk": {"S": "p"}, "sk": {"N": "1"}},
        UpdateExpression="SET v = :v",
        ExpressionAttributeValues={":v": {"S": "new"}},
    )
    return [(r["eventName"], set(r["dynamodb"]["NewImage"])) for r in aws.records()]


def test_moto_records_an_update_that_makes_the_item_twice() -> None:
    with plain_moto() as aws:
        assert_moto_still_errs(len(records_of_an_update_that_makes_the_item(aws)) == 2, "_one_record_an_item")


def test_an_update_that_makes_the_item_is_one_insert() -> None:
    with mended_moto() as aws:
        assert records_of_an_update_that_makes_the_item(aws) == [("INSERT", {"pk", "sk", "v"})]


def items_after_an_update_too_large_for_its_item(aws: Aws) -> int:
    aws.table()
    with pytest.raises(ClientError, match="exceeded the maximum"):
        aws.dynamodb.update_item(
            TableName="t",
            Key={"pk": {"S": "p"}, "sk": {"N": "1"}},
            UpdateExpression="SET v = :v",
            ExpressionAttributeValues={":v": {"S": "x" * 420_000}},
        )
    return len(aws.items()) + len(aws.records())


def test_moto_leaves_half_an_item_behind_an_update_that_failed() -> None:
    with plain_moto() as aws:
        assert_moto_still_errs(
            items_after_an_update_too_large_for_its_item(aws) > 0, "_Writes.update_item's undoing"
        )


def test_an_update_that_failed_leaves_nothing_behind() -> None:
    with mended_moto() as aws:
        assert items_after_an_update_too_large_for_its_item(aws) == 0


def region_of_a_record(aws: Aws) -> str:
    aws.table()
    aws.dynamodb.put_item(TableName="t", Item=item(1))
    return aws.records()[0]["awsRegion"]


def test_moto_says_that_every_record_is_from_us_east_1() -> None:
    with plain_moto() as aws:
        assert_moto_still_errs(region_of_a_record(aws) == "us-east-1", "awsRegion in _record")


def test_a_record_names_its_region_and_follows_the_local_clock() -> None:
    with mended_moto() as aws:
        assert region_of_a_record(aws) == REGION
        written = aws.records()[0]["dynamodb"]["ApproximateCreationDateTime"]
        assert int(written.timestamp()) == int(aws.clock())


def test_moto_does_not_know_account_id_endpoints() -> None:
    with plain_moto() as aws:
        aws.table()
        arn = aws.dynamodb.describe_table(TableName="t")["Table"]["LatestStreamArn"]
        streams = boto3.client("dynamodbstreams", region_name=REGION)
        try:
            streams.describe_stream(StreamArn=arn)
        except ClientError:
            return
        assert_moto_still_errs(False, "AWS_ACCOUNT_ID_ENDPOINT_MODE")


def test_any_client_made_under_the_fixes_reads_streams() -> None:
    with mended_moto() as aws:
        aws.table()
        arn = aws.dynamodb.describe_table(TableName="t")["Table"]["LatestStreamArn"]
        described = boto3.client("dynamodbstreams", region_name=REGION).describe_stream(StreamArn=arn)
        assert described["StreamDescription"]["StreamArn"] == arn


# -- queries ----------------------------------------------------------------------------------------------------


def growth_of_reading_the_newest(aws: Aws) -> float:
    aws.table()

    def newest() -> None:
        answer = aws.dynamodb.query(
            TableName="t",
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": {"S": "p1"}},
            ScanIndexForward=False,
            Limit=1,
        )
        assert len(answer["Items"]) == 1

    aws.fill(4)
    newest()
    few = calls_made_by(newest)
    aws.fill(200, start=2000)
    return calls_made_by(newest) / few


def test_moto_reads_the_newest_item_more_slowly_the_more_there_are() -> None:
    with plain_moto() as aws:
        assert_moto_still_errs(growth_of_reading_the_newest(aws) > 2, "OrderedPartition")


def test_the_newest_item_is_read_at_a_constant_cost() -> None:
    with mended_moto() as aws:
        assert growth_of_reading_the_newest(aws) < 1.1


CONDITIONS: dict[str, Callable[[int], bool]] = {
    "pk = :p": lambda sk: True,
    "pk = :p AND sk = :a": lambda sk: sk == 3,
    "pk = :p AND sk > :a": lambda sk: sk > 3,
    "pk = :p AND sk >= :a": lambda sk: sk >= 3,
    "pk = :p AND sk < :a": lambda sk: sk < 3,
    "pk = :p AND sk <= :a": lambda sk: sk <= 3,
    "pk = :p AND sk BETWEEN :a AND :b": lambda sk: 3 <= sk <= 12,
}


def all_pages(aws: Aws, condition: str, *, forward: bool, page: int | None) -> list[int]:
    values = {":p": {"S": "p"}, ":a": {"N": "3"}, ":b": {"N": "12"}}
    used: Any = {name: value for name, value in values.items() if name in condition}
    sequences: list[int] = []
    more: dict[str, Any] = {"Limit": page} if page else {}
    while True:
        answer = aws.dynamodb.query(
            TableName="t",
            KeyConditionExpression=condition,
            ExpressionAttributeValues=used,
            ScanIndexForward=forward,
            **more,
        )
        sequences += [int(i["sk"]["N"]) for i in answer["Items"]]
        if "LastEvaluatedKey" not in answer:
            return sequences
        more["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def test_a_query_page_by_page_finds_what_its_condition_says() -> None:
    with mended_moto() as aws:
        aws.table()
        keys = [10, 3, -5, 0, 12, 4, 100]
        for sk in [*keys, 7]:
            aws.dynamodb.put_item(TableName="t", Item=item(sk))
        aws.dynamodb.delete_item(TableName="t", Key={"pk": {"S": "p"}, "sk": {"N": "7"}})
        for condition, forward, page in itertools.product(CONDITIONS, (True, False), (1, 2, None)):
            expected = sorted(filter(CONDITIONS[condition], keys), reverse=not forward)
            assert all_pages(aws, condition, forward=forward, page=page) == expected, condition


# -- the server ---------------------------------------------------------------------------------------------------


def test_the_fixes_hold_in_the_server_too() -> None:
    clock = Clock()
    with moto_fixes.applied(now=clock):
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        try:
            host, port = server.get_host_and_port()
            sqs = boto3.client(
                "sqs",
                region_name=REGION,
                endpoint_url=f"http://{host}:{port}",
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
            url = sqs.create_queue(QueueName="q.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
            sends: Any = {"QueueUrl": url, "MessageBody": "a", "MessageGroupId": "g"}
            with ThreadPoolExecutor(1) as threads:
                poll = threads.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
                first = sqs.send_message(**sends, MessageDeduplicationId="1")["MessageId"]
                assert poll.result(timeout=10)["Messages"][0]["MessageId"] == first
            clock.advance(30)
            assert len(sqs.receive_message(QueueUrl=url)["Messages"]) == 1
            assert sqs.send_message(**sends, MessageDeduplicationId="1")["MessageId"] == first
        finally:
            server.stop()
