"""Publishing where a Region may be lost: which Region takes an event, what is certain then, and who delivers it."""

from collections import Counter
from typing import Any

import pytest

from eventfabric import Fabric
from eventfabric.errors import (
    ContendedAppendError,
    IndeterminateAppendError,
    RefusedError,
    SettingError,
    UnconfirmedAppendError,
    WrongRegionError,
)
from eventfabric.limits import REGION_PAUSE_SECONDS
from eventfabric.model import Region
from eventfabric.testing.memory.faults import Fault, Faults, nth
from tests.support.memory_fabric import AWAY, FAR, HOME, STREAM
from tests.support.messages import raises_with
from tests.support.producers import always, events, producer, records
from tests.support.subscribed_stream import SubscribedStream


def publish(fabric: Fabric, name: str, **options: Any) -> Region:
    return fabric.publish(STREAM, key="k", type="placed", id=name, data={}, **options).origin


def ids(fabric: SubscribedStream, origin: Region, *, seen_in: Region | None = None) -> list[str]:
    return [str(event.id) for event in events(fabric, origin, seen_in=seen_in)]


def deliver(*fabrics: SubscribedStream) -> list[str]:
    """Everything moves; what was handled in these Regions."""
    for _ in range(3):
        fabrics[0].cloud.replicate()
        for fabric in fabrics:
            fabric.relay_all()
            fabric.deliver_all()
    return sorted(name for fabric in fabrics for name in fabric.recorder.ids())


def test_while_a_region_gives_no_reply_the_next_takes_the_events_and_the_first_is_tried_again_later() -> None:
    memory_fabric, faults = SubscribedStream(), {HOME: Faults(always(Fault.LOST_REQUEST)), AWAY: Faults()}
    fabric = producer(memory_fabric, faults, failover=[AWAY])
    assert publish(fabric, "1") == AWAY
    assert fabric.regions_away == {HOME}
    tried = len(faults[HOME].calls)
    assert tried > 1
    assert [publish(fabric, name) for name in "23"] == [AWAY, AWAY]
    assert len(faults[HOME].calls) == tried
    # Its tail was never read, so it may hold nothing: no note is needed.
    assert [record.note for record in records(memory_fabric, AWAY)] == [None, None, None]

    memory_fabric.clock.advance(REGION_PAUSE_SECONDS + 1)
    assert publish(fabric, "4") == AWAY
    assert len(faults[HOME].calls) > tried
    faults[HOME].heal()
    assert publish(fabric, "5") == AWAY
    memory_fabric.clock.advance(REGION_PAUSE_SECONDS + 1)
    assert publish(fabric, "6") == HOME
    assert fabric.regions_away == set()
    assert ids(memory_fabric, AWAY) == ["1", "2", "3", "4", "5"]
    assert deliver(memory_fabric, memory_fabric.in_region(AWAY)) == ["1", "2", "3", "4", "5", "6"]


def test_one_batch_alone_tries_a_region_that_is_due() -> None:
    memory_fabric, faults = SubscribedStream(), {HOME: Faults(always(Fault.LOST_REQUEST))}
    fabric = producer(memory_fabric, faults, failover=[AWAY])
    publish(fabric, "1")
    memory_fabric.clock.advance(REGION_PAUSE_SECONDS + 1)
    health = fabric._routes.health
    assert health.in_order([HOME, AWAY]) == [HOME, AWAY]
    assert health.in_order([HOME, AWAY]) == [AWAY, HOME]


@pytest.mark.parametrize("landed", [True, False])
@pytest.mark.parametrize("replicated_first", [True, False])
def test_of_a_batch_without_a_reply_one_copy_is_delivered(landed: bool, replicated_first: bool) -> None:
    memory_fabric = SubscribedStream()
    fault = Fault.LOST_REPLY if landed else Fault.LOST_REQUEST
    faults = {HOME: Faults()}
    fabric = producer(memory_fabric, faults, failover=[AWAY])
    assert publish(fabric, "0") == HOME
    # The first put may land; those after it meet its record, and their replies are lost as well.
    faults[HOME].rules.append(always(fault, "log.append"))
    assert publish(fabric, "1") == AWAY
    (noted_record,) = records(memory_fabric, AWAY)
    assert noted_record.note is not None
    assert (noted_record.note.lane.origin, noted_record.note.sequence) == (HOME, 1)
    faults[HOME].heal()
    assert ids(memory_fabric, HOME) == (["0", "1"] if landed else ["0"])

    away = memory_fabric.in_region(AWAY)
    if replicated_first:
        memory_fabric.cloud.replicate()
    away.relay_all()
    away.deliver_all()
    assert away.recorder.ids() == ([] if landed and replicated_first else ["1"])
    assert deliver(memory_fabric, away) == ["0", "1"]
    # What comes behind either copy is delivered as ever.
    memory_fabric.clock.advance(REGION_PAUSE_SECONDS + 1)
    assert [publish(fabric, "2"), publish(producer(memory_fabric, region=AWAY), "3")] == [HOME, AWAY]
    assert deliver(memory_fabric, away) == ["0", "1", "2", "3"]


