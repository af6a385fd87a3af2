"""Serialises all of moto's work behind one lock, and stops it from remembering every object it ever made.

Owns the lock. Moto's backends are plain dictionaries without locks: under threads, transactions lose
updates and FIFO queues break order. The fabric's own threads meet here, and only here.
"""

import threading
from contextlib import ExitStack
from typing import Any

from botocore.awsrequest import AWSPreparedRequest
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.common_models import BaseModel
from moto.core.utils import convert_to_flask_response

from eventfabric.testing.local.moto_fixes.patching import replace

LOCK = threading.RLock()
"""Held by a request from its first look at a backend to its answer. Re-entrant, for moto calls itself."""

ARRIVALS = threading.Condition(LOCK)
"""Told when a queue got a message. Waiting on it lets other requests in: a long poll stops nobody."""


def install(patches: ExitStack) -> None:
    """Patch the one way in of each mode: the botocore stubber in process, the Flask view in the server."""

    def process_request(self: BotocoreStubber, request: AWSPreparedRequest) -> Any:
        with LOCK:
            return plain_process_request(self, request)

    def answer(self: convert_to_flask_response, args: Any = None, **kwargs: Any) -> Any:
        with LOCK:
            return plain_answer(self, args, **kwargs)

    def new_untracked(cls: type[BaseModel], *_args: object, **_kwargs: object) -> BaseModel:
        # Moto lists every instance for its dashboard, copies of items included, and never drops one.
        return object.__new__(cls)

    plain_process_request = replace(patches, BotocoreStubber, "process_request", process_request)
    plain_answer = replace(patches, convert_to_flask_response, "__call__", answer)
    replace(patches, BaseModel, "__new__", staticmethod(new_untracked))
