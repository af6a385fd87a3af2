from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.moto_support import Aws, assert_moto_still_errs, calls_made_by, mended_moto, plain_moto

FIVE_MINUTES = 300


def two_sends_around_a_delete(aws: Aws, **attributes: str) -> list[str]:
    url = aws.queue(**attributes)
    aws.send(url, "a", once="1")
    aws.drain(url)
    aws.send(url, "a again", once="1")
    return aws.bodies(url)


def test_moto_forgets_the_deduplication_of_a_deleted_message() -> None:
    with plain_moto() as aws:
        assert_moto_still_errs(two_sends_around_a_delete(aws) == ["a again"], "LocalQueue's deduplication")


def test_deduplication_outlives_the_delete_and_names_the_first_message() -> None:
    with mended_moto() as aws:
        url = aws.queue()
        first = aws.send(url, "a", once="1")
        aws.drain(url)
        assert aws.send(url, "a again", once="1") == first
        assert aws.bodies(url) == []


def test_deduplication_ends_after_five_minutes_of_the_local_clock() -> None:
    with mended_moto() as aws:
        url = aws.queue()
        first = aws.send(url, "a", once="1")
        aws.drain(url)
        aws.clock.advance(FIVE_MINUTES - 1)
        assert aws.send(url, "too early", once="1") == first
        aws.clock.advance(1)  # the window runs from the first send, not from the duplicate
        assert aws.send(url, "in time", once="1") != first
        assert aws.bodies(url) == ["in time"]


def test_deduplication_is_per_queue() -> None:
    with mended_moto() as aws:
        left, right = aws.queue("left.fifo"), aws.queue("right.fifo")
        aws.send(left, "a", once="1")
        aws.send(right, "b", once="1")
        assert aws.bodies(right) == ["b"]


def test_content_based_deduplication_compares_bodies_unless_an_id_is_given() -> None:
    with mended_moto() as aws:
        url = aws.queue(ContentBasedDeduplication="true")
        for body in ("a", "b", "a"):
            aws.sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="g")
        aws.send(url, "a", once="other")
        assert aws.bodies(url) == ["a", "b", "a"]


def test_duplicates_within_one_batch_are_dropped() -> None:
    with mended_moto() as aws:
        url = aws.queue()
        entries: Any = [
            {"Id": str(i), "MessageBody": str(i), "MessageGroupId": "g", "MessageDeduplicationId": once}
            for i, once in enumerate("aba")
        ]
        sent = aws.sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]
        assert sent[0]["MessageId"] == sent[2]["MessageId"] != sent[1]["MessageId"]
        assert aws.bodies(url) == ["0", "1"]


