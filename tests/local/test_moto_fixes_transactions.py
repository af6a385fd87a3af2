from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.dynamodb.models.dynamo_type import Item

from tests.local.moto_support import ABSENT, Aws, assert_moto_still_errs, item, mended_moto, plain_moto

TEN_MINUTES = 600


def put(sk: int, value: str = "v", **more: Any) -> Any:
    return {"Put": {"TableName": "t", "Item": item(sk, value), **more}}


def cancelled_transaction(aws: Aws) -> list[Any]:
    """A put that works, then one whose condition fails; returns the reasons."""
    aws.table()
    aws.dynamodb.put_item(TableName="t", Item=item(1, "old"))
    refused = put(1, "new", ConditionExpression=ABSENT, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    with pytest.raises(aws.dynamodb.exceptions.TransactionCanceledException) as raised:
        aws.dynamodb.transact_write_items(TransactItems=[put(0), refused])
    reasons: list[Any] = raised.value.response["CancellationReasons"]
    return reasons


def items_copied_by_a_transaction(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> int:
    aws.table()
    aws.fill(50)
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
        writes: Any = [put(0, "phantom"), refused]
        aws.dynamodb.transact_write_items(TransactItems=writes)
    aws.dynamodb.put_item(TableName="t", Item=item(1, "real"))
    return [record["dynamodb"]["NewImage"]["v"]["S"] for record in aws.records(iterator)]


def test_moto_leaves_a_phantom_record_and_a_stale_shard_behind_a_cancelled_transaction() -> None:
    with plain_moto() as aws:
        seen = records_seen_by_an_iterator_held_over_a_cancelled_transaction(aws)
        assert_moto_still_errs(seen == ["phantom"], "_Writes' undoing")


def test_a_cancelled_transaction_leaves_no_trace_in_the_stream() -> None:
    with mended_moto() as aws:
        assert records_seen_by_an_iterator_held_over_a_cancelled_transaction(aws) == ["real"]


def test_a_cancelled_transaction_leaves_the_items_and_returns_the_old_one() -> None:
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
