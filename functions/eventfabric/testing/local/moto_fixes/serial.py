"""Serialises all of moto's work with one lock, and keeps moto from remembering every object that it ever made.

Holds the lock. Moto's backends are plain dictionaries without locks: with threads, transactions would lose updates and
FIFO queues would break order. The fabric's own threads meet here, and only here.
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
"""Held by a request from its first access to a backend until its answer. Re-entrant, since moto calls itself."""

ARRIVALS = threading.Condition(LOCK)
"""Notified when a queue gets a message. Waiting on it releases the lock: a long poll blocks nobody."""


def install(patches: ExitStack) -> None:
    """Patch the single entry point of each mode: the botocore stubber in process, the Flask view in the server."""

    def process_request(self: BotocoreStubber, request: AWSPreparedRequest) -> Any:
        with LOCK:
            return plain_process_request(self, request)

    def answer(self: convert_to_flask_response, args: Any = None, **kwargs: Any) -> Any:
        with LOCK:
            return plain_answer(self, args, **kwargs)

    def new_untracked(cls: type[BaseModel], *_args: object, **_kwargs: object) -> BaseModel:
        # Moto lists every instance for its dashboard, including copies of items, and never drops one.
        return object.__new__(cls)

    plain_process_request = replace(patches, BotocoreStubber, "process_request", process_request)
    plain_answer = replace(patches, convert_to_flask_response, "__call__", answer)
    replace(patches, BaseModel, "__new__", staticmethod(new_untracked))