def same_id_in_two_groups(aws: Aws) -> list[str]:
    url = aws.queue(DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    aws.send(url, "a", group="1", once="same")
    aws.send(url, "b", group="2", once="same")
    return aws.bodies(url)


def test_moto_ignores_the_group_scope_of_deduplication() -> None:
    with plain_moto() as aws:
        assert_moto_still_errs(same_id_in_two_groups(aws) == ["a"], "LocalQueue's deduplication scope")


def test_deduplication_by_group_lets_two_groups_use_one_id() -> None:
    with mended_moto() as aws:
        assert same_id_in_two_groups(aws) == ["a", "b"]


def received_after_the_whole_batch_timed_out(aws: Aws) -> list[str]:
    url = aws.queue(VisibilityTimeout="30")
    for body in "abc":
        aws.send(url, body)
    assert aws.bodies(url) == ["a", "b", "c"]
    aws.clock.advance(31)
    return aws.bodies(url)


def test_moto_returns_only_the_last_message_of_a_batch_that_timed_out() -> None:
    # Its loop takes each timed-out message out of the pending ones as it comes to it, and so finds the group
    # locked by those that it has not come to yet; only the last finds nobody else.
    with plain_moto() as aws:
        assert_moto_still_errs(received_after_the_whole_batch_timed_out(aws) == ["c"], "LocalQueue's lanes")


def test_a_whole_batch_that_timed_out_comes_back_in_order() -> None:
    with mended_moto() as aws:
        assert received_after_the_whole_batch_timed_out(aws) == ["a", "b", "c"]


def test_a_group_in_flight_hands_out_no_later_message() -> None:
    with mended_moto() as aws:
        url = aws.queue()
        for body in "ab":
            aws.send(url, body)
        (first,) = aws.receive(url, count=1)
        aws.send(url, "other group", group="h")
        assert aws.bodies(url) == ["other group"]
        aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
        assert aws.bodies(url) == ["b"]


def test_a_partly_deleted_batch_keeps_its_group_locked() -> None:
    with mended_moto() as aws:
        url = aws.queue()
        for body in "abc":
            aws.send(url, body)
        first, _second = aws.receive(url, count=2)
        aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
        assert aws.bodies(url) == []


def test_a_visibility_of_zero_brings_the_message_back_at_once_with_its_count() -> None:
    with mended_moto() as aws:
        url = aws.queue()
        for body in "ab":
            aws.send(url, body)
        for message in aws.receive(url):
            aws.sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        again = aws.receive(url)
        assert [m["Body"] for m in again] == ["a", "b"]
        assert {m["Attributes"]["ApproximateReceiveCount"] for m in again} == {"2"}


def test_a_longer_visibility_moves_the_time_of_return() -> None:
    with mended_moto() as aws:
        url = aws.queue(VisibilityTimeout="30")
        aws.send(url, "a")
        (message,) = aws.receive(url)
        aws.sqs.change_message_visibility(
            QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=100
        )
        aws.clock.advance(99)
        assert aws.bodies(url) == []
        aws.clock.advance(1)
        assert aws.bodies(url) == ["a"]


def sequence_numbers(aws: Aws) -> list[str]:
    url = aws.queue()
    for i in range(20):
        aws.send(url, str(i), group=str(i % 3))
    return [m["Attributes"]["SequenceNumber"] for _ in range(2) for m in aws.receive(url)]


def test_moto_gives_random_sequence_numbers() -> None:
    with plain_moto() as aws:
        numbers = sequence_numbers(aws)
        assert_moto_still_errs(numbers != sorted(numbers), "LocalQueue's sequence numbers")


def test_sequence_numbers_rise_within_the_queue() -> None:
    with mended_moto() as aws:
        url = aws.queue()
        numbers = [
            aws.sqs.send_message(
                QueueUrl=url, MessageBody="m", MessageGroupId=str(i % 3), MessageDeduplicationId=str(i)
            )["SequenceNumber"]
            for i in range(20)
        ]
        assert numbers == sorted(set(numbers))
        assert {len(number) for number in numbers} == {20}


def test_a_message_received_too_often_goes_to_the_dead_letter_queue_with_its_group() -> None:
    with mended_moto() as aws:
        letters = aws.queue("letters.fifo")
        arn = aws.sqs.get_queue_attributes(QueueUrl=letters, AttributeNames=["QueueArn"])
        policy = f'{{"deadLetterTargetArn": "{arn["Attributes"]["QueueArn"]}", "maxReceiveCount": "2"}}'
        url = aws.queue(RedrivePolicy=policy, VisibilityTimeout="30")
        aws.send(url, "bad")
        for _ in range(2):
            assert aws.bodies(url) == ["bad"]
            aws.clock.advance(30)
        aws.send(url, "next")
        assert aws.bodies(url) == ["next"]
        (letter,) = aws.receive(letters)
        assert letter["Body"] == "bad"
        assert letter["Attributes"]["MessageGroupId"] == "g"


def delete_with_an_expired_handle(aws: Aws) -> list[str]:
    url = aws.queue(VisibilityTimeout="30")
    aws.send(url, "a")
    (message,) = aws.receive(url)
    aws.clock.advance(31)
    aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return aws.bodies(url)


def test_moto_lets_an_expired_handle_delete_a_fifo_message() -> None:
    with plain_moto() as aws:
        assert_moto_still_errs(delete_with_an_expired_handle(aws) == [], "StaleReceiptHandle on delete")


def test_an_expired_handle_deletes_no_fifo_message() -> None:
    with mended_moto() as aws:
        with pytest.raises(ClientError, match=r"InvalidParameterValue.*handle has expired"):
            delete_with_an_expired_handle(aws)
        assert aws.bodies(aws.queue(VisibilityTimeout="30")) == ["a"]


def test_a_batch_delete_reports_the_expired_handle_alone() -> None:
    with mended_moto() as aws:
        url = aws.queue(VisibilityTimeout="30")
        aws.send(url, "a", group="1")
        (stale,) = aws.receive(url)
        aws.clock.advance(30)
        aws.send(url, "b", group="2")
        fresh = aws.receive(url)[1]
        answer = aws.sqs.delete_message_batch(
            QueueUrl=url,
            Entries=[
                {"Id": "stale", "ReceiptHandle": stale["ReceiptHandle"]},
                {"Id": "fresh", "ReceiptHandle": fresh["ReceiptHandle"]},
            ],
        )
        assert [entry["Id"] for entry in answer["Successful"]] == ["fresh"]
        assert [(e["Id"], e["Code"]) for e in answer["Failed"]] == [("stale", "ReceiptHandleIsInvalid")]


def test_deleting_twice_succeeds_and_a_handle_of_another_queue_does_not() -> None:
    with mended_moto() as aws:
        url = aws.queue()
        aws.send(url, "a")
        (message,) = aws.receive(url)
        for _ in range(2):
            aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        with pytest.raises(ClientError, match="ReceiptHandleIsInvalid"):
            aws.sqs.delete_message(QueueUrl=aws.queue("b.fifo"), ReceiptHandle=message["ReceiptHandle"])


def test_a_standard_queue_delays_hides_counts_and_expires_by_the_local_clock() -> None:
    with mended_moto() as aws:
        url = aws.queue("plain", VisibilityTimeout="30", MessageRetentionPeriod="60")
        aws.sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=10)
        aws.sqs.send_message(QueueUrl=url, MessageBody="now")
        assert aws.bodies(url) == ["now"]
        attributes = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert attributes["ApproximateNumberOfMessages"] == "0"
        assert attributes["ApproximateNumberOfMessagesNotVisible"] == "1"
        assert attributes["ApproximateNumberOfMessagesDelayed"] == "1"
        aws.clock.advance(10)
        assert aws.bodies(url) == ["later"]
        aws.clock.advance(30)
        assert sorted(aws.bodies(url)) == ["later", "now"]
        aws.clock.advance(30)
        assert aws.bodies(url) == []


