"""The world outside the fabric in one run: moto's AWS, with the tables and queues that handlers use.

Every AWS call that a handler makes, with any client, counts as a call of its attempt; the one hook into botocore for
this is here. Calls from threads that a handler starts itself are made, but belong to no attempt: they never fail.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import boto3
from botocore.client import BaseClient
from botocore.exceptions import ClientError, ReadTimeoutError
from moto import mock_aws
from moto.core.models import botocore_stubber

from eventfabric.aws.clients import cancellation, error_code
from eventfabric.errors import HandlersFailError, OutcomeUnknownError, RefusedError, ThrottledError, said_by
from eventfabric.resources import ENVIRONMENT_REGION, ENVIRONMENT_SUBSCRIPTION
from eventfabric.testing.contexts import environment
from eventfabric.testing.idempotency.calls import is_read, named, places, tokens
from eventfabric.testing.idempotency.effects import Items, Store, item_text
from eventfabric.testing.idempotency.handling import HandlerAttempt
from eventfabric.testing.local import moto_fixes
from eventfabric.testing.local.guard import Guard
from eventfabric.testing.local.invoke import no_account
from eventfabric.testing.local.sessions import shared_models
from eventfabric.testing.memory.region import Actions, Reason, SameItemTwiceError, TransactionCancelledError
from eventfabric.testing.simulation.acting import acting

if TYPE_CHECKING:
    from eventfabric.testing.simulation.world import World

_FORGETS_MS: Final = {"sqs": 300_000, "sns": 300_000}
"""Milliseconds for which FIFO queues and topics know a deduplication id (SQS developer guide, deduplication ID)."""
_STATE: Final = ("dynamodb", "s3")
_THROTTLED: Final = {
    "dynamodb": "ProvisionedThroughputExceededException",
    "s3": "SlowDown",
    "sqs": "RequestThrottled",
}


HANDLERS_FIND: Final = (ENVIRONMENT_REGION, "AWS_DEFAULT_REGION", ENVIRONMENT_SUBSCRIPTION)
"""Environment variables that handlers find, set to their Region."""


class Outside:
    """Clients and Regions as the setup gets them, and access to what handlers wrote.

    `name`: the fabric's, with its stage. `regions`: those of the stream.
    """

    def __init__(self, name: str, regions: tuple[str, ...]) -> None:
        self.name, self.regions = name, regions

    def client(self, service: str, region: str) -> Any:
        """Return a boto3 client of a Region."""
        return _client(service, region)

    def state(self, places: set[tuple[str, str]], regions: set[str]) -> dict[Store, Items]:
        """Return the contents of tables and buckets that handlers wrote, in the stream's Regions and in `regions`."""
        contents: dict[Store, Items] = {}
        for service, name in sorted(places):
            for region in sorted({*self.regions, *regions}):
                read = self._table if service == "dynamodb" else self._bucket
                contents[Store(service, name, region)] = dict(read(name, region))
        return contents

    def _table(self, name: str, region: str) -> Iterator[tuple[str, dict[str, str]]]:
        client = self.client("dynamodb", region)
        try:
            schema = client.describe_table(TableName=name)["Table"]["KeySchema"]
        except client.exceptions.ResourceNotFoundException:
            return
        names = [part["AttributeName"] for part in schema]
        for page in client.get_paginator("scan").paginate(TableName=name):
            for item in page["Items"]:
                text = item_text(item)
                yield "/".join(text[part] for part in names), text

    def _bucket(self, name: str, region: str) -> Iterator[tuple[str, dict[str, str]]]:
        if region != self.regions[0]:
            return  # buckets belong to no Region here
        for page in self.client("s3", region).get_paginator("list_objects_v2").paginate(Bucket=name):
            for item in page.get("Contents", ()):
                yield item["Key"], {"content": item["ETag"]}


