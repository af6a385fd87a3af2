"""Lambda's runtime API on loopback: gives invocations to a function's process, and keeps what it answers."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any
from uuid import uuid4

from tests.infra.deployed import command, runtime_client

_API = "/2018-06-01/runtime/"
PATIENCE_SECONDS = 60
_RUN = """
from awslambdaric.__main__ import main
main(["bootstrap", {entry!r}])
"""


@dataclass(frozen=True)
class Report:
    """A call of the process to the API: `response`, `error` or `init/error`, with its content."""

    kind: str
    content: Any


@dataclass
class RuntimeApi:
    """One function's. `address` is host and port."""

    address: str = ""
    reports: "Queue[Report]" = field(default_factory=Queue)
    waiting: "Queue[tuple[str, bytes]]" = field(default_factory=Queue)

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """Return the function's answer. AssertionError if it fails, or does not answer."""
        answer = self.tell(event)
        assert answer.kind == "response", answer.content
        return answer.content

    def tell(self, event: Mapping[str, Any]) -> Report:
        """Invoke the function, and return what the process tells the API."""
        self.waiting.put((uuid4().hex, json.dumps(event).encode()))
        return self.next()

    def next(self) -> Report:
        """Return what the process tells the API next. AssertionError if it tells nothing in time."""
        try:
            return self.reports.get(timeout=PATIENCE_SECONDS)
        except Empty:
            raise AssertionError("the function's process told nothing") from None


def _server(api: RuntimeApi) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            assert self.path == f"{_API}invocation/next"
            request, body = api.waiting.get()
            headers = {
                "Lambda-Runtime-Aws-Request-Id": request,
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + PATIENCE_SECONDS) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:tested",
                "Content-Type": "application/json",
            }
            self._answer(200, headers, body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kind = self.path.removeprefix(_API)
            kind = kind.rpartition("/")[2] if kind.startswith("invocation/") else kind
            self._answer(202, {}, b"")
            api.reports.put(Report(kind, json.loads(body)))

        def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: what is asked stands in `reports`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server


@dataclass
class Started:
    """A function's process under Lambda's runtime client, and the API that it asks."""

    api: RuntimeApi
    process: "subprocess.Popen[bytes]"
    log: Path

    def ended(self) -> int:
        """Its exit code, once it ended by itself."""
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def started(entry: str, zip_folder: Path, environment: Mapping[str, str], log: Path) -> Iterator[Started]:
    """A function of the zip in a process of its own, which ends with the block."""
    api = RuntimeApi()
    server = _server(api)
    api.address = "{}:{}".format(*server.server_address[:2])
    serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(_RUN.format(entry=entry), zip_folder, runtime_client()),
            cwd=zip_folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, "AWS_LAMBDA_RUNTIME_API": api.address},
        )
    try:
        yield Started(api, process, log)
    finally:
        process.kill()
        process.wait()
        server.shutdown()
        server.server_close()
        serving.join()
