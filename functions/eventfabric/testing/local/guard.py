"""Permissions in the local fabric: checks every call against those that the deployment grants (`permissions`).

That includes calls that handlers make with clients of their own. It knows the fabric's tables and queues, and those
tables that a subscription lists. Where a subscription lists none, other tables are up to their owners.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakSet

from botocore.client import BaseClient
from botocore.exceptions import ClientError

from eventfabric.deployment.permissions import Resource, Statement, is_allowed, of_function
from eventfabric.resources import ENVIRONMENT_SUBSCRIPTION, FunctionTopology
from eventfabric.testing.contexts import setting
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


@dataclass(frozen=True)
class Rights:
    """All that a role allows. `lists`: the subscription that lists its handler's own tables, if one does."""

    statements: tuple[Statement, ...]
    lists: str | None = None

    @classmethod
    def of(cls, topology: Topology, function: FunctionTopology, *, is_own: bool = True) -> "Rights":
        """Make the rights of a function. Unless its handler `is_own`, it is not held to a list of tables."""
        name = function.environment.get(ENVIRONMENT_SUBSCRIPTION)
        lists = is_own and name is not None and topology.subscription(name).definition.tables is not None
        return cls(tuple(of_function(topology, function)), name if lists else None)


_acting: ContextVar[Rights | None] = ContextVar("eventfabric_acting", default=None)


def acting(statements: Iterable[Statement], *, lists: str | None = None) -> AbstractContextManager[None]:
    """Allow AWS calls in this context only what the statements allow. Outside such a context, anything is allowed.

    `lists`: see Rights.
    """
    return setting(_acting, Rights(tuple(statements), lists))


class Guard:
    """Refuses calls that are not allowed, as IAM does. `denied` lists what was refused, each once."""

    def __init__(self, topology: Topology) -> None:
        self._tables = {table.name: table for table in topology.tables}
        self._queue_tags = _queue_tags(topology)
        self._watched = WeakSet[BaseClient]()
        self.denied: dict[str, None] = {}

    def watch(self, client: BaseClient, allowed: Iterable[Statement] | None = None) -> None:
        """Check this client's calls from now on, in any thread, against `allowed`; None: against `acting`."""
        region = client.meta.region_name
        fixed = None if allowed is None else Rights(tuple(allowed))

        def check(params: dict[str, Any], model: Any, **_: Any) -> None:
            rights = _acting.get() if fixed is None else fixed
            if rights is not None:
                self.check(region, model.service_model.service_name, model.name, params, rights)

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
            rights = _acting.get()
            if rights is not None and client not in self._watched:
                model = more["operation_model"] if "operation_model" in more else arguments[1]
                service = model.service_model.service_name
                self.check(client.meta.region_name, service, model.name, made, rights)
            return made

        hooked._emit_api_params = checked
        try:
            yield
        finally:
            hooked._emit_api_params = emit

    def check(
        self, region: str, service: str, operation: str, params: dict[str, Any], rights: Rights
    ) -> None:
        """Raise ClientError, as IAM has it answered, for a call that a role does not allow."""
        for action, name, key in self._calls(service, operation, params, rights):
            table = self._tables.get(name.removeprefix("table/"))
            # All Regions of a strongly consistent table share one table here.
            regions = table.regions if table is not None and table.is_quorum else (region,)
            resources = [Resource(service, home, name) for home in regions]
            keys, tag = [] if key is None else [key], self._queue_tags.get(name, "")
            if not any(
                is_allowed(rights.statements, f"{service}:{action}", resource, keys, queue_tag=tag)
                for resource in resources
            ):
                denied = f"{service}:{action} on {name} in {region}" + (f", key {key}" if key else "")
                if table is None and service == "dynamodb":
                    denied += f" (allowed: what `tables` of [subscriptions.{rights.lists}] lists)"
                self.denied[denied] = None
                raise _refusal(denied, operation)

    def _calls(
        self, service: str, operation: str, params: dict[str, Any], rights: Rights
    ) -> Iterator[tuple[str, str, str | None]]:
        """Yield action, resource and partition key of all that a call does to tables and queues that are known here."""
        if service == "sqs":
            name = params.get("QueueName") or str(params.get("QueueUrl")).rpartition("/")[2]
            if name in self._queue_tags:
                yield _BATCHES.get(operation, operation), name, None
        elif service == "dynamodb":
            for action, request in _requests(operation, params):
                name = str(request["TableName"]).rpartition("/")[2]  # it may be an ARN
                if name in self._tables:
                    yield action, f"table/{name}", _partition_key(request)
                elif rights.lists is not None:
                    yield action, f"table/{name}", None


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


def _queue_tags(topology: Topology) -> dict[str, str]:
    """Return all queues, each with the tag that the deployment gives it."""
    tags = {topology.relay_dead_name: "", topology.reconcile_dead_name: ""}
    tags |= {topology.timers.name: "", topology.timers.dead_letter_name: ""}
    for subscription in topology.subscriptions.values():
        tags |= subscription.queue_tags
    return tags


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
