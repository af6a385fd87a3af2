"""A table that must not be lost: a global table, even if it is in only one Region."""

from aws_cdk import CfnTag, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from eventfabric.resources import FABRIC_TAG, TableTopology

RECOVERY_DAYS = 35


class FabricTable(Construct):
    """A table retained and protected in every Region, recoverable to any second, encrypted with the fabric's keys.

    It is CloudFormation's own resource, because the CDK's construct refuses sets of Regions that DynamoDB accepts for
    strongly consistent tables.
    """

    def __init__(
        self, scope: Construct, id: str, table: TableTopology, *, fabric: str, key_alias: str
    ) -> None:
        super().__init__(scope, id)
        self.resource = dynamodb.CfnGlobalTable(
            self,
            "Table",
            table_name=table.name,
            attribute_definitions=[
                _attribute("pk", "S"),
                _attribute("sk", table.sort_key_type),
            ],
            key_schema=[
                dynamodb.CfnGlobalTable.KeySchemaProperty(attribute_name="pk", key_type="HASH"),
                dynamodb.CfnGlobalTable.KeySchemaProperty(attribute_name="sk", key_type="RANGE"),
            ],
            billing_mode="PAY_PER_REQUEST",
            multi_region_consistency="STRONG" if table.is_quorum else None,
            replicas=[_replica(Stack.of(self), region, key_alias, fabric) for region in table.regions],
            sse_specification=dynamodb.CfnGlobalTable.SSESpecificationProperty(
                sse_enabled=True, sse_type="KMS"
            ),
            stream_specification=dynamodb.CfnGlobalTable.StreamSpecificationProperty(
                stream_view_type=table.stream_view
            ),
            time_to_live_specification=None
            if table.expiry_attribute is None
            else dynamodb.CfnGlobalTable.TimeToLiveSpecificationProperty(
                attribute_name=table.expiry_attribute, enabled=True
            ),
        )
        # Also if its creation is rolled back: a table that is protected from deletion would block that.
        self.resource.apply_removal_policy(RemovalPolicy.RETAIN)


def _attribute(name: str, kind: str) -> dynamodb.CfnGlobalTable.AttributeDefinitionProperty:
    return dynamodb.CfnGlobalTable.AttributeDefinitionProperty(attribute_name=name, attribute_type=kind)


def _replica(
    stack: Stack, region: str, key_alias: str, fabric: str
) -> dynamodb.CfnGlobalTable.ReplicaSpecificationProperty:
    """Specify one replica: the settings that DynamoDB does not synchronise between replicas."""
    of = dynamodb.CfnGlobalTable
    return of.ReplicaSpecificationProperty(
        region=region,
        deletion_protection_enabled=True,
        point_in_time_recovery_specification=of.PointInTimeRecoverySpecificationProperty(
            point_in_time_recovery_enabled=True, recovery_period_in_days=RECOVERY_DAYS
        ),
        # The key is named by its alias: references between Regions would tie the stacks of all Regions together.
        sse_specification=of.ReplicaSSESpecificationProperty(
            kms_master_key_id=f"arn:{stack.partition}:kms:{region}:{stack.account}:{key_alias}"
        ),
        tags=[CfnTag(key=FABRIC_TAG, value=fabric)],
    )
