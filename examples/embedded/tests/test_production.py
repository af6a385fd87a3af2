"""Tests of what would be deployed: the depot's stack and the fabric's, and what each may do with the other."""

import pytest

from app import REGION, Production

# isort: split
import aws_cdk as cdk
from aws_cdk.assertions import Match, Template


@pytest.fixture(scope="module")
def production() -> Production:
    return Production(cdk.App())


@pytest.fixture(scope="module")
def depot(production: Production) -> Template:
    return Template.from_stack(production.depot)


@pytest.fixture(scope="module")
def stock(production: Production) -> Template:
    return Template.from_stack(production.fabric.subscriptions["stock"][REGION])


def test_the_scanner_may_publish_parcels(depot: Template) -> None:
    [role] = depot.find_resources("AWS::IAM::Role")
    table = {"Fn::Join": ["", Match.array_with([Match.string_like_regexp(":table/depot-parcels$")])]}
    statement = {"Action": "dynamodb:PutItem", "Effect": "Allow", "Resource": table}
    depot.has_resource_properties(
        "AWS::IAM::ManagedPolicy",
        {
            "PolicyDocument": {"Statement": Match.array_with([Match.object_like(statement)])},
            "Roles": [{"Ref": role}],
        },
    )


def test_the_depots_stack_has_got_that_policy_and_nothing_else(depot: Template) -> None:
    resources = depot.to_json()["Resources"].values()
    assert sorted(body["Type"] for body in resources) == [
        "AWS::DynamoDB::GlobalTable",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Role",
        "AWS::Lambda::Function",
    ]


def test_the_handler_counts_in_the_depots_table(stock: Template) -> None:
    stock.has_resource_properties(
        "AWS::Lambda::Function",
        {
            "FunctionName": "depot-stock",
            "Environment": {
                "Variables": Match.object_like(
                    {"STOCK_TABLE": {"Fn::ImportValue": Match.string_like_regexp("Depot:.*Stock")}}
                )
            },
        },
    )
    statement = {
        "Action": "dynamodb:UpdateItem",
        "Resource": {"Fn::ImportValue": Match.string_like_regexp("Depot:.*Stock.*Arn")},
    }
    stock.has_resource_properties(
        "AWS::IAM::Policy",
        {"PolicyDocument": {"Statement": Match.array_with([Match.object_like(statement)])}},
    )


def test_each_stack_is_deployed_after_what_it_needs(production: Production) -> None:
    fabric = production.fabric
    assert fabric.logs[REGION] in production.depot.dependencies  # the stream that the scanner publishes to
    assert (
        production.depot in fabric.subscriptions["stock"][REGION].dependencies
    )  # the table that the handler writes to
