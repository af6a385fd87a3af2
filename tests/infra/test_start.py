"""The trial of functions in a deployment: which are named, what is waited for, and what is never refused.

The services are a server on loopback that answers as the API models of Lambda and CloudFormation say.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from eventfabric.cdk.lookup import start
from eventfabric.runtime.wiring import LOAD_ONLY
from tests.support.messages import missing_from

Turn = tuple[int, str, dict[str, Any]]
"""Status, kind of error and content of an answer."""
STARTED: Turn = (200, "", {})
BROKEN = (
    200,
    "Unhandled",
    {"errorType": "Runtime.ImportModuleError", "errorMessage": "No module named 'rows'"},
)
DENIED = (403, "", {"Type": "User", "Message": "not authorized to perform: lambda:InvokeFunction"})
THROTTLED = (429, "", {"Type": "User", "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"})
CODES = {403: "AccessDeniedException", 429: "TooManyRequestsException"}
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/shop-cell-us-east-1/1"
STATUS = """<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>shop</StackName>
<CreationTime>2026-11-29T00:00:00Z</CreationTime><StackStatus>{}</StackStatus></member></Stacks></DescribeStacksResult>
</DescribeStacksResponse>"""


@dataclass
class Services:
    """Lambda, CloudFormation and the place of answers. Functions answer in turn, the last answer again and again."""

    functions: dict[str, list[Turn]]
    status: str = "UPDATE_IN_PROGRESS"
    url: str = ""
    invoked: list[tuple[str, Any]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)

    def request(self, kind: str, *, versions: list[str] | None = None) -> dict[str, Any]:
        """Make the function answer a request of CloudFormation; its answer."""
        named = sorted(self.functions) if versions is None else versions
        arns = [f"arn:aws:lambda:us-east-1:123456789012:function:{name}:7" for name in named]
        event = {
            "RequestType": kind,
            "StackId": STACK,
            "RequestId": "r",
            "LogicalResourceId": "StartStarted",
            "ResponseURL": f"{self.url}/answer",
            "ResourceProperties": {"Versions": arns},
        }
        start.handle(event, Remaining())
        return self.answers.pop()


class Remaining:
    """The part of Lambda's context that the function uses."""

    def get_remaining_time_in_millis(self) -> int:
        return 1000 * start._MARGIN_SECONDS  # one try, and no other


class _Requests(BaseHTTPRequestHandler):
    services: Services

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.path.startswith("/2015-03-31/functions/"):
            self._answer(200, STATUS.format(self.services.status).encode())
            return
        name = self.path.replace("%3A", ":").split(":")[6]
        self.services.invoked.append((name, json.loads(body)))
        turns = self.services.functions[name]
        status, failed, content = turns.pop(0) if len(turns) > 1 else turns[0]
        headers = {"X-Amz-Function-Error": failed} if failed else {}
        if status in CODES:
            headers["x-amzn-errortype"] = CODES[status]
        self._answer(status, json.dumps(content).encode(), headers)

    def do_PUT(self) -> None:
        self.services.answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(200, b"")

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what was asked stands in the services."""


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    services = Services({})
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Requests", (_Requests,), {"services": services}))
    services.url = "http://{}:{}".format(*server.server_address[:2])
    serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    environment = {"AWS_ENDPOINT_URL": services.url, "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**environment, "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    yield services
    server.shutdown()
    server.server_close()
    serving.join()


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_each_function_is_started_once_by_an_event_that_has_no_effect(kind: str, services: Services) -> None:
    services.functions.update({"shop-billing": [STARTED], "shop-relay": [STARTED]})
    assert services.request(kind)["Status"] == "SUCCESS"
    assert sorted(services.invoked) == [("shop-billing", LOAD_ONLY), ("shop-relay", LOAD_ONLY)]


def test_functions_that_cannot_start_are_refused_by_name_with_the_cause(services: Services) -> None:
    services.functions.update({"shop-billing": [BROKEN], "shop-relay": [STARTED], "shop-timer": [DENIED]})
    answer = services.request("Update")
    assert answer["Status"] == "FAILED"
    words = ("2 of 3", "shop-billing", "Runtime.ImportModuleError", "'rows'", "shop-timer", "not authorized")
    assert missing_from(answer["Reason"], *words) == []
    assert "shop-relay" not in answer["Reason"]


def test_a_reason_is_short_however_many_functions_fail(services: Services) -> None:
    broken = (200, "Unhandled", {"errorType": "ImportError", "errorMessage": "x" * 5000})
    services.functions.update({f"shop-{number}": [broken] for number in range(40)})
    reason = services.request("Create")["Reason"]
    assert missing_from(reason, "40 of 40", "shop-0") == []
    assert len(reason) <= 1000


@pytest.mark.parametrize(
    "early", [DENIED, BROKEN], ids=["not permitted yet", "without a permission of its own yet"]
)
def test_what_a_new_permission_takes_is_waited_for(
    early: Turn, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Remaining, "get_remaining_time_in_millis", lambda self: 300_000)
    services.functions["shop-billing"] = [early, early, STARTED]
    assert services.request("Create")["Status"] == "SUCCESS"
    assert len(services.invoked) == 3


def test_a_function_that_is_busy_all_the_time_keeps_nobody_from_deploying(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    services.functions["shop-billing"] = [THROTTLED]
    assert services.request("Update")["Status"] == "SUCCESS"
    assert missing_from(capsys.readouterr().out, "shop-billing", "not tried", "throttled") == []


@pytest.mark.parametrize("status", ["ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"])
def test_a_stack_that_rolls_back_is_not_kept_from_it(status: str, services: Services) -> None:
    services.functions["shop-billing"], services.status = [BROKEN], status
    assert services.request("Update")["Status"] == "SUCCESS"


def test_a_deletion_starts_nothing_and_the_resource_is_the_same_for_ever(services: Services) -> None:
    services.functions["shop-billing"] = [BROKEN]
    answer = services.request("Delete")
    assert (answer["Status"], services.invoked) == ("SUCCESS", [])
    services.functions["shop-billing"] = [STARTED]
    kept = {services.request(kind)["PhysicalResourceId"] for kind in ("Create", "Update")}
    assert kept == {answer["PhysicalResourceId"]}


def test_cloudformation_hears_of_any_error(services: Services) -> None:
    services.functions["shop-billing"] = [BROKEN]
    services.status = "no<status"
    answer = services.request("Update")
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("functions were not started")
