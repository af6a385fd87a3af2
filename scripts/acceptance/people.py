"""Roles of the people in the test, a publisher and an operator: they have only managed policies of the log stack."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from botocore.exceptions import BotoCoreError, ClientError

from scripts.acceptance.target import Person, Target

PATIENCE_SECONDS = 60
"""Time to wait for a new role: IAM's changes reach other services within seconds."""


@contextmanager
def person(target: Target, region: str, name: str, policies: list[str]) -> Iterator[Person]:
    """Create a role with the named policies, and yield it with credentials. It is deleted afterwards."""
    iam = target.client("iam", region)
    whoami = target.client("sts", region).get_caller_identity()["Arn"]
    partition = whoami.split(":")[1]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:{partition}:iam::{target.account}:root"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    attached = [f"arn:{partition}:iam::{target.account}:policy/{policy}" for policy in policies]
    try:
        for policy in attached:
            iam.attach_role_policy(RoleName=name, PolicyArn=policy)
        yield Person(name, arn, assume(target, region, arn))
    finally:
        with suppress(ClientError, BotoCoreError):
            for policy in attached:
                iam.detach_role_policy(RoleName=name, PolicyArn=policy)
            for inline in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                iam.delete_role_policy(RoleName=name, PolicyName=inline)
            iam.delete_role(RoleName=name)


def policies(target: Target, region: str, *names: str) -> list[str]:
    """List the managed policies of these names, and the policies that continue those which are too long."""
    pages = target.client("iam", region).get_paginator("list_policies").paginate(Scope="Local")
    there = [policy["PolicyName"] for page in pages for policy in page["Policies"]]
    return sorted(
        policy for policy in there for name in names if policy == name or policy.startswith(f"{name}-")
    )


def assume(target: Target, region: str, arn: str) -> dict[str, str]:
    """Assume a role and return its credentials."""
    sts = target.client("sts", region)
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            credentials = sts.assume_role(RoleArn=arn, RoleSessionName="acceptance")["Credentials"]
        except ClientError:
            if time.monotonic() > until:
                raise
            time.sleep(2)
            continue
        return {
            "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": credentials["SessionToken"],
        }
