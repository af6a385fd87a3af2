"""An endpoint in this process that answers at once, so that only the client's own cost of a call remains.

Requests are built and signed, and replies are parsed, as always; only the socket is missing.
"""

from binascii import crc32
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

REGION = "us-east-1"


def session() -> boto3.Session:
    """Make a session with credentials that can sign requests, but give access to nothing."""
    return boto3.Session("none", "none", region_name=REGION)


class _Body:
    """The part of urllib3's response that botocore reads."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._content


class NullEndpoint:
    """Answers the clients that it is attached to, and counts their calls by operation."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def client(self, service: str, answer: bytes | Callable[[bytes], bytes]) -> Any:
        """Make a client of a service. `answer` is the body of every reply, or makes it from the request's body."""
        client = session().client(service)  # type: ignore[call-overload]  # any service
        self.attach(client, answer)
        return client

    def attach(self, client: Any, answer: bytes | Callable[[bytes], bytes]) -> None:
        """Answer the calls of an existing client."""

        def before_send(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
            target = request.headers.get("X-Amz-Target", b"")
            name = target.decode() if isinstance(target, bytes) else target
            self.calls[name.rpartition(".")[2]] += 1
            content = answer if isinstance(answer, bytes) else answer(_bytes_of(request))
            headers = HTTPHeaders()
            headers["x-amzn-requestid"] = "none"
            headers["x-amz-crc32"] = str(crc32(content))
            return AWSResponse(request.url, 200, headers, _Body(content))

        client.meta.events.register("before-send", before_send)


def _bytes_of(request: AWSPreparedRequest) -> bytes:
    body = request.body
    return body if isinstance(body, bytes) else str(body or "").encode()
