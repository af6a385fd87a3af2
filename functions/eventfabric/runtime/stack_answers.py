"""Answers to the requests of stacks: whoever goes, or returns, is never refused."""

import json
import urllib.request
from collections.abc import Callable
from logging import getLogger
from typing import Any, Final

from eventfabric.resources import CHECKED_VERSION

MARGIN_SECONDS: Final = 20
"""Part of an invocation's time that is kept for the answer."""
_REASON_CHARACTERS_MAX: Final = 1_000
"""CloudFormation takes an answer of 4,096 bytes."""
_AND_MORE: Final = " ... and more: the function's log has all of it"
_log = getLogger("eventfabric")


def rolls_back(status: str) -> bool:
    """Tell if a stack of this status returns to what was there before."""
    return "ROLLBACK" in status


def answer_after(error: Exception, event: dict[str, Any], status_of: Callable[[str], str]) -> dict[str, Any]:
    """Answer after an error. It keeps nobody from deleting a stack or from returning to what was there before."""
    _log.warning("a stack's request was refused, or failed: %s", error, exc_info=error)
    try:
        if event["RequestType"] == "Delete" or rolls_back(status_of(event["StackId"])):
            return answered()
    except Exception as unknown:  # CloudFormation must hear of any error
        _log.warning("the stack's status is not known: %s", unknown)
    return failed(str(error))


def answered(version: str = "") -> dict[str, Any]:
    """Return the answer that something is done. It has all attributes, which a stack may need also if it rolls back."""
    return {"Status": "SUCCESS", "Data": {CHECKED_VERSION: version}}


def failed(reason: str) -> dict[str, Any]:
    """Return the answer that something is refused, or failed."""
    if len(reason) > _REASON_CHARACTERS_MAX:
        reason = reason[: _REASON_CHARACTERS_MAX - len(_AND_MORE)] + _AND_MORE
    return {"Status": "FAILED", "Reason": reason}


def respond(event: dict[str, Any], answer: dict[str, Any]) -> None:
    """Send the answer to where CloudFormation waits for it. A resource is the same for ever.

    What is deleted keeps the id that CloudFormation gives it: it has made one up if it cancelled the creation.
    """
    ids = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    given = event.get("PhysicalResourceId") if event["RequestType"] == "Delete" else None
    body = json.dumps({**answer, **ids, "PhysicalResourceId": given or "catalogue"}).encode()
    request = urllib.request.Request(
        event["ResponseURL"], data=body, method="PUT", headers={"Content-Type": ""}
    )
    with urllib.request.urlopen(request, timeout=MARGIN_SECONDS / 2):
        pass