def test_nobody_fails_over_from_a_region_that_answers() -> None:
    fabric = SubscribedStream()
    faults = {HOME: Faults(always(Fault.THROTTLED))}
    with pytest.raises(ContendedAppendError):
        publish(producer(fabric, faults, failover=[AWAY]), "1")
    assert records(fabric, AWAY) == []


def test_where_no_region_answers_the_error_says_where_the_batch_may_be_and_settles() -> None:
    memory_fabric = SubscribedStream()
    faults = {region: Faults(always(Fault.LOST_REPLY, "log.append")) for region in (HOME, AWAY)}
    fabric = producer(memory_fabric, faults, failover=[AWAY])
    with pytest.raises(IndeterminateAppendError, match=f"lane {AWAY}") as raised:
        publish(fabric, "1")
    with pytest.raises(IndeterminateAppendError, match=f"lane {AWAY}") as still:
        fabric.publish_again(raised.value)
    faults[AWAY].heal()
    assert [receipt.origin for receipt in fabric.publish_again(still.value)] == [AWAY]
    assert ids(memory_fabric, HOME) == ids(memory_fabric, AWAY) == ["1"]
    assert deliver(memory_fabric, memory_fabric.in_region(AWAY)) == ["1"]


def test_a_noted_batch_is_settled_in_its_region_alone_and_stays_unknown_until_then() -> None:
    memory_fabric = SubscribedStream()
    faults = {region: Faults(always(Fault.LOST_REPLY, "log.append")) for region in (HOME, AWAY)}
    fabric = producer(memory_fabric, faults, failover=[AWAY])
    with pytest.raises(IndeterminateAppendError) as raised:
        publish(fabric, "1")
    calls = len(faults[HOME].calls)
    # Whatever is certain of the copy in AWAY, the one in HOME is not.
    faults[AWAY].rules[:] = [always(Fault.THROTTLED)]
    with pytest.raises(IndeterminateAppendError):
        fabric.publish_again(raised.value)
    assert len(faults[HOME].calls) == calls


def test_a_batch_of_which_a_later_region_certainly_has_nothing_is_settled_in_the_first() -> None:
    memory_fabric = SubscribedStream()
    faults = {HOME: Faults(always(Fault.LOST_REPLY, "log.append")), AWAY: Faults(always(Fault.THROTTLED))}
    fabric = producer(memory_fabric, faults, failover=[AWAY])
    with pytest.raises(IndeterminateAppendError, match=f"lane {HOME}") as raised:
        publish(fabric, "1")
    faults[HOME].heal()
    assert [receipt.origin for receipt in fabric.publish_again(raised.value)] == [HOME]
    assert (ids(memory_fabric, HOME), ids(memory_fabric, AWAY)) == (["1"], [])


def test_a_put_that_is_refused_after_one_without_a_reply_may_have_had_an_effect() -> None:
    fabric = SubscribedStream()

    class Refusing:
        def __call__(self, called: str, overall: int, of_name: int) -> Fault | None:
            if called == "log.append" and of_name == 2:
                raise RefusedError("append", "AccessDenied")
            return None

    faults = {HOME: Faults(nth(1, Fault.LOST_REPLY, name="log.append"), Refusing())}
    with pytest.raises(IndeterminateAppendError) as raised:
        publish(producer(fabric, faults), "1")
    assert ids(fabric, HOME) == ["1"]
    producer(fabric).publish_again(raised.value)
    assert ids(fabric, HOME) == ["1"]


def test_a_publisher_fails_over_with_what_it_has_buffered_and_keeps_its_order() -> None:
    memory_fabric, faults = SubscribedStream(), {HOME: Faults()}
    fabric = producer(memory_fabric, faults, failover=[AWAY])
    with fabric.publisher(STREAM, linger_ms=60_000) as publisher:
        for number in range(9):
            if number == 5:
                publisher.flush()
                faults[HOME].rules.append(always(Fault.LOST_REQUEST))
            publisher.publish(key="k", type="placed", id=str(number))
    assert (ids(memory_fabric, HOME), ids(memory_fabric, AWAY)) == (list("01234"), list("5678"))


