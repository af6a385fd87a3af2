"""Clients of AWS: how they are made (retries, time-outs, one connection pool), and how their failures are named."""

from collections.abc import Iterator
from contextlib import contextmanager
from platform import python_version
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    UnknownEndpointError,
)

from eventfabric import limits
from eventfabric.aws.client import ForkProofClient
from eventfabric.errors import (
    LastingError,
    OutcomeUnknownError,
    PortError,
    RefusedError,
    SettingError,
    ThrottledError,
)
from eventfabric.version import VERSION
from eventfabric.wire.service_errors import Meaning, Refusal, meaning_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_sqs.client import SQSClient

CONNECTIONS: Final = 64
"""Most connections that a client keeps. More calls at the same time would make, and throw away, one each."""
CONFIG = Config(
    # botocore's own retries are safe: every write of ours is conditional and recognises itself.
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=2,
    read_timeout=5,
    max_pool_connections=CONNECTIONS,
    tcp_keepalive=True,
    # botocore puts its user agent together anew for each request, a tenth of a call: see docs/performance.md.
    user_agent=f"Boto3/{boto3.__version__} md/Botocore#{botocore.__version__} lang/python#{python_version()}",
    user_agent_extra=f"eventfabric/{VERSION}",
)

_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError)
_NEVER_SENT = (*_NO_CREDENTIALS, ParamValidationError, UnknownEndpointError)
"""Errors raised before a first request can leave. All others may follow one that did."""


_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Clients:
    """The DynamoDB and SQS clients of one Region."""

    def __init__(
        self,
        region: str,
        *,
        session: boto3.Session | None = None,
        endpoint_url: str | None = None,
        config: Config | None = None,
        call_seconds_max: float = limits.CALL_SECONDS,
    ) -> None:
        session = session or session_for(endpoint_url)
        merged = CONFIG.merge(config) if config else CONFIG
        self._made_of = session, endpoint_url, config
        self._call_seconds_max = call_seconds_max
        self.region = region
        self.dynamodb = cast("DynamoDBClient", self._client("dynamodb", merged))
        self.sqs = cast("SQSClient", self._client("sqs", merged))

    def _client(self, service: str, config: Config) -> ForkProofClient:
        session, endpoint_url, _ = self._made_of

        def make() -> object:
            try:
                client: Any = session.client(  # type: ignore[call-overload]  # any service
                    service, region_name=self.region, endpoint_url=endpoint_url, config=config
                )
                urlsplit(client.meta.endpoint_url).port  # noqa: B018  # botocore reads it at the first request
            except ValueError as error:  # botocore's answer to an address that is none
                allowed = "http://host:port, as AWS_ENDPOINT_URL or in a profile"
                raise SettingError("the address of a service", str(error), allowed) from error
            return client

        return ForkProofClient(make, session=session, seconds_max=self._call_seconds_max)

    def of(self, region: str) -> "Clients":
        """Make the clients of another Region, by the same session but less patient: it may be the one that is lost."""
        session, endpoint_url, config = self._made_of
        less = Config(
            retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=1, read_timeout=2.5
        )
        merged = config.merge(less) if config else less
        return Clients(
            region,
            session=session,
            endpoint_url=endpoint_url,
            config=merged,
            call_seconds_max=limits.CALL_AWAY_SECONDS,
        )


def session_for(endpoint_url: str | None, *, profile: str | None = None) -> boto3.Session:
    """Return the session of a profile. A server on this machine is no account: without credentials, any will do."""
    session = boto3.Session(profile_name=profile)
    if urlsplit(endpoint_url or "").hostname in _LOOPBACK and session.get_credentials() is None:
        return boto3.Session("local", "local", region_name=session.region_name)
    return session


@contextmanager
def named_failures(operation: str) -> Iterator[None]:
    """Turn botocore's failures into PortErrors that say whether the call may have taken effect."""
    try:
        yield
    except ClientError as error:
        raise _named(operation, error) from error
    except _NO_CREDENTIALS as error:
        raise LastingError(operation, str(error), "denied") from error
    except _NEVER_SENT as error:
        raise RefusedError(operation, str(error)) from error
    except (BotoCoreError, OSError) as error:
        # Time-outs and broken connections: the request may have arrived. Even an error while credentials are
        # fetched from a file may come before a second try, after a first one that had no reply.
        raise OutcomeUnknownError(operation, str(error)) from error


def _named(operation: str, error: ClientError) -> PortError:
    """Return the failure by the table of the services' errors."""
    code = error_code(error)
    message = error.response.get("Error", {}).get("Message", "")
    reason = f"{code}: {message}"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    meaning = meaning_of(code, status=status)
    if meaning is Meaning.DENIED and "KMS" in message:
        meaning = Meaning.KEY_UNUSABLE  # DynamoDB has no code of its own for a key that it may not use
    match meaning:
        case Meaning.BUSY:
            return ThrottledError(operation, reason)
        case Meaning.UNCERTAIN:
            return OutcomeUnknownError(operation, reason)
        case Meaning.REFUSED:
            return RefusedError(operation, reason)
        case lasting:
            return LastingError(operation, reason, lasting.name.lower())


def error_code(error: ClientError) -> str:
    """Return the service's name of an error."""
    return error.response.get("Error", {}).get("Code", "")


def item_in_the_way(error: ClientError) -> dict[str, Any] | None:
    """Return the item for which the condition of a write failed. Any other error is raised."""
    if error_code(error) != "ConditionalCheckFailedException":
        raise error
    return cast(dict[str, Any], error.response).get("Item")


@contextmanager
def condition_may_fail() -> Iterator[None]:
    """Suppress the refusal of a write whose condition does not hold."""
    try:
        yield
    except ClientError as error:
        item_in_the_way(error)


def cancellation(error: ClientError) -> list[Refusal] | None:
    """Return why each action of a transaction was refused, if that is what the error says."""
    if error_code(error) != "TransactionCanceledException":
        return None
    reasons = cast(dict[str, Any], error.response).get("CancellationReasons") or []
    return [Refusal(str(r.get("Code") or "None"), str(r.get("Message", "")), r.get("Item")) for r in reasons]
