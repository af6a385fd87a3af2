"""Credits that threads share, and forked processes inherit."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import pytest

from eventfabric.errors import BackpressureError, LastingError
from eventfabric.model import Region, StreamName, SubscriptionName
from eventfabric.model.credit import Grants
from tests.support.forks import in_a_fork
from tests.unit.services.publishing.test_credits import BILLING, Gated


class SlowGated(Gated):
    """A gated stream whose next reads wait until they may go on."""

    def __init__(self) -> None:
        super().__init__(BILLING)
        self.reading, self.goes_on = Event(), Event()
        self.goes_on.set()

    def granted(
        self, stream: StreamName, subscription: SubscriptionName, origin: Region, *, part: int
    ) -> dict[Region, Grants]:
        self.reading.set()
        assert self.goes_on.wait(30)
        return super().granted(stream, subscription, origin, part=part)


def test_threads_whose_lanes_lack_credit_share_one_read() -> None:
    gated = SlowGated()
    for index in range(2):
        gated.grants(1, index=index)
    for index in range(2):
        gated.append(index=index)
    assert all(gated.is_held(index=index) for index in range(2))
    gated.grants(2, index=0)
    gated.grants(2, index=1)
    gated.pass_seconds(1)
    gated.reads.clear()
    gated.reading.clear()
    gated.goes_on.clear()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(gated.is_held, index=0)
        assert gated.reading.wait(30)
        second = threads.submit(gated.is_held, index=1)
        gated.goes_on.set()
        assert (first.result(30), second.result(30)) == (False, False)
    assert gated.reads == ["billing"]


def test_a_process_that_is_forked_during_a_read_goes_by_what_is_known_and_reads_itself() -> None:
    gated = SlowGated()
    gated.grants(1)
    gated.append()
    gated.grants(2)
    gated.pass_seconds(1)
    gated.reading.clear()
    gated.goes_on.clear()
    reader = Thread(target=gated.is_held)
    reader.start()
    assert gated.reading.wait(30)

    def child() -> None:
        gated.goes_on = Event()
        gated.goes_on.set()
        assert not gated.is_held()
        assert gated.is_held()

    assert in_a_fork(child) == 0
    gated.goes_on.set()
    reader.join(30)


def test_a_table_that_is_missing_is_no_denied_right() -> None:
    gated = Gated(BILLING)
    gated.failure = LastingError("read credits", "no such table", "missing")
    with pytest.raises(LastingError):
        gated.append()
    assert "log.append" not in gated.faults.calls


def test_a_lane_that_was_held_back_is_not_asked_for_while_it_is_too_early() -> None:
    gated = Gated(BILLING)
    gated.grants(0)
    with pytest.raises(BackpressureError) as caught:
        gated.append()
    gated.pass_seconds(caught.value.retry_after)
    calls = len(gated.reads)
    assert gated.is_held()
    assert len(gated.reads) == calls + 1
