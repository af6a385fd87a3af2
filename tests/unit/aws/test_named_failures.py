"""Failed calls: what they are known to have done, and what callers that gave up say of them."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from errno import EMFILE
from pathlib import Path

import botocore.exceptions as botocore
import pytest
from boto3 import Session
from botocore.credentials import RefreshableCredentials
from botocore.session import get_session

from eventfabric.aws.clients import Clients, named_failures
from eventfabric.aws.log import AwsLog
from eventfabric.aws.system import SystemClock, SystemEntropy
from eventfabric.errors import (
    ContendedAppendError,
    IndeterminateAppendError,
    LastingError,
    OutcomeUnknownError,
    PortError,
    RefusedError,
    ThrottledError,
)
from eventfabric.model import Batch
from eventfabric.services.publishing.append import Appender
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.memory_fabric import HOME, LANE, batch_of, event
from tests.support.messages import TextWith, raises_with
from tests.support.socket_server import endpoint, reply
from tests.support.subscribed_stream import SubscribedStream

URL = "http://127.0.0.1:9"


def client_error(code: str, status: int) -> botocore.ClientError:
    response = {"Error": {"Code": code, "Message": "why"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.ClientError(response, "PutItem")  # type: ignore[arg-type]  # a plain dict


def mine() -> Batch:
    return batch_of([event("mine")], b"mine".ljust(16))


@pytest.fixture
def untouched_url() -> Iterator[str]:
    """An endpoint that must never be called; answers nobody."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.parametrize(
    ("error", "named", "retryable", "no_effect"),
    [
        (botocore.NoCredentialsError(), LastingError, False, True),
        (botocore.PartialCredentialsError(provider="env", cred_var="key"), LastingError, False, True),
        (botocore.ParamValidationError(report="bad"), RefusedError, False, True),
        (client_error("ValidationException", 400), RefusedError, False, True),
        (client_error("AccessDeniedException", 400), LastingError, False, True),
        (client_error("ProvisionedThroughputExceededException", 400), ThrottledError, True, True),
        (client_error("InternalServerError", 500), OutcomeUnknownError, True, False),
        (client_error("ServiceUnavailable", 503), OutcomeUnknownError, True, False),
        (botocore.ReadTimeoutError(endpoint_url=URL), OutcomeUnknownError, True, False),
        (botocore.ConnectionClosedError(endpoint_url=URL), OutcomeUnknownError, True, False),
        (botocore.EndpointConnectionError(endpoint_url=URL, error="x"), OutcomeUnknownError, True, False),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, Exception) else None,
)
def test_each_failure_says_whether_it_may_have_had_an_effect(
    error: Exception, named: type[PortError], retryable: bool, no_effect: bool
) -> None:
    with pytest.raises(PortError) as raised, named_failures("append"):
        raise error
    assert type(raised.value) is named
    assert (raised.value.retryable, raised.value.no_effect) == (retryable, no_effect)
    assert raised.value.__cause__ is error
    assert str(raised.value).startswith("append: ")


def test_an_error_that_is_none_of_a_call_is_left_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), named_failures("append"):
        raise ZeroDivisionError


@pytest.mark.usefixtures("no_credentials")
def test_without_credentials_an_append_ends_before_anything_is_sent_or_waited_for(untouched_url: str) -> None:
    fabric = SubscribedStream()
    log = AwsLog(Clients(HOME, session=Session(), endpoint_url=untouched_url).dynamodb, "orders")
    start = fabric.clock.now_ms()
    with raises_with(RefusedError, "read the tail", "Unable to locate credentials"):
        Appender(log, stream="orders", clock=fabric.clock, entropy=fabric.entropy).append(LANE, mine())
    assert fabric.clock.now_ms() == start


def test_who_was_throttled_until_the_time_was_up_says_so() -> None:
    fabric, throttled = SubscribedStream(), Faults(lambda called, overall, of_name: Fault.THROTTLED)
    with pytest.raises(ContendedAppendError) as raised:
        fabric.appender(faults=throttled, timeout_seconds=1).append(LANE, mine())
    cause = raised.value.__cause__
    assert isinstance(cause, ThrottledError)
    assert str(raised.value) == TextWith(mine().id.hex(), f"not in lane {LANE}", "after 1000 ms", cause)


def test_who_had_no_reply_says_what_was_the_last_that_was_heard() -> None:
    fabric = SubscribedStream()
    silent = Faults(lambda called, overall, of_name: Fault.LOST_REPLY if called == "log.append" else None)
    with pytest.raises(IndeterminateAppendError) as raised:
        fabric.appender(faults=silent, timeout_seconds=1).append(LANE, mine())
    cause = raised.value.__cause__
    assert isinstance(cause, OutcomeUnknownError)
    assert str(raised.value) == TextWith(
        mine().id.hex(), "sequence 0", LANE, "stream orders", cause, "publish_again(error)"
    )


def test_an_append_whose_second_try_finds_no_credentials_may_have_landed_by_the_first() -> None:
    """For example, a token file cannot be opened for lack of descriptors, after the first try had no reply."""
    failing = False

    def refreshed() -> dict[str, str]:
        if failing:
            raise OSError(EMFILE, "Too many open files")
        expiry = datetime.now(UTC) + timedelta(seconds=5)  # so soon that each call asks for others
        return {"access_key": "a", "secret_key": "b", "token": "c", "expiry_time": expiry.isoformat()}

    def dies(connection: socket.socket) -> None:
        nonlocal failing
        connection.recv(65536)
        failing = True

    core = get_session()
    credentials = RefreshableCredentials.create_from_metadata(refreshed(), refreshed, "test")
    core._credentials = credentials  # type: ignore[attr-defined]  # botocore has no other way to give it such
    with endpoint(reply(b'{"Items":[],"Count":0}'), dies) as url:
        dynamodb = Clients(
            HOME, session=Session(botocore_session=core, region_name=HOME), endpoint_url=url
        ).dynamodb
        appender = Appender(
            AwsLog(dynamodb, "t"),
            stream="orders",
            clock=SystemClock(),
            entropy=SystemEntropy(),
            timeout_seconds=2,
        )
        with pytest.raises(IndeterminateAppendError):
            appender.append(LANE, mine())
