"""A custom resource's function: tells CloudFormation the stream ARN of a table in this Region.

It is deployed inline, so it imports nothing of the fabric and stays below 4,096 characters.
"""

import json
import time
import urllib.request
from typing import Any

import boto3

_PATIENCE_SECONDS = 30
"""Part of each invocation's time that is kept for the answer."""


def handle(event: dict[str, Any], context: Any) -> None:
    """Answer a request in any case: without an answer, the stack waits until its time-out."""
    table = event["ResourceProperties"]["TableName"]
    answer = {"Status": "SUCCESS", "PhysicalResourceId": table}
    try:
        if event["RequestType"] != "Delete":
            answer["Data"] = {"StreamArn": stream_arn(table, context)}
    except Exception as error:  # CloudFormation must hear of any error
        answer |= {"Status": "FAILED", "Reason": f"stream of table {table}: {error}"}
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        answer[name] = event[name]
    body = json.dumps(answer).encode()
    request = urllib.request.Request(
        event["ResponseURL"], data=body, method="PUT", headers={"Content-Type": ""}
    )
    urllib.request.urlopen(request, timeout=20)


def stream_arn(table: str, context: Any) -> str:
    """Wait until the table, which may be a new replica, is active here and has a stream, and return its ARN."""
    client = boto3.client("dynamodb")
    while True:
        try:
            description = client.describe_table(TableName=table)["Table"]
            if description["TableStatus"] in ("ACTIVE", "UPDATING") and "LatestStreamArn" in description:
                return description["LatestStreamArn"]
            state = f"is {description['TableStatus']}, with no stream"
        except client.exceptions.ResourceNotFoundException:
            state = "is not in this Region"
        if context.get_remaining_time_in_millis() < 1000 * _PATIENCE_SECONDS:
            raise TimeoutError(f"it {state}; deploy the log stack first")
        time.sleep(5)
