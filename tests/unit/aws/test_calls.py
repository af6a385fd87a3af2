"""Calls to a service: a reply is checked for what it must hold, and no call takes longer than it may."""

from contextlib import suppress
from pathlib import Path
from socket import socket
from threading import Event as Flag
from time import monotonic
from tracemalloc import get_traced_memory, start, stop
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

from eventfabric import limits
from eventfabric.aws.calls import UnprovenReplyError
from eventfabric.aws.causes import tell_refusals
from eventfabric.aws.clients import Clients, named_failures, session_for
from eventfabric.aws.doorbells import AwsDoorbells
from eventfabric.aws.log import AwsLog
from eventfabric.aws.system import SystemClock, SystemEntropy
from eventfabric.deadline import call_within, seconds_left
from eventfabric.errors import (
    IndeterminateAppendError,
    LastingError,
    OutcomeUnknownError,
    RefusedError,
    ThrottledError,
)
from eventfabric.model import EMPTY_TAIL, Doorbell, Lane, SequenceNumber, StreamName
from eventfabric.services.publishing.append import Appender
from tests.support.memory_fabric import batch_of, event
from tests.support.messages import raises_with
from tests.support.socket_server import Answer, endpoint, error, reply, request

REGION = "us-east-1"
SESSION = boto3.Session("local", "local")
LANE = Lane.parse(f"{REGION}/0.0")
PUT = {"TableName": "t", "Item": {"pk": {"S": "a"}}}


def clients(url: str) -> Clients:
    return Clients(REGION, session=SESSION, endpoint_url=url)


def put(url: str) -> Any:
    with named_failures("put"):
        return clients(url).dynamodb.put_item(**PUT)  # type: ignore[arg-type]  # a plain dict


def drips(first: bytes) -> Answer:
    """Sends this, and then a byte now and then, for ever."""

    def answer(connection: socket) -> None:
        connection.recv(65536)
        connection.sendall(first)
        connection.settimeout(0.1)
        while True:
            connection.sendall(b"x")
            try:
                if not connection.recv(65536):
                    return
            except TimeoutError:
                continue

    return answer


def reads_slowly(connection: socket) -> None:
    """Takes a few bytes now and then, for longer than any call here may take."""
    for _ in range(30):
        connection.recv(64)
        Flag().wait(0.1)


def test_a_reply_of_the_service_is_returned() -> None:
    with endpoint(reply(b'{"Attributes":{"a":{"S":"1"}}}')) as url:
        assert put(url)["Attributes"] == {"a": {"S": "1"}}


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"<html>Sign in to continue</html>"),
        reply(b"{}", request_id=False),
        reply(b""),
        reply(b"{}", checksum=1),
        reply(b"{}").replace(b"x-amz-crc32", b"x-some-sum"),
        reply(b'{"Attributes":{"a":{"S":"1"}', length=100),
        reply(b'{"Attributes":{}}', length=40),
        reply(b'{"Attributes":1'),
        reply(b'"Attributes":{}}'),
        reply(b"", status=302),
        reply(b"<html>no such page</html>", status=404, request_id=False),
        reply(b'{"__type":"X#ConditionalCheckFailedException"}', status=400, request_id=False),
    ],
    ids=[
        "html",
        "no id",
        "empty",
        "bad sum",
        "no sum",
        "cut",
        "short",
        "no end",
        "no begin",
        "redirect",
        "404 of a proxy",
        "error of a proxy",
    ],
)
def test_what_is_not_the_services_reply_leaves_the_outcome_unknown(answer: bytes) -> None:
    with endpoint(answer) as url, pytest.raises(OutcomeUnknownError):
        put(url)


def test_a_query_without_items_and_a_queue_without_address_are_no_replies() -> None:
    with endpoint(reply(b"{}")) as url:
        made = clients(url)
        with pytest.raises(OutcomeUnknownError), named_failures("query"):
            made.dynamodb.query(TableName="t", KeyConditionExpression="pk = :pk")
        with pytest.raises(BotoCoreError):
            made.sqs.get_queue_url(QueueName="q")


