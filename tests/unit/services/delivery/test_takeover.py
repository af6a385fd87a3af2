"""The state from which a Region goes on when lanes are handed to it, however much of the former owner's is here."""

from random import Random

import pytest

from eventfabric import limits
from eventfabric.errors import NotDeadError, NotTakenOverError
from eventfabric.model import Owner, ParkedState, StreamName, SubscriptionName
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.lanes.tails import tails_of
from eventfabric.services.operations.dead_letters import DeadLetters
from eventfabric.services.operations.survey import LaneStanding, survey
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from eventfabric.wire.keys import is_cursor, ledger_region_and_kind, record_key
from tests.support.failing_handlers import BAD_ORDER, FEW, Failing, fabric_of, named, retry
from tests.support.handovers import hand_over, without_parked
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import LANE_KEY, SUBSCRIPTION, SubscribedStream


def test_a_lane_is_not_delivered_elsewhere_until_it_is_handed_over() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    assert away.deliver().outcome is LaneOutcome.NOT_OWNER
    hand_over(away)
    assert away.deliver().outcome is LaneOutcome.DELIVERED
    assert away.recorder.ids() == ["a1"]
    assert away.cursor().epoch == 1


def test_the_new_owner_goes_on_where_the_former_came_to_with_its_parked_keys() -> None:
    fabric = fabric_of(Failing({"a1": 9}), *named("a1", "b1", "a2", "b2"), **FEW)
    fabric.deliver()
    fabric.put(*named("a3", "c1"))
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    assert away.recorder.ids() == ["a1", "a2", "a3", "c1"]
    assert (away.parked(), away.cursor().sequence) == ({}, 6)


def test_dead_keys_stay_dead_and_the_new_owner_lists_and_redrives_them() -> None:
    fabric = fabric_of(Failing({"a1": 99}), *named("a1", "a2", "b1"), **retry(immediate=0, attempts=1))
    fabric.put(*named("b2"))
    fabric.deliver()
    assert fabric.parked()["a"].state is ParkedState.DEAD
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    assert away.recorder.ids() == []
    letters = DeadLetters(
        away.subscription,
        [LANE],
        log=away.log,
        ledger=away.ledger,
        clock=away.clock,
        doorbells=away.cloud.doorbells(AWAY),
    )
    (letter,) = letters.find()
    letters.redrive(letter)
    away.deliver_all()
    assert (away.recorder.ids(), away.parked()) == (["a1", "a2"], {})


def test_parked_keys_that_are_not_here_yet_are_not_lost_with_their_cursor() -> None:
    fabric = fabric_of(Failing({"a1": 9}), *named("c1", "a1", "b1", "a2"), **FEW)
    fabric.deliver()
    fabric.cloud.replicate()
    without_parked(fabric)
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    # Found in the log by what the cursor names: b1 was handled, and is not again.
    assert away.recorder.ids() == ["a1", "a2"]
    assert away.cursor().sequence == 4


def test_a_parked_key_whose_record_is_not_here_yet_waits_for_it_and_is_not_dead() -> None:
    fabric = fabric_of(Failing({"a1": 1}), *named("a1"), **FEW)
    fabric.put(*named("b1"))
    fabric.deliver()
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    first = away.table.items[0]
    away.table.write("Delete", {"Key": {"pk": first["pk"], "sk": first["sk"]}})
    hand_over(away)
    assert away.deliver().done
    assert away.parked()["a"].state is ParkedState.RETRYING
    assert away.recorder.ids() == []
    away.table.write("Put", {"Item": first})
    away.relay_all()
    away.deliver_all()
    assert (away.recorder.ids(), away.parked()) == (["a1"], {})


