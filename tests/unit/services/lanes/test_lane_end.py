"""The end of a lane: after the last record that continues the lane, or at its noted place; never in doubt."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.errors import UncertainTailError
from eventfabric.model.finding import FindingKind
from eventfabric.model.identity import Chain, Lane, Region, SequenceNumber, StreamName
from eventfabric.model.marks import Mark, Marks
from eventfabric.model.record import EMPTY_TAIL, Recent, Tail
from eventfabric.services.lanes.lane_end import KnownMarks, LaneEnds, lane_end
from eventfabric.services.lanes.locate import KeptPart, has_expired, kept_in
from eventfabric.services.operations.quarantine import Quarantine
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.testing.memory.log import MemoryLog
from eventfabric.wire import record_item
from tests.support.appends import mine
from tests.support.expiry import DAY_SECONDS, DAYS, expire, reconciled
from tests.support.log_items import FAR, delete, forged, put, world_with
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.messages import TextWith
from tests.support.replays import replay
from tests.support.subscribed_stream import SubscribedStream

RETENTION_SECONDS = DAYS * DAY_SECONDS


def reconciler_of(world: SubscribedStream) -> Reconciler:
    return Reconciler(world.stream, region=world.region, ports=world.ports(), telemetry=world.telemetry)


def ends(world: SubscribedStream, *, expires: bool = False) -> LaneEnds:
    """Return the ends of lanes as a publisher in their origin asks for them."""
    known = KnownMarks(world.ports().ledger, StreamName(STREAM), clock=world.clock).of
    return LaneEnds(world.log, clock=world.clock, expires=expires, known=known)


class TestAFarItem:
    """An item that nothing leads to."""

    def test_a_publisher_goes_on_behind_the_last_record_that_continues_another(self) -> None:
        world = world_with(3)
        put(world, forged(world, FAR))
        appended = world.appender().append(LANE, mine())
        assert appended.sequence == 3
        world.deliver()
        assert world.recorder.ids()[:3] == ["a0", "a1", "a2"]
        assert world.cursor().sequence == 3 + appended.count

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_so_it_does_in_a_lane_of_a_few_records(self, count: int) -> None:
        world = world_with(count)
        put(world, forged(world, FAR))
        assert world.appender().append(LANE, mine()).sequence == count

    def test_so_it_does_with_many_of_them_and_with_such_that_cannot_be_decoded(self) -> None:
        world = world_with(3)
        for number in range(150):
            put(world, forged(world, FAR + 10 * number))
        item = {**record_item.to_item(forged(world, FAR + 5)), "t": {"S": "no set"}}
        world.table.write("Put", {"Item": item})
        end = lane_end(world.log, LANE, now_ms=world.clock.now_ms())
        assert (end.tail.sequence, len(end.beyond), end.is_far) == (3, 151, True)
        assert world.appender().append(LANE, mine()).sequence == 3

    def test_more_of_them_than_are_looked_through_are_refused(self) -> None:
        world = world_with(1)
        for number in range(limits.LANE_END_PAGES_MAX * limits.PAGE_RECORDS_MAX + 10):
            put(world, forged(world, FAR + 10 * number))
        with pytest.raises(UncertainTailError):
            world.appender().append(LANE, mine())

    def test_reconciliation_reports_it_and_watches_the_lane_as_before(self) -> None:
        world = world_with(3)
        world.deliver()
        put(world, forged(world, FAR))
        assert reconciled(world) == [FindingKind.FAR_TAIL]
        world.appender().append(LANE, mine())
        world.clock.advance(limits.UNRUNG_SECONDS + 1)
        assert reconciled(world) == [FindingKind.FAR_TAIL, FindingKind.UNRUNG]

    def test_a_replica_that_got_it_reports_it_and_is_not_behind(self) -> None:
        world = world_with(3)
        put(world, forged(world, FAR))
        world.cloud.replicate()
        away = world.at(AWAY)
        assert reconciled(away) == [FindingKind.FAR_TAIL]


class TestDoubt:
    """Nothing is put where something may have stood, or stands."""

    def test_nothing_is_put_into_a_hole_before_the_newest_record(self) -> None:
        world = world_with(5)
        delete(world, world.records()[3])
        with pytest.raises(UncertainTailError) as raised:
            world.appender().append(LANE, mine())
        assert (raised.value.sequence, raised.value.no_effect, raised.value.retryable) == (4, True, False)

    def test_nothing_is_put_behind_one_that_does_not_extend_the_chain(self) -> None:
        world = world_with(3)
        put(world, forged(world, 3, chain=Chain(b"!" * 16)))
        with pytest.raises(UncertainTailError):
            world.appender().append(LANE, mine())

    def test_a_publisher_that_remembers_the_tail_does_not_go_on_behind_one_either(self) -> None:
        world = world_with(0)
        appender = world.appender()
        first = appender.append(LANE, mine())
        put(world, forged(world, first.count, chain=Chain(b"!" * 16)))
        with pytest.raises(UncertainTailError):
            appender.append(LANE, mine(batch_id=b"another".ljust(16, b"!")))

    def test_nothing_is_put_before_a_far_item_where_the_lane_is_known_to_be_further(self) -> None:
        world = world_with(5)
        reconciled(world)
        for record in world.records()[3:]:
            delete(world, record)
        put(world, forged(world, FAR))
        with pytest.raises(UncertainTailError, match="known up to 5"):
            ends(world).tail(LANE)

    @pytest.mark.parametrize("mark", [Mark(SequenceNumber(7)), Mark(cursors={"billing": (0, 7)})])
    def test_no_lane_that_expires_begins_anew_where_it_is_known_to_be_further(self, mark: Mark) -> None:
        world = SubscribedStream(retention_days=DAYS)
        ledger = world.ports().ledger
        assert ends(world, expires=True).tail(LANE) == EMPTY_TAIL
        ledger.mark(StreamName(STREAM), LANE.origin, Marks(), Marks({LANE.index: mark}))
        with pytest.raises(UncertainTailError, match="known up to 7"):
            ends(world, expires=True).tail(LANE)


class TestExpiry:
    """Expired records do not change the place at which a lane goes on."""

    def test_the_place_counts_where_the_newest_left_is_not_the_newest_there_was(self) -> None:
        world = world_with(3, retention_days=DAYS)
        newest = world.records()[-1]
        for _ in range(DAYS + 1):
            world.clock.advance(DAY_SECONDS)
            reconciled(world)
        delete(world, newest)  # records expire in no order
        assert ends(world, expires=True).tail(LANE) == newest.tail

    def test_a_gap_that_expiry_may_have_made_is_no_doubt(self) -> None:
        world = world_with(3, retention_days=DAYS)
        gone, newest = world.records()[1:]
        world.clock.advance(RETENTION_SECONDS + 1)
        delete(world, gone)
        assert lane_end(world.log, LANE, now_ms=world.clock.now_ms()).tail == newest.tail

    def test_a_gap_that_it_cannot_have_made_is(self) -> None:
        world = world_with(3, retention_days=DAYS)
        first, gone, _ = world.records()
        delete(world, gone)
        end = lane_end(world.log, LANE, now_ms=world.clock.now_ms())
        assert (end.tail, end.beyond, end.is_far) == (first.tail, (2,), False)

    def test_a_delete_that_comes_from_another_region_leaves_the_place(self) -> None:
        """A replica that was cut off for most of the retention deletes what it still has by its old expiry."""
        world = world_with(3, retention_days=DAYS)
        world.deliver()
        world.cloud.replicate()
        world.cloud.cut(AWAY)
        for _ in range(DAYS + 1):
            world.clock.advance(DAY_SECONDS)
            reconciled(world)
        expire(world)
        world.cloud.heal(AWAY)
        world.cloud.replicate()
        appended = world.appender(retention_seconds=RETENTION_SECONDS).append(LANE, mine())
        assert appended.sequence == 3
        world.deliver()
        assert world.cursor().sequence == 3 + appended.count

    def test_a_publisher_forgets_a_tail_behind_which_all_may_have_expired(self) -> None:
        world = world_with(0, retention_days=DAYS)
        appender = world.appender(retention_seconds=RETENTION_SECONDS)
        first = appender.append(LANE, mine())
        other = world.put(event("another publisher's"))
        world.clock.advance(RETENTION_SECONDS / 2 + 1)
        reconciled(world)
        world.clock.advance(RETENTION_SECONDS / 2)
        expire(world)
        assert world.records() == []
        assert first.tail.sequence < other.tail.sequence
        batch = mine(batch_id=b"another".ljust(16, b"!"))
        assert appender.append(LANE, batch).sequence == other.tail.sequence

    def test_a_lane_of_which_all_has_expired_is_whole_in_every_region(self) -> None:
        world = world_with(3, retention_days=DAYS)
        world.deliver()
        world.cloud.replicate()
        away = world.at(AWAY)
        for _ in range(2 * DAYS):
            world.clock.advance(DAY_SECONDS)
            assert (reconciled(world), reconciled(away)) == ([], [])
            expire(world)
            world.cloud.replicate()
        assert list(reconciler_of(world).run(repair=True, full=True)) == []

    @pytest.mark.parametrize("lasts_days", [None, 90])
    @pytest.mark.parametrize("on_expired", ["skip", "halt"])
    def test_a_far_item_that_alone_is_left_takes_no_cursor_and_no_publisher_with_it(
        self, lasts_days: int | None, on_expired: str
    ) -> None:
        world = SubscribedStream(retention_days=DAYS, on_expired=on_expired)
        for number in range(3):
            world.put(event(f"a{number}"))
        world.deliver()
        expires = None if lasts_days is None else world.clock.now_ms() // 1000 + lasts_days * DAY_SECONDS
        put(world, replace(forged(world, FAR), expires_at=expires))
        for _ in range(2 * DAYS):
            world.clock.advance(DAY_SECONDS)
            findings = reconciler_of(world).run(repair=True, full=True)
            assert [finding.kind for finding in findings] == [FindingKind.FAR_TAIL]
            expire(world)
            world.deliver()
        assert [record.sequence for record in world.records()] == [FAR]
        assert (ends(world, expires=True).tail(LANE).sequence, world.cursor().sequence) == (3, 3)
        appended = world.appender(retention_seconds=RETENTION_SECONDS).append(LANE, mine())
        world.deliver(tail=appended.tail.sequence)
        assert world.cursor().sequence == appended.tail.sequence == 3 + appended.count

    @pytest.mark.parametrize("older_lasts_days", [None, -1])
    def test_two_far_items_that_seem_to_continue_each_other_across_what_expired_take_nothing_with_them(
        self, older_lasts_days: int | None
    ) -> None:
        world = SubscribedStream(retention_days=DAYS)
        for number in range(3):
            world.put(event(f"a{number}"))
        now_seconds = world.clock.now_ms() // 1000
        expires = None if older_lasts_days is None else now_seconds + older_lasts_days * DAY_SECONDS
        put(world, replace(forged(world, FAR), expires_at=expires))
        put(world, replace(forged(world, FAR + 5), expires_at=now_seconds + 90 * DAY_SECONDS))
        assert ends(world, expires=True).tail(LANE).sequence == 3

    @pytest.mark.parametrize("start", ["earliest", "latest"])
    def test_nor_do_they_in_an_empty_lane(self, start: str) -> None:
        world = SubscribedStream(retention_days=DAYS, start=start)
        expires = world.clock.now_ms() // 1000 + 90 * DAY_SECONDS
        put(world, replace(forged(world, FAR), expires_at=None))
        put(world, replace(forged(world, FAR + 5), expires_at=expires))
        assert lane_end(world.log, LANE, now_ms=world.clock.now_ms()).beyond == (FAR, FAR + 5)
        world.deliver(tail=FAR + 6)
        assert world.cursor().sequence == 0

    @pytest.mark.parametrize("before", [0, 2])
    def test_a_subscription_does_not_begin_behind_a_record_that_continues_nothing(self, before: int) -> None:
        world = SubscribedStream(start="latest")
        for number in range(before):
            world.put(event(f"a{number}"))
        put(world, forged(world, before, chain=Chain(bytes(15) + b"x")))
        world.clock.advance(60)
        world.put(event("first"), of=lane(1))
        world.deliver(lane(1))  # pins where all lanes begin
        world.deliver(tail=before + 1)
        assert world.cursor().sequence == before
        Quarantine(world.log, region=HOME, clock=world.clock).set_aside(
            LANE, SequenceNumber(before), by="ana", reason=""
        )
        world.put(event("new"))
        world.deliver()
        assert world.recorder.ids() == ["first", "new"]

    def test_they_may_be_all_that_is_left_of_a_lane_whose_place_is_near(self) -> None:
        world = SubscribedStream(retention_days=DAYS)
        world.log.hold_place(LANE, Tail(SequenceNumber(FAR - 9), EMPTY_TAIL.chain, EMPTY_TAIL.time))
        put(world, replace(forged(world, FAR), expires_at=None))
        newest = replace(forged(world, FAR + 5), expires_at=world.clock.now_ms() // 1000 + 90 * DAY_SECONDS)
        put(world, newest)
        assert lane_end(world.log, LANE, now_ms=world.clock.now_ms()).newest == newest

    def test_a_far_item_in_an_empty_lane_is_refused_until_it_is_set_aside(self) -> None:
        world = world_with(0, retention_days=DAYS)
        expires = world.clock.now_ms() // 1000 + 90 * DAY_SECONDS
        put(world, replace(forged(world, FAR), expires_at=expires))
        assert lane_end(world.log, LANE, now_ms=world.clock.now_ms()).beyond == (FAR,)
        with pytest.raises(UncertainTailError, match="set it aside"):
            ends(world, expires=True).tail(LANE)
        world.deliver()
        assert world.cursor().sequence == 0
        assert FindingKind.FAR_TAIL in reconciled(world)
        Quarantine(world.log, region=HOME, clock=world.clock).set_aside(LANE, FAR, by="ana", reason="")
        assert ends(world, expires=True).tail(LANE) == EMPTY_TAIL

    def test_nothing_has_expired_before_a_far_item(self) -> None:
        world = world_with(2, retention_days=DAYS)
        far = replace(forged(world, FAR), expires_at=None)
        put(world, far)
        world.clock.advance(2 * RETENTION_SECONDS)
        expire(world)
        assert not has_expired(world.log, LANE, SequenceNumber(1), far, kept_in_now(world))
        near = world.put(event("near"), log_lane_tail=Tail(SequenceNumber(2), EMPTY_TAIL.chain, far.time))
        assert has_expired(world.log, LANE, SequenceNumber(1), near, kept_in_now(world))


def kept_in_now(world: SubscribedStream) -> KeptPart:
    kept = kept_in(LANE, HOME, retention_seconds=RETENTION_SECONDS, now_ms=world.clock.now_ms())
    assert kept is not None
    return kept


class TestReads:
    """A cold publisher costs one read of two records."""

    def test_a_lane_that_fits_together_is_read_once(self) -> None:
        world = world_with(40)
        reads: list[int] = []

        class Counted(MemoryLog):
            def recent(self, lane: Lane, *, records_max: int, before: SequenceNumber | None = None) -> Recent:
                reads.append(records_max)
                return super().recent(lane, records_max=records_max, before=before)

        log = Counted(world.table)
        assert LaneEnds(log, clock=world.clock, expires=False).tail(LANE) == world.log.tail(LANE)
        assert reads == [2]


class TestATableMadeAnew:
    """Cursors stand further than the log goes."""

    def test_reconciliation_names_the_cure_and_a_replay_from_0_is_it(self) -> None:
        world = world_with(5)
        world.deliver()
        for record in world.records():
            delete(world, record)
        for name in ("new 1", "new 2"):
            world.put(event(name))
        world.deliver()
        assert world.recorder.ids()[-1] == "a4"
        reconciler = Reconciler(
            world.stream, region=world.region, ports=world.ports(), telemetry=world.telemetry
        )
        ahead = [
            finding for finding in reconciler.run(repair=True) if finding.kind is FindingKind.CURSOR_AHEAD
        ]
        assert [finding.detail for finding in ahead] == [TextWith("ends at 2", "replay", "from 0")]
        replay(world, 0, lane=LANE)
        world.deliver()
        world.put(event("new 3"))
        world.deliver()
        assert world.recorder.handled()[5:] == [("new 1", True), ("new 2", True), ("new 3", False)]
        assert reconciled(world) == []  # the cure is not told as a cursor that went back


class TestWhatAPublisherKnows:
    """Marks are read once a minute at the most."""

    def test_a_warm_process_sees_newer_marks_after_a_minute(self) -> None:
        world = world_with(2)
        asked: list[Region] = []

        class Ledger:
            def marks(self, stream: StreamName, origin: Region) -> Marks:
                asked.append(origin)
                return world.ledger.marks(stream, origin)

        ledger: Any = Ledger()  # of which nothing else is asked
        known = KnownMarks(ledger, StreamName(STREAM), clock=world.clock)
        assert (known.of(LANE).sequence, len(asked)) == (0, 1)
        reconciled(world)
        world.clock.advance(limits.KNOWN_MARKS_SECONDS)
        assert (known.of(LANE).sequence, len(asked)) == (0, 1)
        world.clock.advance(1)
        assert (known.of(LANE).sequence, len(asked)) == (2, 2)
        assert (known.of(LANE).sequence, len(asked)) == (2, 2)