class _Tables:
    """memory.region.OtherTables: handlers' tables on moto."""

    def __init__(self, region: str) -> None:
        self._client = _client("dynamodb", region)

    def transact(self, actions: Actions) -> None:
        """See OtherTables."""
        try:
            self._client.transact_write_items(TransactItems=[{name: request} for name, request in actions])
        except ClientError as error:
            if error_code(error) == "ValidationException" and "multiple operations on one item" in str(error):
                raise SameItemTwiceError(str(error)) from error
            refusals = cancellation(error)
            if refusals is None:
                raise RefusedError("transact", f"{error_code(error)}: {error}") from error
            raise TransactionCancelledError(
                [Reason(refusal.code, refusal.message, cast(Any, refusal.item)) for refusal in refusals]
            ) from error


@contextmanager
def outside(world: "World", setup: Callable[[Outside], object] | None) -> Iterator[Outside]:
    """Provide an outside world that is empty except for what `setup` makes. All ports to handlers' tables use it."""
    with ExitStack() as stack:
        if botocore_stubber.enabled:
            raise HandlersFailError(
                "mock_aws is active: simulate handlers outside of it, for it keeps what runs leave"
            )
        stack.enter_context(no_account(None))
        stack.enter_context(environment(dict.fromkeys(HANDLERS_FIND, world.plan.regions[0])))
        stack.enter_context(moto_fixes.applied(now=lambda: world.time.now_ms() / 1000))
        stack.enter_context(mock_aws())
        stack.enter_context(shared_models())
        stack.enter_context(_hooked())
        stack.enter_context(Guard(world.topology).watching())
        outside_world = Outside(world.topology.fabric, world.plan.regions)
        if setup is not None:
            _set_up(setup, outside_world)
        for name, region in world.cloud.regions.items():
            region.others = _Tables(name)
        yield outside_world


def _set_up(setup: Callable[[Outside], object], outside_world: Outside) -> None:
    try:
        setup(outside_world)
    except Exception as error:  # a project's own code may raise anything
        message = " ".join(said_by(error).split())
        raise HandlersFailError(f"the setup raises {type(error).__name__}: {message}") from error


@cache
def _client(service: str, region: str) -> Any:
    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local")
    make = cast(Callable[..., Any], session.client)
    return make(service, region_name=region, config=moto_fixes.client_config())


@contextmanager
def _hooked() -> Iterator[None]:
    """Route every client's calls through the attempt that makes them."""
    hooked = cast(Any, BaseClient)
    before = hooked._make_api_call

    def call(client: BaseClient, operation: str, params: dict[str, Any]) -> Any:
        act = acting.get()
        if not isinstance(act, HandlerAttempt):
            return before(client, operation, params)
        return _called(act, client, operation, params, lambda: before(client, operation, params))

    hooked._make_api_call = call
    try:
        yield
    finally:
        hooked._make_api_call = before


def _called(
    act: HandlerAttempt,
    client: BaseClient,
    operation: str,
    params: Mapping[str, Any],
    effect: Callable[[], Any],
) -> Any:
    service, region = client.meta.service_model.service_name, client.meta.region_name
    name = " ".join(part for part in (service, operation, named(params)) if part)
    try:
        if is_read(operation):
            return act.reach(name, effect)
        if service in _STATE:
            return act.reach(name, lambda: _written(act, service, region, name, params, effect))
        keys = tokens(act.event, service, operation, params)
        return act.send(name, effect, keys, region=region, forgets_ms=_FORGETS_MS.get(service, 0))
    except ThrottledError as error:
        throttled = {"Error": {"Code": _THROTTLED.get(service, "ThrottlingException"), "Message": str(error)}}
        status = {"ResponseMetadata": {"HTTPStatusCode": 400}}
        raise ClientError(cast(Any, {**throttled, **status}), operation) from error
    except OutcomeUnknownError as error:
        raise ReadTimeoutError(endpoint_url=client.meta.endpoint_url) from error


def _written(
    act: HandlerAttempt,
    service: str,
    region: str,
    name: str,
    params: Mapping[str, Any],
    effect: Callable[[], Any],
) -> Any:
    result = effect()
    for place in sorted(places(service, params)):
        act.wrote(service, place, region, name)
    return result
