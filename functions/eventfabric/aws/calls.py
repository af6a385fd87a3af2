"""Every call of our clients, in one place: how long it may take as a whole, and what its reply must hold.

    before the request   the call's time begins: its own bound, or what is left of the verb that makes it
    response-received    a try without any answer of the service: it may have taken effect
    behind the request   the reply is the service's own and complete, or else the outcome is unknown; no hook is told
    after-call, last     a refusal says nothing about an earlier try without an answer: the outcome is unknown

A status says little: a proxy answers 200 with a page of HTML, which botocore takes for an empty reply.
"""

from binascii import crc32
from collections.abc import Mapping
from typing import Any, Final, Protocol

from botocore.exceptions import (
    BotoCoreError,
    HTTPClientError,
)

from eventfabric.aws import bounded_http
from eventfabric.deadline import seconds_left

_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "Query": frozenset({"Items"}),
    "Scan": frozenset({"Items"}),
    "DescribeTable": frozenset({"Table"}),
    "GetQueueUrl": frozenset({"QueueUrl"}),
    "SendMessage": frozenset({"MessageId"}),
}
"""Members that a successful reply of an operation holds beside what every reply does."""
_OF_CONDITIONS: Final = frozenset({"ConditionalCheckFailedException", "TransactionCanceledException"})
"""Refusals that show what stands there, by which a writer knows whether an earlier try of its own landed."""
_OF_USERS: Final = frozenset({"TransactWriteItems"})
"""Operations whose requests hold what a user wrote: the writes of a handler, or of a producer's transaction."""
_UNANSWERED: Final = "eventfabric_unanswered"
_REDIRECTION: Final = 300
_SERVER_ERROR: Final = 500


class UnprovenReplyError(BotoCoreError):
    """The outcome of the call is unknown, whatever its last reply says."""

    fmt = "{operation}: {reason}"


class _Response(Protocol):
    status_code: int
    content: bytes


class Calls:
    """Watcher of all calls of one client."""

    def __init__(self, client: Any, *, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._has_checksums = client.meta.service_model.service_name == "dynamodb"
        bounded_http.bound(client)
        # botocore has no hook before it parses. The session shares its factory among clients, users' own as well.
        client._serializer = _Serializer(client._serializer)
        endpoint = client._endpoint
        endpoint._response_parser_factory = _GuardedParsers(endpoint._response_parser_factory)
        # Around all tries of a call. botocore's events would do, but each of their handlers costs every call.
        self._request = endpoint.make_request
        endpoint.make_request = self._make_request
        events = client.meta.events
        events.register("response-received", self._note)
        events.register_last("after-call", self._doubt)

    def _make_request(self, model: Any, request: dict[str, Any]) -> "tuple[_Response, dict[str, Any]]":
        """See botocore.endpoint.Endpoint."""
        bounded_http.end_call_within(min(self._seconds_max, seconds_left()))
        response, parsed = self._request(model, request)
        self._check(response, parsed, model)
        return response, parsed

    def _note(
        self,
        response_dict: Mapping[str, Any] | None,
        exception: Exception | None,
        context: dict[str, Any],
        **_: object,
    ) -> None:
        if response_dict is None:
            # A connection that could not be made is none of these, and nothing was sent.
            if not isinstance(exception, HTTPClientError):
                return
        elif response_dict["status_code"] < _SERVER_ERROR:
            return
        context[_UNANSWERED] = True

    def _check(self, response: _Response, parsed: Mapping[str, Any], model: Any) -> None:
        status = response.status_code
        if status >= _SERVER_ERROR:
            return  # the outcome counts as unknown anyway
        succeeded = status < _REDIRECTION
        reason = _flaw(
            response.content,
            parsed["ResponseMetadata"]["HTTPHeaders"],  # a plain dict, which costs less than the reply's own
            needs_checksum=succeeded and self._has_checksums,
            needs_body=model.output_shape is not None,
        )
        members = _MEMBERS.get(model.name)
        if members is not None and not reason and succeeded and not members <= parsed.keys():
            reason = "the reply lacks what it must hold"
        if reason:
            raise UnprovenReplyError(operation=model.name, reason=reason)

    def _doubt(self, parsed: Mapping[str, Any], model: Any, context: Mapping[str, Any], **_: object) -> None:
        """Doubt a refusal after a try without an answer. Runs last, so that the refusal is reported all the same."""
        if _UNANSWERED not in context or "Error" not in parsed:
            return
        code = parsed["Error"].get("Code", "")
        if parsed["ResponseMetadata"]["HTTPStatusCode"] < _SERVER_ERROR and code not in _OF_CONDITIONS:
            raise UnprovenReplyError(operation=model.name, reason=f"{code}, and an earlier try had no reply")


class _Serializer:
    """Serializes requests, and validates those that hold what a user wrote.

    All others are made by typed code. To hold each of their values against the service's model, as botocore does, would
    cost a tenth of a call; see docs/performance.md.
    """

    def __init__(self, validating: Any) -> None:
        self._validating = validating
        self._plain = getattr(validating, "_serializer", validating)

    def serialize_to_request(self, parameters: Any, model: Any) -> Any:
        """See botocore.serialize.Serializer."""
        chosen = self._validating if model.name in _OF_USERS else self._plain
        return chosen.serialize_to_request(parameters, model)


class _GuardedParsers:
    """Stand-in for a client's parsers, which may raise anything on a reply of a wrong shape; these raise one error."""

    def __init__(self, factory: Any) -> None:
        self._factory = factory
        self._made: dict[str, _GuardedParser] = {}

    def create_parser(self, protocol: str) -> "_GuardedParser":
        """See botocore.parsers.ResponseParserFactory.

        One parser serves all replies, since parsers keep nothing of what they parse. botocore makes one for each reply,
        which leaves objects that only garbage collection frees.
        """
        parser = self._made.get(protocol)
        if parser is None:
            parser = self._made[protocol] = _GuardedParser(self._factory.create_parser(protocol))
        return parser


class _GuardedParser:
    """Parser that raises only errors of botocore's."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def parse(self, response: Any, shape: Any) -> Any:
        """See botocore.parsers.ResponseParser."""
        try:
            return self._parser.parse(response, shape)
        except BotoCoreError:
            raise
        except Exception as error:  # RecursionError, AttributeError and whatever else
            operation = getattr(shape, "name", "call")
            reason = f"the reply cannot be parsed: {type(error).__name__}"
            raise UnprovenReplyError(operation=operation, reason=reason) from error


def _flaw(content: bytes, headers: Mapping[str, str], *, needs_checksum: bool, needs_body: bool) -> str:
    """Return why this is not a reply of the service, or not a whole one; empty if it is."""
    if "x-amzn-requestid" not in headers:
        return "the reply bears no request id, so it is not the service's"
    if (content or needs_body) and (content[:1] != b"{" or content[-1:] != b"}"):
        return "the reply is no JSON object"
    length = headers.get("content-length")
    if length is not None and length != str(len(content)):
        return "the reply is cut short"
    checksum = headers.get("x-amz-crc32")
    if checksum is None:
        return "the reply bears no checksum" if needs_checksum else ""
    return "" if checksum == str(crc32(content)) else "the reply does not match its checksum"
