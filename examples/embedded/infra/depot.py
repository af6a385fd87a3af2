"""The depot's own stack, which knows nothing of a fabric: a table, and a service in a container image."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct


class Depot(cdk.Stack):
    """The stock of the depot, and the scanner at its gate."""

    def __init__(self, scope: Construct, id: str, **arguments: Any) -> None:
        super().__init__(scope, id, **arguments)
        self.stock = dynamodb.TableV2(
            self,
            "Stock",
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
        )
        images = ecr.Repository.from_repository_name(self, "Images", "depot-scanner")
        logging = iam.ManagedPolicy.from_aws_managed_policy_name("service-role/AWSLambdaBasicExecutionRole")
        self.scanner_role = iam.Role(
            self,
            "ScannerRole",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            managed_policies=[logging],
        )
        self.scanner = lambda_.DockerImageFunction(
            self,
            "Scanner",
            code=lambda_.DockerImageCode.from_ecr(images, tag_or_digest="2026-01"),
            role=self.scanner_role,
        )