def test_a_key_that_the_former_owner_freed_does_not_come_back() -> None:
    failing = Failing({"a1": 1})
    fabric = fabric_of(failing, *named("a1", "b1"), **FEW)
    fabric.deliver()
    fabric.cloud.replicate()
    fabric.clock.advance(10)
    fabric.deliver()  # frees the key; of that only the cursor is replicated
    assert fabric.parked() == {}
    ledgers = [fabric.cloud.regions[region].table(fabric.topology.ledger.name) for region in (HOME, AWAY)]
    (cursor,) = (item for item in ledgers[0].items if is_cursor(ledger_region_and_kind(item)[1]))
    ledgers[1].write("Put", {"Item": cursor})
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    assert (away.recorder.ids(), away.parked()) == ([], {})


def test_where_the_log_is_not_here_yet_the_lane_waits() -> None:
    fabric = fabric_of(Failing({"b1": 9}), *named("a1", "b1", "c1"), **FEW)
    fabric.deliver()
    away = fabric.in_region(AWAY)
    for link in fabric.cloud.links:
        if link.source.name == fabric.topology.ledger.name:
            link.pass_on()
    without_parked(fabric)
    hand_over(away)
    assert away.deliver(tail=3).outcome is LaneOutcome.HOLE
    fabric.cloud.replicate()
    assert away.deliver().outcome is LaneOutcome.DELIVERED
    assert away.recorder.ids() == ["b1"]


def test_more_parked_keys_than_one_commit_takes_are_taken_over_even_if_it_dies_in_between() -> None:
    names = [f"{number:03d}" for number in range(250)]
    fabric = fabric_of(
        Failing(dict.fromkeys(names, 9)),
        *(event(name, key=name) for name in names),
        **retry(permanent=[BAD_ORDER]),
    )
    fabric.relay_all()
    fabric.deliver_all()
    assert len(fabric.parked()) == 250
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    for call in (2, 1):
        with pytest.raises(SimulatedCrash):
            away.deliver(by=away.deliverer(faults=Faults(nth(call, Fault.CRASH_AFTER, name="ledger.commit"))))
    away.deliver()
    assert sorted(away.parked()) == names
    assert (away.recorder.ids(), away.cursor().epoch) == ([], 1)


def test_the_former_owner_stops_when_it_sees_the_handover_or_a_lanes_higher_epoch() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    home_deliverer = fabric.deliverer()
    fabric.deliver(by=home_deliverer)
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    fabric.put(*named("a2"))
    fabric.deliver(by=home_deliverer)  # knows of nothing yet
    assert fabric.recorder.ids() == ["a1", "a2"]
    fabric.put(*named("a3"))
    fabric.cloud.replicate()
    assert fabric.deliver(by=home_deliverer).outcome is LaneOutcome.NOT_OWNER
    assert fabric.deliver().outcome is LaneOutcome.NOT_OWNER
    away.deliver()
    assert away.recorder.ids() == ["a2", "a3"]


def test_a_region_that_was_gone_for_long_asks_before_it_goes_on() -> None:
    fabric = fabric_of(Failing({}), *named("a1", "a2"))
    fabric.deliver(tail=1)
    fabric.cloud.replicate()
    fabric.put(*named("a3"))
    fabric.cloud.cut(HOME)
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    fabric.clock.advance(limits.OWNER_DOUBT_SECONDS)
    assert fabric.deliver().outcome is LaneOutcome.NOT_OWNER  # though nothing was replicated to it yet
    assert fabric.recorder.ids() == ["a1", "a2"]


def test_a_lane_that_is_merely_idle_asks_nobody_while_reconciliation_does() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    fabric.deliver()
    fabric.clock.advance(10 * limits.OWNER_DOUBT_SECONDS)
    reconciler = Reconciler(fabric.stream, region=HOME, ports=fabric.ports(), telemetry=fabric.telemetry)
    assert list(reconciler.run(repair=False)) == []
    fabric.put(*named("a2"))
    faults = Faults()
    fabric.deliver(by=fabric.deliverer(faults=faults))
    assert fabric.recorder.ids() == ["a1", "a2"]
    assert faults.count("ledger.standing") == 1


