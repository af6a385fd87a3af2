"""The work of a cold start, counted: modules imported beyond boto3's own, and files that botocore reads for clients."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

HANDLERS = ("relay", "deliver", "timer", "reconcile", "backfill")
MODULES_MAX = 190
"""Beyond those of `import boto3`, the AWS SDK's own included that it imports only with its first client."""
CLIENT_FILES = 7
"""Endpoints, defaults and partitions, once; of DynamoDB and of SQS, the service and its rules of endpoints."""

RARE = tuple(
    f"eventfabric.services.delivery.{name}"
    for name in ("seals", "takeover", "inherit", "sought_keys", "granting")
)
"""Modules of deliveries that only lanes need which were split, taken over, or whose producers are held back."""

_COUNTED = """
import json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
import boto3
known = len(sys.modules)
import {module}
own = len(sys.modules) - known
from eventfabric.aws.clients import Clients
del opened[:]
Clients("us-east-1")
late = len(sys.modules) - known - own
files = [name.rpartition("/botocore/data/")[2] for name in opened if "/botocore/data/" in name]
rare = [name for name in {rare} if name in sys.modules]
print(json.dumps({{"own": own, "late": late, "files": files, "rare": rare}}))
"""


def counted(module: str) -> dict[str, Any]:
    """In a fresh interpreter, with credentials in its environment, as in Lambda."""
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    process = subprocess.run(
        [sys.executable, "-c", _COUNTED.format(module=module, rare=RARE)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    counts: dict[str, Any] = json.loads(process.stdout)
    return counts


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_function_imports_no_more_than_its_budget_and_nothing_once_it_runs(handler: str) -> None:
    counts = counted(f"eventfabric.handlers.{handler}")
    assert counts["own"] <= MODULES_MAX
    assert counts["late"] == 0, "what its clients need is imported with it, and not by the first invocation"
    assert len(counts["files"]) == len(set(counts["files"])) == CLIENT_FILES


def test_a_function_that_delivers_imports_nothing_of_what_few_lanes_need() -> None:
    assert counted("eventfabric.handlers.deliver")["rare"] == []
