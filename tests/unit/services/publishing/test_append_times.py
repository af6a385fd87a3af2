"""Appenders: how long they try, and what they remember of a lane where they gave up."""

import pytest

from eventfabric.errors import ContendedAppendError, IndeterminateAppendError
from eventfabric.services.publishing.append import Appender
from eventfabric.testing.memory.faults import Fault, Faults, nth
from tests.support.appends import Half, Waits, mine
from tests.support.memory_fabric import LANE, STREAM, event
from tests.support.subscribed_stream import SubscribedStream

THROTTLED = Faults(lambda called, overall, of_name: Fault.THROTTLED)


@pytest.mark.parametrize(("appenders", "own"), [(0.5, None), (600, 0.5)])
def test_parts_of_a_second_count(appenders: float, own: float | None) -> None:
    fabric = SubscribedStream()
    start_ms = fabric.clock.now_ms()
    with pytest.raises(ContendedAppendError):
        fabric.appender(faults=THROTTLED, timeout_seconds=appenders).append(LANE, mine(), timeout_seconds=own)
    assert 500 <= fabric.clock.now_ms() - start_ms <= 1_500


@pytest.mark.parametrize("call", ["log.tail", "log.append"])
def test_once_the_time_is_up_nothing_is_waited_for(call: str) -> None:
    clock = Waits()
    faults = Faults(lambda called, overall, of_name: Fault.THROTTLED if called == call else None)
    appender = Appender(
        faults.log(SubscribedStream().origin_log),
        stream=STREAM,
        clock=clock,
        entropy=Half(),
        timeout_seconds=0,
    )
    with pytest.raises(ContendedAppendError):
        appender.append(LANE, mine())
    assert (clock.seconds, faults.count(call)) == ([], 1)


def test_a_lane_where_it_gave_up_is_looked_at_anew() -> None:
    fabric, faults = SubscribedStream(), Faults(nth(2, Fault.LOST_REPLY, name="log.append"))
    appender = fabric.appender(faults=faults, timeout_seconds=0)
    appender.append(LANE, mine("first", b"1" * 16))
    with pytest.raises(IndeterminateAppendError):
        appender.append(LANE, mine("second", b"2" * 16))
    fabric.put(event("other"))
    faults.calls.clear()
    assert appender.append(LANE, mine("third", b"3" * 16)).sequence == 3
    assert faults.calls == ["log.tail", "log.append"]