def test_a_region_that_came_back_learns_from_reconciliation_that_it_owns_no_more() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    fabric.deliver()
    fabric.cloud.replicate()
    fabric.put(*named("a2"))
    fabric.cloud.cut(HOME)
    away = fabric.in_region(AWAY)
    hand_over(away)
    fabric.clock.advance(3600)
    reconciler = Reconciler(fabric.stream, region=HOME, ports=fabric.ports(), telemetry=fabric.telemetry)
    assert list(reconciler.run(repair=True)) == []  # lanes that are not its own any more
    assert fabric.ledger.standing(LANE_KEY.stream, LANE_KEY.subscription).seen_ms == 0
    assert fabric.deliver().outcome is LaneOutcome.NOT_OWNER


def test_it_can_be_handed_back() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    fabric.cloud.replicate()
    hand_over(fabric, epoch=2)
    fabric.put(*named("a2"))
    fabric.cloud.replicate()
    assert away.deliver().outcome is LaneOutcome.NOT_OWNER
    fabric.deliver()
    assert (fabric.recorder.ids(), fabric.cursor().epoch) == (["a2"], 2)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_was_replicated_nothing_is_lost_and_what_was_replicated_of_a_cursor_is_not_repeated(
    seed: int,
) -> None:
    random = Random(seed)
    names = [f"{key}{number}" for number in range(1, 9) for key in "abcd"]
    failing = Failing({name: random.choice([0, 0, 0, 1, 2]) for name in names})
    fabric = fabric_of(failing, *named(*names), **retry(immediate=0, attempts=20))
    for _ in range(6):
        fabric.deliver(tail=32, time_ms=random.choice([1, 100_000]))
        fabric.clock.advance(random.choice([0, 1, 30]))
        for _ in range(random.randrange(12)):
            fabric.cloud.replicate(1, random.randrange)
    log_only = [link for link in fabric.cloud.links if link.source.name == fabric.table.name]
    for link in log_only:
        link.pass_on()
    away = fabric.in_region(AWAY)
    seen = away.ledger.state(LANE_KEY)
    hand_over(away)
    away.relay_all()
    away.ring_all([LANE])
    away.deliver_all()
    done = set(fabric.recorder.ids()) | set(away.recorder.ids())
    assert done == set(names)
    assert away.parked() == {}
    cursor = seen.cursor(HOME)
    low = cursor.low.sequence if cursor.low else cursor.sequence
    for key in "abcd":
        of_key = [name for name in away.recorder.ids() if name[0] == key]
        assert of_key == sorted(of_key)
        assert all(names.index(name) >= low for name in of_key)


def test_dead_letters_of_a_quorum_stream_are_found_and_redriven_by_whoever_owns_its_lanes() -> None:
    failing = Failing({"1": 1})
    home = SubscribedStream(durability="quorum", handler=Recorder(before=failing), **retry(attempts=1))
    home.put(event("1"))
    home.deliver()
    away = home.in_region(AWAY)
    hand_over(away)
    letters = Operations(home.topology, AWAY, home.ports(AWAY)).dead_letters(SUBSCRIPTION)
    (letter,) = letters.find()
    letters.redrive(letter)
    away.deliver_all()
    assert away.recorder.ids() == ["1"]
    assert list(letters.find()) == []
    assert [standing.cursor.sequence for standing in surveyed(away)] == [1]


def surveyed(fabric: SubscribedStream) -> list[LaneStanding]:
    """The lanes that a Region delivers, as `eventfabric lanes` shows them."""
    tails = tails_of(fabric.log, lanes_of(fabric.stream), now_ms=fabric.clock.now_ms())
    standing = fabric.ledger.standing(StreamName(STREAM), SubscriptionName(SUBSCRIPTION))
    return list(survey(fabric.subscription, tails, log=fabric.log, ledger=fabric.ledger, standing=standing))