def test_message_attributes_come_back_as_asked_for() -> None:
    with mended_moto() as aws:
        url = aws.queue("plain")
        text: Any = {"DataType": "String", "StringValue": "x"}
        aws.sqs.send_message(QueueUrl=url, MessageBody="m", MessageAttributes={"a": text, "b": text})
        (message,) = aws.receive(url, MessageAttributeNames=["a"])
        assert set(message["MessageAttributes"]) == {"a"}


def test_a_poll_of_an_empty_queue_lets_others_in_and_sees_what_they_send() -> None:
    with mended_moto() as aws, ThreadPoolExecutor(1) as threads:
        url = aws.queue()
        poll = threads.submit(aws.bodies, url, WaitTimeSeconds=20)
        aws.send(url, "a")
        assert poll.result(timeout=10) == ["a"]


def test_a_poll_ends_when_the_local_clock_has_moved_past_it() -> None:
    with mended_moto() as aws, ThreadPoolExecutor(1) as threads:
        url = aws.queue()
        poll = threads.submit(aws.bodies, url, WaitTimeSeconds=20)
        while not poll.done():
            aws.clock.advance(20)
        assert poll.result() == []


def growth_of_a_send_a_receive_and_a_delete(aws: Aws, *, queued: int) -> float:
    url = aws.queue()

    def cycle() -> None:
        aws.send(url, f"m{next(number)}", group="new")
        (message,) = aws.receive(url, count=1)
        aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    number = iter(range(1_000_000))
    cycle()
    few = calls_made_by(cycle)
    for i in range(queued):
        aws.send(url, str(i), group=str(i % 10))
    return calls_made_by(cycle) / few


def test_moto_slows_down_with_every_message_queued() -> None:
    with plain_moto() as aws:
        growth = growth_of_a_send_a_receive_and_a_delete(aws, queued=100)
        assert_moto_still_errs(growth > 1.5, "LocalQueue, as far as it is there for speed")


def test_a_send_a_receive_and_a_delete_cost_the_same_with_300_messages_queued() -> None:
    with mended_moto() as aws:
        assert growth_of_a_send_a_receive_and_a_delete(aws, queued=300) < 1.1
