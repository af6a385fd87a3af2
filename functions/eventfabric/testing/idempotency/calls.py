"""AWS calls of handlers, read from their parameters: what a call addresses, writes, and is recognised by. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

_READS: Final = re.compile(
    "^(Get|List|Describe|Query|Scan|Head|BatchGet|TransactGet|Search|Select|Receive|Lookup|Filter|Validate|Assume"
    "|Check(?!In|out|point)|Decrypt|Encrypt|ReEncrypt|Generate|Sign(Payload)?$|Verify(Mac)?$|Detect|Translate|Analyze"
    "|Converse|InvokeModel|InvokeEndpoint(?!Async)|DeleteMessage|ChangeMessageVisibility|PutMetricData|PutRule)"
)
"""Calls that change nothing, or nothing more if they are repeated."""
_SETS: Final = frozenset({"PutParameter"})
"""Calls that set a value. Repeating one with the same value for an event is harmless; another value is not."""
_TOKEN: Final = re.compile("(Token|DeduplicationId|IdempotencyKey)$", re.IGNORECASE)
_BATCHES: Final = ("Entries", "PublishBatchRequestEntries", "Records")
_NAMING: Final = (
    "QueueUrl",
    "TopicArn",
    "StreamName",
    "DeliveryStreamName",
    "FunctionName",
    "stateMachineArn",
    "EventBusName",
    "SecretId",
    "Name",
)
_IN_PARTIQL: Final = re.compile(r"(?:INTO|UPDATE|FROM)\s+\"?([\w.-]+)", re.IGNORECASE)


def is_read(operation: str) -> bool:
    """Tell if a call changes nothing, or nothing more if it is repeated."""
    return _READS.match(operation) is not None


def places(service: str, params: Mapping[str, Any]) -> set[str]:
    """Return the tables or buckets that a call writes to."""
    if service == "s3":
        return {str(params["Bucket"])} if "Bucket" in params else set()
    single = {str(params["TableName"])} if "TableName" in params else set()
    batched = set(params.get("RequestItems", ()))
    transacted = {
        str(request["TableName"]) for action in params.get("TransactItems", ()) for request in action.values()
    }
    statements = [params.get("Statement"), *(statement.get("Statement") for statement in _statements(params))]
    in_statements = {
        table for text in statements if isinstance(text, str) for table in _IN_PARTIQL.findall(text)
    }
    return single | batched | transacted | in_statements


def _statements(params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    statements = params.get("Statements") or params.get("TransactStatements") or []
    return [statement for statement in statements if isinstance(statement, Mapping)]


def named(params: Mapping[str, Any]) -> str:
    """Return the name of the queue, topic, table or other thing that a call addresses, without its path or ARN."""
    for key in (*_NAMING, "TableName", "Bucket"):
        if isinstance(params.get(key), str):
            return re.split("[/:]", str(params[key]))[-1]
    return " and ".join(sorted(places("dynamodb", params)))


def tokens(event: str, service: str, operation: str, params: Mapping[str, Any]) -> list[str | None]:
    """Return the token of each effect that a call for an event has; None for one without a token.

    Each entry of a batch is an effect, though all are sent in one call.
    """
    if operation in _SETS:
        return [f"{event} {params.get('Value')}"]
    for name in _BATCHES:
        entries = params.get(name)
        if isinstance(entries, list) and entries:
            where = {name: params[name] for name in ("QueueUrl", "TopicArn") if name in params}
            return [
                _token_of(service, {**where, **entry} if isinstance(entry, Mapping) else entry)
                for entry in entries
            ]
    return [_token_of(service, params)]


def _token_of(service: str, params: Any) -> str | None:
    if not isinstance(params, Mapping):
        return None
    for name, value in params.items():
        is_token = _TOKEN.search(name) or (service == "stepfunctions" and name == "name")
        if is_token and isinstance(value, str):
            return value
    if str(params.get("QueueUrl", params.get("TopicArn", ""))).endswith(".fifo"):
        # Without an id it would be refused, unless the queue deduplicates by content.
        return str(params.get("MessageBody", params.get("Message")))
    return None