def test_who_knows_an_older_handover_to_itself_reads_who_owns_the_lane_and_goes_on() -> None:
    fabric = SubscribedStream()
    fabric.put(event("e0"))
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY, handler=Recorder())
    hand_over(away, epoch=1)
    warm, other = away.deliverer(), away.deliverer()
    away.deliver(by=warm)
    standing = away.ledger.standing(LANE_KEY.stream, LANE_KEY.subscription)
    again = Owner(HOME, AWAY, 2, AWAY, away.clock.now_ms())
    assert away.ledger.hand_over(LANE_KEY.stream, LANE_KEY.subscription, standing.written(HOME, AWAY), again)
    fabric.put(event("e1"))
    fabric.cloud.replicate()
    away.deliver(by=other)
    assert away.cursor().epoch == 2
    fabric.put(event("e2"))
    fabric.cloud.replicate()
    assert away.deliver(by=warm).outcome is LaneOutcome.DELIVERED
    assert away.recorder.ids() == ["e0", "e1", "e2"]


def letters_of(fabric: SubscribedStream) -> DeadLetters:
    return DeadLetters(
        fabric.subscription,
        [LANE],
        log=fabric.log,
        ledger=fabric.ledger,
        clock=fabric.clock,
        doorbells=fabric.cloud.doorbells(fabric.region),
    )


def paused_with_a_dead_letter() -> SubscribedStream:
    """AWAY was handed the lane with its dead letter, and is paused, so that its function took nothing over."""
    fabric = fabric_of(Failing({"a1": 99}), *named("a1", "a2", "b1"), **retry(immediate=0, attempts=1))
    fabric.deliver()
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    operations = Operations(away.topology, AWAY, away.ports(AWAY))
    assert operations.pause(SUBSCRIPTION)
    assert away.deliver().outcome is LaneOutcome.WAITING
    return away


@pytest.mark.parametrize("decision", ["redrive", "edit", "discard"])
def test_what_is_decided_before_the_function_took_over_stands(decision: str) -> None:
    away = paused_with_a_dead_letter()
    letters = letters_of(away)
    (letter,) = letters.find()
    if decision == "discard":
        letters.discard(letter, by="me")
    else:
        letters.redrive(letter, replacement=event("edited", key="a") if decision == "edit" else None)
    assert list(letters.find()) == []
    assert Operations(away.topology, AWAY, away.ports(AWAY)).resume(SUBSCRIPTION)
    away.deliver_all()
    assert away.recorder.ids() == {"redrive": ["a1"], "edit": ["edited"], "discard": []}[decision] + ["a2"]
    assert (away.parked(), away.cursor().epoch) == ({}, 1)


def test_what_this_region_left_when_it_was_the_owner_before_is_no_dead_letter() -> None:
    fabric = fabric_of(Failing({"a1": 99}), *named("a1", "b1"), **retry(immediate=0, attempts=1))
    fabric.deliver()
    (stale,) = letters_of(fabric).find()
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    letters_of(away).discard(next(letters_of(away).find()))
    away.deliver_all()
    away.cloud.replicate()
    hand_over(fabric, epoch=2)
    assert list(letters_of(fabric).find()) == []
    with pytest.raises(NotDeadError):
        letters_of(fabric).redrive(stale)


def test_what_cannot_be_taken_over_yet_is_refused_and_nothing_is_changed() -> None:
    fabric = fabric_of(Failing({"a1": 99}), *named("a0"), **retry(immediate=0, attempts=1))
    fabric.put(*named("a1", "b1"))
    fabric.deliver()
    (letter,) = letters_of(fabric).find()
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    without_parked(away)
    for sequence in (0, 1):
        away.table.write("Delete", {"Key": record_key(LANE, sequence)})
    with pytest.raises(NotTakenOverError, match="have not come there yet"):
        letters_of(away).discard(letter)
    assert away.cursor().version == 0
