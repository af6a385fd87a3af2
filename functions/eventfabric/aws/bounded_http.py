"""HTTP connections for botocore that end a call in time, and that are a forked child's own.

A socket's time-out counts from byte to byte, so a peer that sends a byte now and then is waited for without end. Here
everything that a connection does, connecting, sending or reading, has only the time that is left of the whole call.
"""

from collections.abc import Callable
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from math import inf
from queue import LifoQueue
from socket import socket
from threading import local
from time import monotonic
from typing import Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

from eventfabric import limits
from eventfabric.copies import when_forked

_SEND_BYTES = 64 * 1024


class _CallOfThread(local):
    until = inf
    """Time by the monotonic clock at which the call that this thread makes must have ended."""


_call = _CallOfThread()


def end_call_within(seconds: float) -> None:
    """Give this thread so much time for all it does on connections of this module, until told otherwise."""
    _call.until = monotonic() + seconds


def _bounded(timeout_seconds: float | None) -> float | None:
    """Return the time-out of one more operation on a socket. TimeoutError if none may begin."""
    left = _call.until - monotonic()
    if left <= 0:
        raise TimeoutError("the time of the whole call is over")
    if left == inf:
        return timeout_seconds
    return left if timeout_seconds is None else min(left, timeout_seconds)


class ReplyTooLargeError(OSError):
    """A reply is larger than any that a service gives: its sender is not a service, and may never end."""


class _BoundedReads(RawIOBase):
    """Bytes of one reply. Each read has what is left of the call, but no more than the time-out of one read."""

    def __init__(self, sock: socket) -> None:
        self._sock = sock
        self._timeout_seconds = sock.gettimeout()
        self._raw = sock.makefile("rb", buffering=0)
        self._left = limits.REPLY_BYTES_MAX

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_bounded(self._timeout_seconds))
        count = self._raw.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise ReplyTooLargeError(f"the reply has more than {limits.REPLY_BYTES_MAX:,} bytes")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Readable:
    """The part of a socket's interface that a response uses."""

    def __init__(self, sock: socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> BufferedReader:
        return BufferedReader(_BoundedReads(self._sock))


class _Response(HTTPResponse):
    def __init__(self, sock: socket, *arguments: Any, **more: Any) -> None:
        super().__init__(_Readable(sock), *arguments, **more)  # type: ignore[arg-type]  # it makes a file of it


class _Bounded:
    """Mixin for botocore's connections: what those with and without TLS do alike."""

    response_class: Any = _Response
    timeout: float | None
    sock: socket | None
    connect: Callable[[], None]

    def _new_conn(self) -> socket:
        self.timeout = _bounded(self.timeout)
        return super()._new_conn()  # type: ignore[no-any-return, misc]  # botocore's

    def send(self, message: Any) -> None:
        """Send it piece by piece: with TLS, the time-out of a socket holds for only a few kilobytes."""
        if self.sock is None:
            self.connect()
        assert self.sock is not None, "a connection that failed raises"
        for start in range(0, len(message), _SEND_BYTES):
            self.sock.settimeout(_bounded(self.timeout))
            super().send(message[start : start + _SEND_BYTES])  # type: ignore[misc]  # botocore's


class _Plain(_Bounded, AWSHTTPConnection):  # type: ignore[misc]  # botocore's own bases disagree
    pass


class _Tls(_Bounded, AWSHTTPSConnection):  # type: ignore[misc]  # botocore's own bases disagree
    pass


class _OwnConnections(LifoQueue[Any]):
    """Connections of a pool. A forked child drops its original's: two processes cannot share a conversation."""

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        when_forked(self._begin)

    def _begin(self) -> None:
        inherited = [connection for connection in self.queue if connection is not None]
        # The locks may have been held by a thread that the child does not have.
        LifoQueue.__init__(self, self.maxsize)
        for connection in inherited:
            connection.close()
        for _ in range(self.maxsize):
            self.put_nowait(None)


class _PlainPool(AWSHTTPConnectionPool):
    ConnectionCls = _Plain
    QueueCls = _OwnConnections


class _TlsPool(AWSHTTPSConnectionPool):
    ConnectionCls = _Tls
    QueueCls = _OwnConnections


def bound(client: Any) -> None:
    """Make a botocore client use connections of this module."""
    # botocore has no setting for it. The session's manager holds this very dict, and has made no pool yet.
    client._endpoint.http_session._pool_classes_by_scheme.update(http=_PlainPool, https=_TlsPool)