def test_two_acks_are_two_regions() -> None:
    memory_fabric, faults = SubscribedStream(), {HOME: Faults(), AWAY: Faults()}
    fabric = producer(memory_fabric, faults)
    assert publish(fabric, "1", acks=2) == HOME
    assert ids(memory_fabric, HOME, seen_in=AWAY) == ["1"]
    assert faults[AWAY].calls == ["log.append"]
    fabric.publish_many(STREAM, events(memory_fabric, HOME), acks=2)
    assert ids(memory_fabric, HOME, seen_in=AWAY) == ["1", "1"]
    memory_fabric.cloud.replicate()
    assert records(memory_fabric, HOME) == records(memory_fabric, HOME, seen_in=AWAY)

    faults[AWAY].rules.append(always(Fault.LOST_REQUEST))
    with pytest.raises(UnconfirmedAppendError, match=r"unconfirmed .* sequence 2 ") as raised:
        publish(fabric, "2", acks=2)
    assert (raised.value.sequence, raised.value.acks) == (2, 2)
    assert publish(fabric, "3") == HOME
    with pytest.raises(UnconfirmedAppendError):
        fabric.publish_again(raised.value)
    faults[AWAY].heal()
    fabric.publish_again(raised.value)
    assert ids(memory_fabric, HOME, seen_in=AWAY) == ["1", "1", "2"]
    assert deliver(memory_fabric, memory_fabric.in_region(AWAY)) == ["1", "1", "2", "3"]


def test_what_two_acks_cannot_mean_is_refused() -> None:
    fabric = producer(SubscribedStream())
    with raises_with(SettingError, "acks", "found 3", "1 or 2"):
        publish(fabric, "1", acks=3)
    with raises_with(SettingError, "acks", "found 2", "1 with once=True"):
        fabric.publish(STREAM, key="k", type="placed", id="1", once=True, acks=2)
    with pytest.raises(SettingError, match="acks: found 0"):
        fabric.publisher(STREAM, acks=0)


def test_a_quorum_has_every_event_in_two_regions_without_being_asked() -> None:
    fabric = SubscribedStream(durability="quorum")
    faults = {region: Faults() for region in (HOME, AWAY, FAR)}
    assert publish(producer(fabric, faults), "1", acks=2) == HOME
    assert faults[AWAY].calls == faults[FAR].calls == []


@pytest.mark.parametrize(
    ("failover", "error", "match"),
    [
        (["mars-1"], WrongRegionError, "mars-1"),
        ([HOME], SettingError, r"failover\[0\]: found 'us-east-1'"),
        (
            [AWAY, AWAY],
            SettingError,
            r"failover\[1\]: found 'eu-west-1'.* us-east-1",
        ),
    ],
)
def test_regions_to_fail_over_to_are_others_of_the_fabric(
    failover: list[str], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        producer(SubscribedStream(), failover=failover)


def test_a_third_region_is_tried_where_the_second_is_silent_too() -> None:
    memory_fabric = SubscribedStream(durability="quorum")
    faults = {HOME: Faults(always(Fault.LOST_REPLY, "log.append")), AWAY: Faults(always(Fault.LOST_REQUEST))}
    fabric = producer(memory_fabric, faults, failover=[AWAY, FAR])
    assert publish(fabric, "1") == FAR
    assert fabric.regions_away == {HOME, AWAY}
    faults[HOME].heal()
    handled = Counter(deliver(memory_fabric, memory_fabric.in_region(AWAY), memory_fabric.in_region(FAR)))
    assert handled == {"1": 1}


def test_a_region_is_tried_again_in_time_though_the_clock_is_set_back() -> None:
    memory_fabric, faults = SubscribedStream(), {HOME: Faults(always(Fault.LOST_REQUEST))}
    fabric = producer(memory_fabric, faults, failover=[AWAY])
    assert publish(fabric, "1") == AWAY
    faults[HOME].heal()
    memory_fabric.clock.set_back(7200)
    memory_fabric.clock.advance(REGION_PAUSE_SECONDS + 1)
    assert publish(fabric, "2") == HOME


def test_a_region_is_tried_again_in_time_though_the_process_was_frozen() -> None:
    memory_fabric, faults = SubscribedStream(), {HOME: Faults(always(Fault.LOST_REQUEST))}
    fabric = producer(memory_fabric, faults, failover=[AWAY])
    assert publish(fabric, "1") == AWAY
    faults[HOME].heal()
    memory_fabric.clock.set_back(-REGION_PAUSE_SECONDS)  # the wall clock alone moves on
    assert publish(fabric, "2") == HOME
