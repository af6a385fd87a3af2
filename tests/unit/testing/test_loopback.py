"""The local server answers programs on this machine, and no web page."""

from collections.abc import Iterable
from typing import Any

import pytest

from eventfabric.testing.local.loopback import Loopback

OWN: dict[str, Any] = {
    "SERVER_PORT": "4599",
    "HTTP_HOST": "127.0.0.1:4599",
    "REQUEST_METHOD": "POST",
    "HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=local/20261101/us-east-1/dynamodb/aws4_request, ...",
}


def answer(**changed: str | None) -> tuple[str, bytes]:
    statuses: list[str] = []

    def served(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"served"]

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        statuses.append(status)

    environ = {name: value for name, value in {**OWN, **changed}.items() if value is not None}
    body = b"".join(Loopback(served)(environ, start_response))
    return statuses[0], body


@pytest.mark.parametrize("host", ["127.0.0.1:4599", "localhost:4599", "LOCALHOST:4599", "[::1]:4599"])
def test_a_signed_request_to_a_name_of_this_machine_is_served(host: str) -> None:
    assert answer(HTTP_HOST=host) == ("200 OK", b"served")
    assert answer(HTTP_HOST=host, HTTP_ORIGIN=f"http://{host}") == ("200 OK", b"served")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"HTTP_HOST": "evil.example:4599"}, b"Host"),
        ({"HTTP_HOST": "127.0.0.1.evil.example:4599"}, b"Host"),
        ({"HTTP_HOST": "127.0.0.1:80"}, b"Host"),
        ({"HTTP_HOST": "127.0.0.1"}, b"Host"),
        ({"HTTP_HOST": None}, b"Host"),
        ({"HTTP_ORIGIN": "https://evil.example"}, b"Origin"),
        ({"HTTP_ORIGIN": "null"}, b"Origin"),
        ({"HTTP_ORIGIN": "http://127.0.0.1:8080"}, b"Origin"),
        ({"HTTP_ORIGIN": "https://127.0.0.1:4599"}, b"Origin"),
        ({"HTTP_ORIGIN": "http://[", "REQUEST_METHOD": "OPTIONS"}, b"Origin"),
        ({"HTTP_AUTHORIZATION": None}, b"Authorization"),
        ({"HTTP_AUTHORIZATION": "Basic bG9jYWw6"}, b"Authorization"),
        ({"HTTP_AUTHORIZATION": None, "PATH_INFO": "/moto-api/reset"}, b"Authorization"),
        (
            {"HTTP_AUTHORIZATION": None, "REQUEST_METHOD": "GET", "QUERY_STRING": "Action=PurgeQueue"},
            b"Authorization",
        ),
    ],
    ids=str,
)
def test_what_a_page_could_send_is_refused_with_the_reason(
    changed: dict[str, str | None], said: bytes
) -> None:
    status, body = answer(**changed)
    assert status == "403 Forbidden"
    assert body.startswith(b"eventfabric local: " + said)