def test_doorbells_are_rung_that_the_reply_names_as_sent_and_no_others() -> None:
    bells = [Doorbell(StreamName("orders"), LANE, SequenceNumber(tail)) for tail in (1, 2, 3)]
    url_of_queue = reply(b'{"QueueUrl":"http://127.0.0.1/q"}')
    sent = reply(b'{"Successful":[{"Id":"1","MessageId":"m","MD5OfMessageBody":"x"}]}')
    with endpoint(url_of_queue, sent) as url:
        doorbells = AwsDoorbells(clients(url).sqs, str, str)
        assert doorbells.ring("all", bells) == [bells[0], bells[2]]


def test_entries_of_a_reply_that_say_nothing_are_doorbells_that_were_not_sent() -> None:
    bells = [Doorbell(StreamName("orders"), LANE, SequenceNumber(tail)) for tail in (1, 2)]
    url_of_queue = reply(b'{"QueueUrl":"http://127.0.0.1/q"}')
    sent = reply(b'{"Successful":[null,{},{"Id":"1"}],"Failed":[null,{},{"Id":"0"}]}')
    with endpoint(url_of_queue, sent) as url:
        client = clients(url).sqs
        tell_refusals(client, print)
        assert AwsDoorbells(client, str, str).ring("all", bells) == [bells[0]]


def test_a_refusal_is_the_services_word() -> None:
    with endpoint(error("ConditionalCheckFailedException")) as url, pytest.raises(ClientError):
        clients(url).dynamodb.put_item(**PUT)  # type: ignore[arg-type]  # a plain dict
    with endpoint(error("ThrottlingException")) as url, pytest.raises(ThrottledError):
        put(url)


def refusals_told(*answers: bytes | Answer) -> list[str]:
    refusals: list[str] = []
    with endpoint(*answers) as url:
        dynamodb = clients(url).dynamodb
        tell_refusals(dynamodb, lambda _cause, _operation, code: refusals.append(code))
        with pytest.raises((ClientError, BotoCoreError)):
            dynamodb.put_item(**PUT)  # type: ignore[arg-type]  # a plain dict
    return refusals


def test_a_refusal_is_reported_if_it_is_the_services_and_whatever_became_of_an_earlier_try() -> None:
    assert refusals_told(error("AccessDeniedException")) == ["AccessDeniedException"]
    assert refusals_told(hangs_up, error("AccessDeniedException")) == ["AccessDeniedException"]
    assert refusals_told(error("AccessDeniedException").replace(b"x-amzn-requestid", b"x-proxy-id")) == []


def hangs_up(connection: socket) -> None:
    connection.recv(65536)


def test_a_throttle_behind_a_try_without_reply_does_not_say_that_nothing_was_written() -> None:
    with endpoint(hangs_up, error("ThrottlingException")) as url, pytest.raises(OutcomeUnknownError):
        put(url)


def test_an_unknown_outcome_names_the_operation_and_the_reason() -> None:
    for answers, reasons in (
        ((hangs_up, error("ThrottlingException")), ["ThrottlingException", "earlier try had no reply"]),
        ((hangs_up, reply(b'{"message":"m"}', status=400)), ["400", "earlier try had no reply"]),
        ((reply(b"<html>"),), ["JSON"]),
        ((reply(b"{}", request_id=False),), ["request id"]),
        ((reply(b"{}", checksum=1),), ["checksum"]),
    ):
        with endpoint(*answers) as url, raises_with(UnprovenReplyError, "PutItem", *reasons):
            clients(url).dynamodb.put_item(**PUT)  # type: ignore[arg-type]  # a plain dict


