import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.dynamodb.models.dynamo_type import Item
from moto.server import ThreadedMotoServer
from moto.sqs.models import sqs_backends

from eventfabric.local import moto_fixes
from tests.local.moto_support import (
    REGION,
    Aws,
    Clock,
    assert_moto_still_errs,
    calls_made_by,
    mended_moto,
    plain_moto,
)

TEN_MINUTES = 600
ABSENT = "attribute_not_exists(pk)"


def item(sk: int, value: str = "v", pk: str = "p") -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"N": str(sk)}, "v": {"S": value}, "b": {"B": b"\x00\xff"}}


def put(sk: int, value: str = "v", **more: Any) -> Any:
    return {"Put": {"TableName": "t", "Item": item(sk, value), **more}}


def fill(aws: Aws, count: int, start: int = 1000) -> None:
    for i in range(count):
        aws.dynamodb.put_item(TableName="t", Item=item(start + i, pk=f"p{i % 2}"))


def cancelled_transaction(aws: Aws) -> list[Any]:
    """A put that works, then one whose condition fails; returns the reasons."""
    aws.table()
    aws.dynamodb.put_item(TableName="t", Item=item(1, "old"))
    refused = put(1, "new", ConditionExpression=ABSENT, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    with pytest.raises(aws.dynamodb.exceptions.TransactionCanceledException) as raised:
        aws.dynamodb.transact_write_items(TransactItems=[put(0), refused])
    reasons: list[Any] = raised.value.response["CancellationReasons"]
    return reasons


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


# -- transactions -------------------------------------------------------------------------------------------


def items_copied_by_a_transaction(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> int:
    aws.table()
    fill(aws, 50)
    copied = []
    plain_copy = Item.__deepcopy__

    def counting_copy(self: Item, memo: dict[int, Any]) -> Item:
        copied.append(self)
        return plain_copy(self, memo)

    monkeypatch.setattr(Item, "__deepcopy__", counting_copy)
    aws.dynamodb.transact_write_items(TransactItems=[put(1), put(2)])
    return len(copied)


def test_moto_copies_the_whole_table_for_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    with plain_moto() as aws:
        assert_moto_still_errs(items_copied_by_a_transaction(aws, monkeypatch) >= 50, "_tables_not_copied")


def test_a_transaction_copies_only_what_it_touches(monkeypatch: pytest.MonkeyPatch) -> None:
    with mended_moto() as aws:
        assert items_copied_by_a_transaction(aws, monkeypatch) <= 2


def records_seen_by_an_iterator_held_over_a_cancelled_transaction(aws: Aws) -> list[str]:
    aws.table()
    iterator = aws.iterator("LATEST")
    refused = {
        "ConditionCheck": {
            "TableName": "t",
            "Key": {"pk": {"S": "p"}, "sk": {"N": "9"}},
            "ConditionExpression": "attribute_exists(pk)",
        }
    }
    with pytest.raises(aws.dynamodb.exceptions.TransactionCanceledException):
        aws.dynamodb.transact_write_items(TransactItems=[put(0, "phantom"), refused])  # type: ignore[list-item]
    aws.dynamodb.put_item(TableName="t", Item=item(1, "real"))
    return [record["dynamodb"]["NewImage"]["v"]["S"] for record in aws.records(iterator)]


def test_moto_leaves_a_phantom_record_and_a_stale_shard_behind_a_cancelled_transaction() -> None:
    with plain_moto() as aws:
        seen = records_seen_by_an_iterator_held_over_a_cancelled_transaction(aws)
        assert_moto_still_errs(seen == ["phantom"], "_Writes' undoing")


def test_a_cancelled_transaction_leaves_no_trace_in_the_stream() -> None:
    with mended_moto() as aws:
        assert records_seen_by_an_iterator_held_over_a_cancelled_transaction(aws) == ["real"]


def test_a_cancelled_transaction_leaves_the_items_and_tells_the_old_one() -> None:
    with mended_moto() as aws:
        reasons = cancelled_transaction(aws)
        assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed"]
        assert reasons[1]["Item"] == item(1, "old")
        assert aws.items() == {("p", 1): "old"}


def test_a_cancelled_transaction_takes_back_updates_and_deletes() -> None:
    with mended_moto() as aws:
        aws.table()
        for sk in (1, 2):
            aws.dynamodb.put_item(TableName="t", Item=item(sk, "old"))
        key = {"pk": {"S": "p"}}
        update: Any = {
            "TableName": "t",
            "Key": {**key, "sk": {"N": "1"}},
            "UpdateExpression": "SET v = :v",
            "ExpressionAttributeValues": {":v": {"S": "new"}},
        }
        made: Any = {**update, "Key": {**key, "sk": {"N": "3"}}}
        delete: Any = {"TableName": "t", "Key": {**key, "sk": {"N": "2"}}}
        refused = put(4, ConditionExpression="attribute_exists(pk)")
        with pytest.raises(aws.dynamodb.exceptions.TransactionCanceledException):
            aws.dynamodb.transact_write_items(
                TransactItems=[{"Update": update}, {"Update": made}, {"Delete": delete}, refused]
            )
        assert aws.items() == {("p", 1): "old", ("p", 2): "old"}
        assert len(aws.records()) == 2


def test_two_operations_on_one_item_are_refused_without_effect() -> None:
    with mended_moto() as aws:
        aws.table()
        with pytest.raises(ClientError, match=r"ValidationException.*multiple operations on one item"):
            aws.dynamodb.transact_write_items(TransactItems=[put(1), put(1, "other")])
        assert aws.items() == {}


def token_used_twice(aws: Aws) -> dict[tuple[str, int], str | None]:
    aws.table()
    once = [put(1, "first", ConditionExpression=ABSENT)]
    aws.dynamodb.transact_write_items(TransactItems=once, ClientRequestToken="token")
    aws.dynamodb.transact_write_items(TransactItems=once, ClientRequestToken="token")
    return aws.items()


def test_moto_ignores_the_client_request_token() -> None:
    with plain_moto() as aws:
        try:
            token_used_twice(aws)
        except aws.dynamodb.exceptions.TransactionCanceledException:
            return
        assert_moto_still_errs(False, "_Tokens")


def test_a_token_used_again_succeeds_without_effect() -> None:
    with mended_moto() as aws:
        assert token_used_twice(aws) == {("p", 1): "first"}
        assert len(aws.records()) == 1


def test_a_token_used_again_for_something_else_is_refused() -> None:
    with mended_moto() as aws:
        token_used_twice(aws)
        with pytest.raises(aws.dynamodb.exceptions.IdempotentParameterMismatchException):
            aws.dynamodb.transact_write_items(TransactItems=[put(2)], ClientRequestToken="token")


def test_a_token_is_forgotten_after_ten_minutes() -> None:
    with mended_moto() as aws:
        token_used_twice(aws)
        aws.clock.advance(TEN_MINUTES)
        aws.dynamodb.transact_write_items(TransactItems=[put(2)], ClientRequestToken="token")
        assert set(aws.items()) == {("p", 1), ("p", 2)}


def test_a_token_of_a_cancelled_transaction_may_be_tried_again() -> None:
    with mended_moto() as aws:
        aws.table()
        wanted = [put(1, ConditionExpression="attribute_exists(pk)")]
        with pytest.raises(aws.dynamodb.exceptions.TransactionCanceledException):
            aws.dynamodb.transact_write_items(TransactItems=wanted, ClientRequestToken="token")
        aws.dynamodb.put_item(TableName="t", Item=item(1, "there"))
        aws.dynamodb.transact_write_items(TransactItems=wanted, ClientRequestToken="token")
        assert aws.items() == {("p", 1): "v"}


def transaction_of_more_than_4_mb(aws: Aws) -> None:
    aws.table()
    aws.dynamodb.transact_write_items(TransactItems=[put(sk, "x" * 390_000) for sk in range(11)])


def test_moto_has_no_size_limit_for_transactions() -> None:
    with plain_moto() as aws:
        try:
            transaction_of_more_than_4_mb(aws)
        except ClientError:
            assert_moto_still_errs(False, "the 4 MB limit")


def test_a_transaction_of_more_than_4_mb_is_refused() -> None:
    with mended_moto() as aws, pytest.raises(ClientError, match=r"ValidationException.*4 MB"):
        transaction_of_more_than_4_mb(aws)


def test_transactions_of_many_threads_lose_no_update() -> None:
    with mended_moto() as aws:
        aws.table()
        count: Any = {
            "TableName": "t",
            "Key": {"pk": {"S": "p"}, "sk": {"N": "0"}},
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
        with ThreadPoolExecutor(4) as threads:
            for done in [
                threads.submit(aws.dynamodb.transact_write_items, TransactItems=[{"Update": count}])
                for _ in range(40)
            ]:
                done.result()
        assert aws.dynamodb.get_item(TableName="t", Key=count["Key"])["Item"]["n"] == {"N": "40"}


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
        assert raised.value.response["Item"] == item(1, "old")  # type: ignore[typeddict-item]


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
        boto3.client("dynamodbstreams", region_name=REGION).describe_stream(StreamArn=arn)


# -- queries ----------------------------------------------------------------------------------------------------


def growth_of_reading_the_newest(aws: Aws) -> float:
    aws.table()

    def newest() -> None:
        found = aws.dynamodb.query(
            TableName="t",
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": {"S": "p1"}},
            ScanIndexForward=False,
            Limit=1,
        )
        assert len(found["Items"]) == 1

    fill(aws, 4)
    newest()
    few = calls_made_by(newest)
    fill(aws, 200, start=2000)
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
    found: list[int] = []
    more: dict[str, Any] = {"Limit": page} if page else {}
    while True:
        answer = aws.dynamodb.query(
            TableName="t",
            KeyConditionExpression=condition,
            ExpressionAttributeValues=used,
            ScanIndexForward=forward,
            **more,
        )
        found += [int(i["sk"]["N"]) for i in answer["Items"]]
        if "LastEvaluatedKey" not in answer:
            return found
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
