"""Publishing and reading leave no garbage behind that only the garbage collector could free.

Each collection looks at everything that a process holds, so garbage left by every call costs more and more over time.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from eventfabric import Fabric
from eventfabric.aws.clients import Clients
from scripts.benchmarks.deliver import LaneRun, handle_one
from scripts.benchmarks.null_endpoint import REGION, NullEndpoint, session
from scripts.benchmarks.publish import fabric_at

EVENTS = 50


@pytest.fixture
def fabric() -> Fabric:
    return fabric_at(NullEndpoint(), Clients(REGION, session=session()), lanes=4)


@contextmanager
def nothing_left(warm: Callable[[], object]) -> Iterator[None]:
    """Hold that what runs within leaves no garbage; `warm` does it once before."""
    warm()
    gc.collect()
    gc.disable()
    try:
        yield
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_single_events_leave_no_garbage(fabric: Fabric) -> None:
    def publish() -> None:
        for number in range(EVENTS):
            fabric.publish("orders", key=f"k{number}", type="Placed", data={"n": number})

    with nothing_left(publish):
        publish()


def test_the_records_of_a_publisher_leave_no_garbage(fabric: Fabric) -> None:
    with fabric.publisher("orders") as publisher:

        def publish() -> None:
            publisher.publish_all("Placed", [(f"k{number}", {"n": number}) for number in range(EVENTS)])
            publisher.flush()

        with nothing_left(publish):
            publish()


def test_runs_of_a_lane_leave_no_garbage() -> None:
    run = LaneRun(3, handle_one)
    with nothing_left(lambda: run.run(2)):
        run.run(5)