def test_a_try_that_could_not_connect_leaves_no_doubt_of_a_refusal() -> None:
    with endpoint(error("ThrottlingException")) as url:
        made: Any = clients(url).dynamodb
        context: dict[str, Any] = {}
        for failure in (ConnectTimeoutError(endpoint_url=url), EndpointConnectionError(endpoint_url=url)):
            emit = made.meta.events.emit
            emit("response-received.dynamodb.PutItem", response_dict=None, exception=failure, context=context)
        assert context == {}
        no_word = ReadTimeoutError(endpoint_url=url)
        emit("response-received.dynamodb.PutItem", response_dict=None, exception=no_word, context=context)
        assert list(context.values()) == [True]


def test_a_reply_of_the_queues_has_no_checksum_to_prove() -> None:
    bare = reply(b'{"QueueUrl":"http://127.0.0.1/q"}').replace(b"x-amz-crc32", b"x-some-sum")
    with endpoint(bare) as url:
        assert clients(url).sqs.get_queue_url(QueueName="q")["QueueUrl"] == "http://127.0.0.1/q"


def test_an_endpoint_on_this_machine_needs_no_credentials_and_a_profile_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (tmp_path / "config").write_text("[profile mine]\nregion = eu-west-1\n")
    for host in ("127.0.0.1", "localhost", "[::1]"):
        local: Any = session_for(f"http://{host}:1", profile="mine")
        held = local.get_credentials()
        assert (held.access_key, held.secret_key, local.region_name) == ("local", "local", "eu-west-1")
    for elsewhere in ("https://dynamodb.eu-west-1.amazonaws.com", None):
        assert session_for(elsewhere, profile="mine").get_credentials() is None


def test_a_failed_condition_behind_a_try_without_reply_says_what_stands_there() -> None:
    with endpoint(hangs_up, error("ConditionalCheckFailedException")) as url, pytest.raises(ClientError):
        clients(url).dynamodb.put_item(**PUT)  # type: ignore[arg-type]  # a plain dict


@pytest.mark.parametrize(
    "answer",
    [drips(b""), drips(b"HTTP/1.1 200 OK\r\nx-y: "), drips(reply(b"{", length=1 << 20)), reads_slowly],
    ids=["status", "header", "body", "request"],
)
def test_a_peer_that_drips_does_not_hold_a_call_past_its_time(answer: Answer) -> None:
    item: Any = {"pk": {"S": "a"}, "d": {"B": bytes(16_000_000 if answer is reads_slowly else 1)}}
    with endpoint(answer) as url:
        dynamodb, began = clients(url).dynamodb, monotonic()
        with pytest.raises(OutcomeUnknownError), named_failures("put"):
            call_within(0.6, lambda: dynamodb.put_item(TableName="t", Item=item))
        assert monotonic() - began < 0.6 + 1.5


def keeps_silent(connection: socket) -> None:
    connection.recv(65536)
    connection.settimeout(20)
    with suppress(OSError):
        connection.recv(1)  # until the client hangs up


