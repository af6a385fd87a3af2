"""A botocore client that outlives a fork: the child makes its own, as neither connections nor locks can be shared."""

from collections.abc import Callable
from threading import Lock
from typing import Any

import boto3

from eventfabric.aws.calls import Calls
from eventfabric.copies import when_forked


class ForkProofClient:
    """Stand-in for a client of a session: everything asked of it is passed on to that client."""

    _is_inherited = False
    _client: Any = None

    def __init__(self, make: Callable[[], Any], *, session: boto3.Session, seconds_max: float) -> None:
        """`seconds_max`: time for each call, with all its tries."""
        self._make = make
        self._session = session
        self._seconds_max = seconds_max
        self._lock = Lock()
        self._client = self._made()
        when_forked(self._forget)

    def _forget(self) -> None:
        self._lock = Lock()
        # Kept until another is made: to drop it now would take locks that its threads may have held.
        self._is_inherited = True

    def _made(self) -> Any:
        client = self._make()
        Calls(client, seconds_max=self._seconds_max)
        return client

    def __getattr__(self, name: str) -> Any:
        if self._is_inherited:
            self._renew()
        return getattr(self._client, name)

    def _renew(self) -> None:
        with self._lock:
            if self._is_inherited:
                credentials: Any = self._session.get_credentials()
                if hasattr(credentials, "_refresh_lock"):  # its holder may not be in this process
                    credentials._refresh_lock = Lock()
                self._client = self._made()
                self._is_inherited = False
