"""Creates the tables and queues of a topology in one Region, as the deployment does in an account."""

import json
from typing import TYPE_CHECKING, Literal

from boto3 import Session
from botocore.config import Config

from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.contracts.folder import SchemaFolder
from eventfabric.model import Region
from eventfabric.ports import Clock
from eventfabric.resources import QueueTopology, TableTopology, TimerQueueTopology
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.schema_comparison import comparison_of
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.services.catalogue.schema_push import Registration
from eventfabric.testing.local import moto_fixes
from eventfabric.testing.local.strict import tables_of
from eventfabric.topology import Topology

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import QueueAttributeNameType

_PAUSED_SECONDS_MAX = 3_600


def provision(topology: Topology, clients: Clients) -> None:
    """Create everything that the clients' Region needs. None of it may exist there yet."""
    region = clients.region
    for table in tables_of(topology):
        if region in table.regions:
            _make_table(clients, table)
    for subscription in topology.subscriptions.values():
        if region in subscription.regions:
            _make_queue(clients, subscription.queue)
    if topology.subscriptions_in(region):
        _make_timers(clients, topology.timers)


def declare_deployed(
    topology: Topology, clients: Clients, *, clock: Clock | None = None, schemas: SchemaFolder | None = None
) -> None:
    """Declare what `provision` has created in the clients' Region, without which nobody can publish.

    `schemas` are registered, those of each stream in its first Region. InvalidSchemaError lists what is wrong in there.
    """
    ports = aws_ports(topology, clients, clock=clock)
    declare_all(Deployer(topology, Region(clients.region), ports, by="local", request_id="local"))
    known = {} if schemas is None else schemas.documents(streams=topology.definition.streams)
    for name, documents in known.items():
        stream = topology.stream(name)
        if stream.definition.regions[0] == clients.region:
            reader = SchemaReader(stream, ports.log_of(stream))
            compare = comparison_of(stream)
            Registration(
                reader, compare, ports.clock, ports.entropy, by="local", request_id="local"
            ).register(documents)


def _make_table(clients: Clients, table: TableTopology) -> None:
    sort_key_type: Literal["N", "S"] = "N" if table.sort_key_type == "N" else "S"
    clients.dynamodb.create_table(
        TableName=table.name,
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": sort_key_type},
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )


def _make_queue(clients: Clients, queue: QueueTopology) -> None:
    attributes: dict[QueueAttributeNameType, str] = {
        "FifoQueue": "true",
        "VisibilityTimeout": queue.attributes["VisibilityTimeout"],
        "DeduplicationScope": queue.attributes["DeduplicationScope"],
        "FifoThroughputLimit": queue.attributes["FifoThroughputLimit"],
    }
    dead_url = clients.sqs.create_queue(QueueName=queue.dead_letter_name, Attributes=attributes)["QueueUrl"]
    dead_arn = clients.sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    redrive = {"deadLetterTargetArn": dead_arn, "maxReceiveCount": queue.receive_count_max}
    clients.sqs.create_queue(
        QueueName=queue.name, Attributes={**attributes, "RedrivePolicy": json.dumps(redrive)}
    )


def _make_timers(clients: Clients, queue: TimerQueueTopology) -> None:
    dead_url = clients.sqs.create_queue(QueueName=queue.dead_letter_name)["QueueUrl"]
    dead_arn = clients.sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    redrive = {"deadLetterTargetArn": dead_arn, "maxReceiveCount": queue.receive_count_max}
    clients.sqs.create_queue(
        QueueName=queue.name,
        Attributes={
            "VisibilityTimeout": str(queue.visibility_timeout_seconds),
            "RedrivePolicy": json.dumps(redrive),
        },
    )


def clients_of(region: str, session: Session, endpoint_url: str | None) -> Clients:
    """Make the clients of a local fabric.

    Timeouts are long, because the server is in this very process, which somebody may suspend and resume.
    """
    config = moto_fixes.client_config().merge(Config(read_timeout=_PAUSED_SECONDS_MAX))
    return Clients(
        region,
        session=session,
        endpoint_url=endpoint_url,
        config=config,
        call_seconds_max=_PAUSED_SECONDS_MAX,
    )
