"""Access control: only programs on this machine that address the local fabric on purpose may talk to it.

a page's form or image         sends no signature                                   refused
a page's script                sends its Origin                                     refused
a foreign name that resolves   sends that name as Host (DNS rebinding)              refused
to 127.0.0.1
SDKs, the AWS CLI, curl with   sign each request, with any credentials              served
--aws-sigv4
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
_SIGNED: Final = "AWS4-"
"""Start of the Authorization header of a signed request. Forms cannot send it, and scripts only if permitted."""


class Loopback:
    """WSGI application that passes on permitted requests, and answers all others with 403 and the reason."""

    def __init__(self, inner: Application) -> None:
        self._inner = inner

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        reason = refusal(environ)
        if reason is None:
            return self._inner(environ, start_response)
        body = f"eventfabric local: {reason}\n".encode("ascii", "backslashreplace")
        status = HTTPStatus.FORBIDDEN
        headers = [("Content-Type", "text/plain; charset=us-ascii"), ("Content-Length", str(len(body)))]
        start_response(f"{status.value} {status.phrase}", headers)
        return [body]


def refusal(environ: dict[str, Any]) -> str | None:
    """Return why a request is refused; None: it is served."""
    port = str(environ.get("SERVER_PORT", ""))
    hosts = {f"{name}:{port}" for name in _NAMES}
    host = str(environ.get("HTTP_HOST", ""))
    if host.lower() not in hosts:
        return f"Host: found {host!r:.80}, allowed: {', '.join(sorted(hosts))}"
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and not _is_own(str(origin), hosts):
        return f"Origin: found {origin!r:.80}, allowed: none, or one of this server's own"
    if not str(environ.get("HTTP_AUTHORIZATION", "")).startswith(_SIGNED):
        return "Authorization: found none that is signed, allowed: as SDKs and the AWS CLI sign, with any credentials"
    return None


def _is_own(origin: str, hosts: set[str]) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme == "http" and parts.netloc.lower() in hosts
