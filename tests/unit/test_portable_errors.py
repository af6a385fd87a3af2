"""Errors cross the border of a process: pickled, copied, raised in a pool, each stays itself with all it says."""

import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from copy import copy, deepcopy
from inspect import Parameter, signature
from multiprocessing import get_context
from pkgutil import walk_packages
from threading import Lock
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

import eventfabric
from eventfabric.errors import (
    EventFabricError,
    IndeterminateAppendError,
    OutcomeUnknownError,
    Problem,
    PublishFailedError,
)
from eventfabric.model import EMPTY_TAIL, Lane, record_at
from tests.support.memory_fabric import batch_of, event
from tests.support.producers import producer
from tests.support.subscribed_stream import SubscribedStream

LANE = Lane.parse("us-east-1/0.0")
BATCH = batch_of([event("e1")], b"b" * 16)
RECORD = record_at(EMPTY_TAIL, LANE, BATCH, now_ms=1_000, retention_seconds=60)
_KNOWN: dict[str, Any] = {
    "problems": [Problem("key", "none", "text")],
    "known": ["orders"],
    "allowed": ["us-east-1"],
    "record": RECORD,
    "lane": LANE,
    "batch": BATCH,
    "sequence": 7,
    "index": 1,
    "port": 8080,
    "size_bytes": 10,
    "buffer_bytes_max": 5,
    "published": 3,
    "gates": ("billing",),
    "grant": 7,
    "retry_after": 1.5,
    "item": {"a": {"S": "1"}},
    "failures": [("e1", OutcomeUnknownError("append", "no reply"))],
}


def _all_kinds(kind: type[EventFabricError]) -> Iterator[type[EventFabricError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _all_kinds(narrower)


def every_kind() -> list[type[EventFabricError]]:
    """Every error of the library that is an EventFabricError, wherever it is defined."""
    for module in walk_packages(eventfabric.__path__, "eventfabric."):
        if module.name.rpartition(".")[2] == "server":
            __import__(module.name)
    kinds = set(_all_kinds(EventFabricError))
    return sorted(
        (kind for kind in kinds if kind.__module__.startswith("eventfabric.")), key=lambda kind: kind.__name__
    )


def made(kind: type[EventFabricError]) -> EventFabricError:
    """One of the kind; its arguments as their names ask for."""
    if kind.__init__ is Exception.__init__:
        error = kind("what went wrong")
    else:
        named = {
            name: _KNOWN.get(name, f"some {name}")
            for name, parameter in signature(kind).parameters.items()
            if parameter.default is Parameter.empty
            and parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        }
        error = kind(**named) if named else kind("what went wrong")
    error.__cause__ = OutcomeUnknownError("append", "no reply")
    error.__cause__.__cause__ = ReadTimeoutError(endpoint_url="http://x")
    error.add_note("a note")
    return error


def assert_same(again: BaseException, error: BaseException) -> None:
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args or "failures" in vars(error)
    assert vars(again).keys() == vars(error).keys()
    for name, value in vars(error).items():
        assert repr(vars(again)[name]) == repr(value), name


@pytest.mark.parametrize("kind", every_kind(), ids=lambda kind: kind.__name__)
def test_an_error_is_itself_after_a_pickle_and_a_copy(kind: type[EventFabricError]) -> None:
    error = made(kind)
    for again in (
        *(pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)),
        copy(error),
        deepcopy(error),
    ):
        assert_same(again, error)
        assert (again.retryable, again.no_effect) == (error.retryable, error.no_effect)
        assert again.__cause__ is not None
        assert_same(again.__cause__, error.__cause__)  # type: ignore[arg-type]  # it was set
        assert isinstance(again.__cause__.__cause__, ReadTimeoutError)
        assert again.__suppress_context__


def test_the_record_of_an_indeterminate_append_survives_so_that_it_can_be_published_again() -> None:
    error = pickle.loads(pickle.dumps(IndeterminateAppendError("orders", RECORD, BATCH, acks=2)))
    assert (error.record, error.batch, error.acks) == (RECORD, BATCH, 2)


class Unpicklable(Exception):  # somebody's own
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")
        self.lock = Lock()


class DiesWhenRead(Exception):  # somebody's own
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


@pytest.mark.parametrize("cause", [Unpicklable("a", "b"), DiesWhenRead("a", "b")], ids=["written", "read"])
def test_a_cause_that_no_pickle_brings_back_goes_as_its_text(cause: Exception) -> None:
    error = PublishFailedError([("e1", cause)], published=2)
    error.__cause__ = cause
    again = pickle.loads(pickle.dumps(error))
    assert_same_text = f"{type(cause).__name__}: a b"
    assert (again.published, str(again)) == (2, str(error))
    assert str(again.__cause__) == str(again.failures[0][1]) == assert_same_text


def test_an_errors_of_a_client_stays_one() -> None:
    error = OutcomeUnknownError("append", "no reply")
    error.__cause__ = ClientError({"Error": {"Code": "X", "Message": "m"}}, "PutItem")
    cause = pickle.loads(pickle.dumps(error)).__cause__
    assert isinstance(cause, ClientError)
    assert cause.response["Error"]["Code"] == "X"


def _raises() -> None:
    try:
        raise ReadTimeoutError(endpoint_url="http://x")
    except ReadTimeoutError as cause:
        raise IndeterminateAppendError("orders", RECORD, BATCH, cause=cause) from cause


def test_a_pool_of_processes_hands_an_error_over() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        failed = pool.submit(_raises).exception(60)
    assert isinstance(failed, IndeterminateAppendError)
    assert failed.record == RECORD


def test_a_fabric_is_not_handed_to_another_process_and_says_what_to_do() -> None:
    with pytest.raises(TypeError, match=r"make one there, with Fabric\.connect"):
        pickle.dumps(producer(SubscribedStream()))
