"""Answers of the catalogue's function, which CloudFormation gets in any case; AWS is a server on loopback."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from threading import enumerate as enumerate_threads
from typing import Any

import pytest

from eventfabric.aws import stacks
from eventfabric.definition.schema import to_json
from eventfabric.deployment import declarations
from eventfabric.resources import CHECK
from eventfabric.runtime import catalogue, stack_answers
from tests.support.memory_fabric import HOME
from tests.support.messages import missing_from
from tests.support.subscribed_stream import topology

PLAIN = topology()


class Context:
    """The part of Lambda's context that the function uses."""

    def __init__(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


@dataclass
class Services:
    """AWS at one address, with no table and no stack, and the place to which answers go."""

    url: str = ""
    answers: list[dict[str, Any]] = field(default_factory=list)
    held: Event = field(default_factory=Event)
    """Set: requests are answered."""

    def handle(self, kind: str, *, seconds: int = 300, **properties: str) -> dict[str, Any]:
        """Have the function handle a request, and return its answer."""
        sent = {
            "RequestType": kind,
            "ResourceType": CHECK,
            "StackId": "stack/cell",
            "RequestId": "r",
            "LogicalResourceId": "Allowed",
            "ResponseURL": f"{self.url}/answer",
            "ResourceProperties": properties or {"Asked": declarations.asked_of_cell(PLAIN, HOME)},
        }
        catalogue.handle(sent, Context(1000 * seconds))  # type: ignore[arg-type]  # a part of it
        return self.answers.pop()


class Requests(BaseHTTPRequestHandler):
    services: Services

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.services.held.wait()
        self._answer(400, b'{"__type": "x#ResourceNotFoundException", "message": "no such table"}')

    def do_PUT(self) -> None:
        self.services.answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(200, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", "R1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what was asked stands in the services."""


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Services]:
    services = Services()
    services.held.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Requests", (Requests,), {"services": services}))
    services.url = "http://{}:{}".format(*server.server_address[:2])
    serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    (tmp_path / "definition.json").write_bytes(to_json(PLAIN.definition))
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "AWS_ENDPOINT_URL": services.url,
        "AWS_REGION": HOME,
        "EVENTFABRIC_DEFINITION": "definition.json",
    }.items():
        monkeypatch.setenv(name, value)
    yield services
    services.held.set()
    for thread in [thread for thread in enumerate_threads() if thread.name.startswith(catalogue.THREAD)]:
        thread.join()
    server.shutdown()
    server.server_close()
    serving.join()


def test_the_first_check_of_a_fabric_finds_no_table_and_refuses_nothing(services: Services) -> None:
    answer = services.handle("Create")
    assert (answer["Status"], answer["Data"], answer["RequestId"]) == ("SUCCESS", {"Version": ""}, "r")
    assert services.handle("Delete")["PhysicalResourceId"] == answer["PhysicalResourceId"]


def test_what_cannot_be_read_is_answered_in_short(services: Services) -> None:
    answer = services.handle("Create", Asked="{" + 5_000 * " ")
    assert (answer["Status"], len(answer["Reason"]) <= 1_000) == ("FAILED", True)


def test_a_reason_that_is_cut_off_says_so() -> None:
    reason = stack_answers.failed("x" * 5_000)["Reason"]
    assert (len(reason), reason.endswith("the function's log has all of it")) == (1_000, True)
    assert stack_answers.failed("x" * 1_000)["Reason"] == "x" * 1_000


def test_a_function_without_its_definition_answers(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVENTFABRIC_DEFINITION")
    assert missing_from(services.handle("Update")["Reason"], "EVENTFABRIC_DEFINITION") == []
    monkeypatch.setattr(stacks, "status_of", lambda *_, **__: "UPDATE_ROLLBACK_IN_PROGRESS")
    assert services.handle("Update")["Status"] == "SUCCESS"


def test_time_that_runs_out_is_answered(services: Services) -> None:
    services.held.clear()
    assert "no result within 0 s" in services.handle("Create", seconds=20)["Reason"]
    assert services.handle("Delete", seconds=20)["Status"] == "SUCCESS"
