"""A custom resource's function: tells CloudFormation which functions of a stack cannot start.

It is deployed inline, so it imports nothing of the fabric and stays below 4,096 characters.
"""

import json
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import boto3
from botocore.config import Config

_LOAD = b'{"eventfabric": "load"}'
"""The event for which a function loads all that it needs, and does nothing else (see runtime/wiring.py)."""
_ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=60)
_PATIENCE_SECONDS = 30
"""Time that a new permission takes to be known everywhere, which a handler may use when it is imported."""
_MARGIN_SECONDS = 100
"""Part of the invocation's time that is kept for a call that is under way, and for the answer."""


def handle(event: dict[str, Any], context: Any) -> None:
    """Answer a request in any case: without an answer, the stack waits until its time-out."""
    answer = {"Status": "SUCCESS", "PhysicalResourceId": "start"}
    try:
        if event["RequestType"] != "Delete":
            reason = refusal(event["ResourceProperties"]["Versions"], context)
            if reason and not rolls_back(event["StackId"]):
                answer |= {"Status": "FAILED", "Reason": reason}
    except Exception as error:  # CloudFormation must hear of any error
        answer |= {"Status": "FAILED", "Reason": f"functions were not started: {error}"[:1000]}
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        answer[name] = event[name]
    body = json.dumps(answer).encode()
    request = urllib.request.Request(
        event["ResponseURL"], data=body, method="PUT", headers={"Content-Type": ""}
    )
    urllib.request.urlopen(request, timeout=20)


def refusal(versions: list[str], context: Any) -> str:
    """Start each function once, as its first message would. Return what to tell about those that fail, if any."""
    ends = time.time() + context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS
    with ThreadPoolExecutor(10) as pool:
        failures = list(
            filter(None, pool.map(partial(failure, boto3.client("lambda", config=_ONCE), ends), versions))
        )
    return (
        f"{len(failures)} of {len(versions)} functions cannot start. {' '.join(failures)}"[:1000]
        if failures
        else ""
    )


def failure(client: Any, ends: float, version: str) -> str:
    """Return why a function cannot start, or nothing if it can. A function that is busy all the time is not tried."""
    patient = time.time() + _PATIENCE_SECONDS
    name = version.split(":")[6]
    while True:
        until = ends
        try:
            answer = client.invoke(FunctionName=version, Payload=_LOAD)
            if "FunctionError" not in answer:
                return ""
            raised = json.load(answer["Payload"])
            cause, until = f"{raised.get('errorType')}: {raised.get('errorMessage')}", min(ends, patient)
        except client.exceptions.TooManyRequestsException:
            cause = ""
        except Exception as error:  # not there yet, not permitted yet, no answer in time
            cause = str(error)
        if time.time() > until:
            print(f"{name}: {cause or 'not tried, since it was throttled'}")
            return cause and f"{name}: {cause[:300]}."
        time.sleep(3)


def rolls_back(stack: str) -> bool:
    """Tell if the stack returns to what was there before, which must not be refused."""
    [description] = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return "ROLLBACK" in description["StackStatus"]
