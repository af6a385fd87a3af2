"""Corrects moto where it differs from AWS, so that nothing else in the local fabric has to know.

Holds every patch of moto. Nothing outside this package may patch moto, and nothing in here may know what the fabric is.
Each fix has a pair of tests (tests/local/test_moto_fixes.py): one shows that plain moto still has the fault, one that
the fix removes it. docs/decisions/0002 says why it is done here.

Moto's own event source mappings never fire while the fixes are applied: the local fabric drives its handlers itself, by
the rules of the real pollers.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from botocore.config import Config

from eventfabric.testing.local.moto_fixes import dynamodb, dynamodb_reads, remembered, serial, sqs

__all__ = ["applied", "client_config"]

ENDPOINT_MODE_VARIABLE = "AWS_ACCOUNT_ID_ENDPOINT_MODE"

_only_once = threading.Lock()


@contextmanager
def applied(*, now: Callable[[], float]) -> Iterator[None]:
    """Patch moto until the block ends. Enter it before any queue, table or client is created.

    `now` is the local clock in seconds since 1970, frozen or moved as the caller likes: visibility, delay,
    deduplication, retention, transaction tokens and the times in stream records follow it. It works for
    `mock_aws` and for `ThreadedMotoServer` in this process. RuntimeError if already applied: a process has one
    moto, which can follow only one clock.
    """
    if not _only_once.acquire(blocking=False):
        raise RuntimeError("the moto fixes are applied already; leave that block first")
    try:
        with ExitStack() as patches:
            _set_environment(patches, ENDPOINT_MODE_VARIABLE, "disabled")
            serial.install(patches)
            remembered.install(patches)
            sqs.install(patches, now=now)
            dynamodb.install(patches, now=now)
            dynamodb_reads.install(patches)
            yield
    finally:
        _only_once.release()


def client_config() -> Config:
    """Return the configuration for clients that are made outside `applied`: moto cannot route account-id endpoints."""
    return Config(account_id_endpoint_mode="disabled")


def _set_environment(patches: ExitStack, name: str, value: str) -> None:
    before = os.environ.get(name)
    os.environ[name] = value
    if before is None:
        patches.callback(os.environ.pop, name, None)
    else:
        patches.callback(os.environ.__setitem__, name, before)