@pytest.mark.parametrize("answer", [keeps_silent, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"])
def test_a_read_has_its_own_time_out_within_that_of_the_call(answer: bytes | Answer) -> None:
    config, began = Config(read_timeout=0.2, retries={"total_max_attempts": 1}), monotonic()
    stalls = answer if callable(answer) else begins(answer)
    with endpoint(stalls) as url:
        impatient = Clients(REGION, session=SESSION, endpoint_url=url, config=config, call_seconds_max=15)
        with pytest.raises(OutcomeUnknownError), named_failures("put"):
            impatient.dynamodb.put_item(**PUT)  # type: ignore[arg-type]  # a plain dict
    assert monotonic() - began < 8


def begins(first: bytes) -> Answer:
    """Sends this, and no more."""

    def answer(connection: socket) -> None:
        connection.recv(65536)
        connection.sendall(first)
        keeps_silent(connection)

    return answer


def test_what_users_write_is_validated_before_it_is_sent() -> None:
    odd: Any = {"Put": {"TableName": "t", "Item": {"pk": {"S": 5}}}}
    sent: list[bytes] = []

    def answer(connection: socket) -> None:
        sent.append(request(connection)[1])

    with endpoint(answer) as url, pytest.raises(RefusedError, match="Invalid type"), named_failures("commit"):
        clients(url).dynamodb.transact_write_items(TransactItems=[odd])
    assert not any(sent)


def test_what_was_never_sent_is_refused_and_says_why() -> None:
    with pytest.raises(RefusedError, match="wrong") as refused, named_failures("put"):
        raise ParamValidationError(report="wrong")
    assert refused.value.operation == "put"
    with pytest.raises(LastingError, match="Unable to locate credentials") as denied, named_failures("put"):
        raise NoCredentialsError
    assert (denied.value.operation, denied.value.cause) == ("put", "denied")


def test_an_append_ends_in_its_time_though_the_reply_drips() -> None:
    with endpoint(drips(b"HTTP/1.1 200 OK\r\nx-y: ")) as url:
        appender = Appender(
            AwsLog(clients(url).dynamodb, "t"),
            stream="orders",
            clock=SystemClock(),
            entropy=SystemEntropy(),
            timeout_seconds=0.5,
        )
        appender._tails[LANE] = EMPTY_TAIL
        began = monotonic()
        with pytest.raises(IndeterminateAppendError):
            appender.append(LANE, batch_of([event("e")], b"b" * 16))
        assert monotonic() - began < 0.5 + limits.LAST_TRY_SECONDS + 1.0


def test_bounds_of_calls_nest_and_the_narrowest_holds() -> None:
    assert seconds_left() == float("inf")

    def nested() -> None:
        assert call_within(100, seconds_left) <= 10
        assert call_within(1, seconds_left) <= 1
        assert 1 < seconds_left() <= 10

    call_within(10, nested)
    assert seconds_left() == float("inf")


def endless(first: bytes, block: bytes = b"x" * 65536) -> Answer:
    """Sends this, and then blocks without end."""

    def answer(connection: socket) -> None:
        connection.recv(65536)
        connection.sendall(first)
        while True:
            connection.sendall(block)

    return answer


_HEAD = b"HTTP/1.1 %s\r\nx-amzn-requestid: R\r\n%s\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        endless(_HEAD % (b"200 OK", b"content-length: 100000000000")),
        endless(_HEAD % (b"200 OK", b"connection: close")),
        endless(_HEAD % (b"400 Bad", b"connection: close")),
        endless(_HEAD % (b"200 OK", b"transfer-encoding: chunked"), b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    ],
    ids=["length", "close", "error", "chunks"],
)
def test_a_reply_without_end_is_not_held_in_memory(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REPLY_BYTES_MAX", 1024 * 1024)
    with endpoint(answer) as url:
        start()
        with pytest.raises(OutcomeUnknownError):
            put(url)
        peak_bytes = get_traced_memory()[1]
        stop()
    assert peak_bytes < 16 * 1024 * 1024


def test_as_much_as_a_service_may_reply_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REPLY_BYTES_MAX", 1024 * 1024)
    text = "x" * (limits.REPLY_BYTES_MAX - 4096)
    with endpoint(reply(f'{{"ConsumedCapacity":{{"TableName":"{text}"}}}}'.encode())) as url:
        assert put(url)["ConsumedCapacity"]["TableName"] == text


@pytest.mark.parametrize(
    "body",
    [
        b'{"Items":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"Items":[{"pk":5}]}',
    ],
    ids=["deep", "no value"],
)
def test_a_reply_of_a_wrong_shape_with_the_right_checksum_has_an_unknown_outcome(body: bytes) -> None:
    with endpoint(reply(body)) as url, pytest.raises(OutcomeUnknownError), named_failures("query"):
        clients(url).dynamodb.query(TableName="t")


def test_parsers_of_other_clients_of_a_session_are_as_they_were() -> None:
    session = boto3.Session("local", "local", region_name=REGION)
    Clients(REGION, session=session, endpoint_url="http://127.0.0.1:9")
    other: Any = session.client("dynamodb")
    assert type(other._endpoint._response_parser_factory).__module__ == "botocore.parsers"
