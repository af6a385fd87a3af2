"""Permissions in the local fabric: checks every call against those that the deployment grants (`permissions`).

That includes calls that handlers make with clients of their own. It knows only the fabric's tables and queues.
Permissions for the handlers' own tables are up to their owners.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast
from weakref import WeakSet

from botocore.client import BaseClient
from botocore.exceptions import ClientError

from eventfabric.deployment.permissions import Resource, Statement, is_allowed
from eventfabric.topology import Topology

_BATCHES = {
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}
_ACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}

_acting: ContextVar[tuple[Statement, ...] | None] = ContextVar("eventfabric_acting", default=None)


@contextmanager
def acting(statements: Iterable[Statement]) -> Iterator[None]:
    """Allow AWS calls in this context only what the statements allow. Outside such a context, anything is allowed."""
    token = _acting.set(tuple(statements))
    try:
        yield
    finally:
        _acting.reset(token)


class Guard:
    """Refuses calls that are not allowed, as IAM does. `denied` lists what was refused, each once."""

    def __init__(self, topology: Topology) -> None:
        self._tables = {table.name: table for table in topology.tables}
        self._queues = _queues_of(topology)
        self._watched = WeakSet[BaseClient]()
        self.denied: dict[str, None] = {}

    def watch(self, client: BaseClient, allowed: Iterable[Statement] | None = None) -> None:
        """Check this client's calls from now on, in any thread, against `allowed`; None: against `acting`."""
        region = client.meta.region_name
        fixed = None if allowed is None else tuple(allowed)

        def check(params: dict[str, Any], model: Any, **_: Any) -> None:
            statements = _acting.get() if fixed is None else fixed
            if statements is not None:
                self._check(region, model.service_model.service_name, model.name, params, statements)

        client.meta.events.register("before-parameter-build", check)
        self._watched.add(client)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Check against `acting` what all other clients of this process do meanwhile."""
        hooked = cast(Any, BaseClient)  # botocore has no public name for this
        # The one place through which all clients go where resources' parameters are like clients' already.
        emit = hooked._emit_api_params

        def checked(client: BaseClient, *arguments: Any, **more: Any) -> Any:
            made = emit(client, *arguments, **more)
            statements = _acting.get()
            if statements is not None and client not in self._watched:
                model = more["operation_model"] if "operation_model" in more else arguments[1]
                service = model.service_model.service_name
                self._check(client.meta.region_name, service, model.name, made, statements)
            return made

        hooked._emit_api_params = checked
        try:
            yield
        finally:
            hooked._emit_api_params = emit

    def _check(
        self,
        region: str,
        service: str,
        operation: str,
        params: dict[str, Any],
        statements: tuple[Statement, ...],
    ) -> None:
        for action, name, key in self._calls(service, operation, params):
            table = self._tables.get(name.removeprefix("table/"))
            # All Regions of a strongly consistent table share one table here.
            regions = table.regions if table is not None and table.is_quorum else (region,)
            resources = [Resource(service, home, name) for home in regions]
            keys = [] if key is None else [key]
            if not any(
                is_allowed(statements, f"{service}:{action}", resource, keys) for resource in resources
            ):
                denied = f"{service}:{action} on {name} in {region}" + (f", key {key}" if key else "")
                self.denied[denied] = None
                raise _refusal(denied, operation)

    def _calls(
        self, service: str, operation: str, params: dict[str, Any]
    ) -> Iterator[tuple[str, str, str | None]]:
        """Yield action, resource and partition key of everything that a call does to the fabric's tables and queues."""
        if service == "sqs":
            name = params.get("QueueName") or str(params.get("QueueUrl")).rpartition("/")[2]
            if name in self._queues:
                yield _BATCHES.get(operation, operation), name, None
        elif service == "dynamodb":
            for action, request in _requests(operation, params):
                yield from self._call(action, request)

    def _call(self, action: str, request: dict[str, Any]) -> Iterator[tuple[str, str, str | None]]:
        name = str(request["TableName"]).rpartition("/")[2]  # it may be an ARN
        if name in self._tables:
            yield action, f"table/{name}", _partition_key(request)


def _requests(operation: str, params: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the actions of which a call to DynamoDB consists, each with its part of the parameters."""
    if operation == "TransactWriteItems":
        for item in params["TransactItems"]:
            yield from ((_ACTIONS[action], request) for action, request in item.items())
    elif operation == "TransactGetItems":
        yield from (("GetItem", item["Get"]) for item in params["TransactItems"])
    elif operation in ("BatchGetItem", "BatchWriteItem"):
        yield from ((operation, {"TableName": table}) for table in params["RequestItems"])
    elif "TableName" in params:
        yield operation, params


def _partition_key(request: dict[str, Any]) -> str | None:
    item = request.get("Item") or request.get("Key")
    value = item.get("pk") if item else request.get("ExpressionAttributeValues", {}).get(":pk")
    return value.get("S") if value else None


def _queues_of(topology: Topology) -> frozenset[str]:
    queues = [queue for s in topology.subscriptions.values() for queue in (s.queue, s.timers)]
    names = [name for queue in queues for name in (queue.name, queue.dead_letter_name)]
    return frozenset([*names, topology.relay_dead_name])


def _refusal(denied: str, operation: str) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": "AccessDeniedException", "Message": f"not authorized to perform: {denied}"},
            "ResponseMetadata": {
                "HTTPStatusCode": 400,
                "RequestId": "",
                "HostId": "",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        operation,
    )
