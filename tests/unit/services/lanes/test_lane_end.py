"""The end of a lane: after the last record that continues the lane, or at its noted place; never in doubt."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.errors import UncertainTailError
from eventfabric.model import (
    EMPTY_TAIL,
    Chain,
    Lane,
    Mark,
    Marks,
    Recent,
    Region,
    SequenceNumber,
    StreamName,
    Tail,
)
from eventfabric.model.finding import FindingKind
from eventfabric.services.lanes.lane_end import lane_end
from eventfabric.services.lanes.locate import KeptPart, has_expired, kept_in
from eventfabric.services.operations.quarantine import Quarantine
from eventfabric.services.publishing.lane_ends import KnownMarks, LaneEnds
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.testing.memory.log import MemoryLog
from eventfabric.wire import record_item
from tests.support.appends import mine
from tests.support.expiry import DAY_SECONDS, DAYS, expire, reconciled
from tests.support.log_items import FAR, delete, fabric_with, forged, put
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.messages import TextWith
from tests.support.replays import replay
from tests.support.subscribed_stream import SubscribedStream

RETENTION_SECONDS = DAYS * DAY_SECONDS


def reconciler_of(fabric: SubscribedStream) -> Reconciler:
    return Reconciler(fabric.stream, region=fabric.region, ports=fabric.ports(), telemetry=fabric.telemetry)


def ends(fabric: SubscribedStream, *, expires: bool = False) -> LaneEnds:
    """Return the ends of lanes as a publisher in their origin asks for them."""
    known = KnownMarks(fabric.ports().ledger, StreamName(STREAM), clock=fabric.clock).of
    return LaneEnds(fabric.log, clock=fabric.clock, expires=expires, known=known)


class TestAFarItem:
    """An item that nothing leads to."""

    def test_a_publisher_goes_on_behind_the_last_record_that_continues_another(self) -> None:
        fabric = fabric_with(3)
        put(fabric, forged(fabric, FAR))
        appended = fabric.appender().append(LANE, mine())
        assert appended.sequence == 3
        fabric.deliver()
        assert fabric.recorder.ids()[:3] == ["a0", "a1", "a2"]
        assert fabric.cursor().sequence == 3 + appended.count

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_so_it_does_in_a_lane_of_a_few_records(self, count: int) -> None:
        fabric = fabric_with(count)
        put(fabric, forged(fabric, FAR))
        assert fabric.appender().append(LANE, mine()).sequence == count

    def test_so_it_does_with_many_of_them_and_with_such_that_cannot_be_decoded(self) -> None:
        fabric = fabric_with(3)
        for number in range(150):
            put(fabric, forged(fabric, FAR + 10 * number))
        item = {**record_item.to_item(forged(fabric, FAR + 5)), "t": {"S": "no set"}}
        fabric.table.write("Put", {"Item": item})
        end = lane_end(fabric.log, LANE, now_ms=fabric.clock.now_ms())
        assert (end.tail.sequence, len(end.beyond), end.is_far) == (3, 151, True)
        assert fabric.appender().append(LANE, mine()).sequence == 3

    def test_more_of_them_than_are_looked_through_are_refused(self) -> None:
        fabric = fabric_with(1)
        for number in range(limits.LANE_END_PAGES_MAX * limits.PAGE_RECORDS_MAX + 10):
            put(fabric, forged(fabric, FAR + 10 * number))
        with pytest.raises(UncertainTailError):
            fabric.appender().append(LANE, mine())

    def test_reconciliation_reports_it_and_watches_the_lane_as_before(self) -> None:
        fabric = fabric_with(3)
        fabric.deliver()
        put(fabric, forged(fabric, FAR))
        assert reconciled(fabric) == [FindingKind.FAR_TAIL]
        fabric.appender().append(LANE, mine())
        fabric.clock.advance(limits.UNRUNG_SECONDS + 1)
        assert reconciled(fabric) == [FindingKind.FAR_TAIL, FindingKind.UNRUNG]

    def test_a_replica_that_got_it_reports_it_and_is_not_behind(self) -> None:
        fabric = fabric_with(3)
        put(fabric, forged(fabric, FAR))
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        assert reconciled(away) == [FindingKind.FAR_TAIL]


class TestDoubt:
    """Nothing is put where something may have stood, or stands."""

    def test_nothing_is_put_into_a_hole_before_the_newest_record(self) -> None:
        fabric = fabric_with(5)
        delete(fabric, fabric.records()[3])
        with pytest.raises(UncertainTailError) as raised:
            fabric.appender().append(LANE, mine())
        assert (raised.value.sequence, raised.value.no_effect, raised.value.retryable) == (4, True, False)

    def test_nothing_is_put_behind_one_that_does_not_extend_the_chain(self) -> None:
        fabric = fabric_with(3)
        put(fabric, forged(fabric, 3, chain=Chain(b"!" * 16)))
        with pytest.raises(UncertainTailError):
            fabric.appender().append(LANE, mine())

    def test_a_publisher_that_remembers_the_tail_does_not_go_on_behind_one_either(self) -> None:
        fabric = fabric_with(0)
        appender = fabric.appender()
        first = appender.append(LANE, mine())
        put(fabric, forged(fabric, first.count, chain=Chain(b"!" * 16)))
        with pytest.raises(UncertainTailError):
            appender.append(LANE, mine(batch_id=b"another".ljust(16, b"!")))

    def test_nothing_is_put_before_a_far_item_where_the_lane_is_known_to_be_further(self) -> None:
        fabric = fabric_with(5)
        reconciled(fabric)
        for record in fabric.records()[3:]:
            delete(fabric, record)
        put(fabric, forged(fabric, FAR))
        with pytest.raises(UncertainTailError, match="known up to 5"):
            ends(fabric).tail(LANE)

    @pytest.mark.parametrize("mark", [Mark(SequenceNumber(7)), Mark(cursors={"billing": (0, 7)})])
    def test_no_lane_that_expires_begins_anew_where_it_is_known_to_be_further(self, mark: Mark) -> None:
        fabric = SubscribedStream(retention_days=DAYS)
        ledger = fabric.ports().ledger
        assert ends(fabric, expires=True).tail(LANE) == EMPTY_TAIL
        ledger.mark(StreamName(STREAM), LANE.origin, Marks(), Marks({LANE.index: mark}))
        with pytest.raises(UncertainTailError, match="known up to 7"):
            ends(fabric, expires=True).tail(LANE)


class TestExpiry:
    """Expired records do not change the place at which a lane goes on."""

    def test_the_place_counts_where_the_newest_left_is_not_the_newest_there_was(self) -> None:
        fabric = fabric_with(3, retention_days=DAYS)
        newest = fabric.records()[-1]
        for _ in range(DAYS + 1):
            fabric.clock.advance(DAY_SECONDS)
            reconciled(fabric)
        delete(fabric, newest)  # records expire in no order
        assert ends(fabric, expires=True).tail(LANE) == newest.tail

    def test_a_gap_that_expiry_may_have_made_is_no_doubt(self) -> None:
        fabric = fabric_with(3, retention_days=DAYS)
        gone, newest = fabric.records()[1:]
        fabric.clock.advance(RETENTION_SECONDS + 1)
        delete(fabric, gone)
        assert lane_end(fabric.log, LANE, now_ms=fabric.clock.now_ms()).tail == newest.tail

    def test_a_gap_that_it_cannot_have_made_is(self) -> None:
        fabric = fabric_with(3, retention_days=DAYS)
        first, gone, _ = fabric.records()
        delete(fabric, gone)
        end = lane_end(fabric.log, LANE, now_ms=fabric.clock.now_ms())
        assert (end.tail, end.beyond, end.is_far) == (first.tail, (2,), False)

    def test_a_delete_that_comes_from_another_region_leaves_the_place(self) -> None:
        """A replica that was cut off for most of the retention deletes what it still has by its old expiry."""
        fabric = fabric_with(3, retention_days=DAYS)
        fabric.deliver()
        fabric.cloud.replicate()
        fabric.cloud.cut(AWAY)
        for _ in range(DAYS + 1):
            fabric.clock.advance(DAY_SECONDS)
            reconciled(fabric)
        expire(fabric)
        fabric.cloud.heal(AWAY)
        fabric.cloud.replicate()
        appended = fabric.appender(retention_seconds=RETENTION_SECONDS).append(LANE, mine())
        assert appended.sequence == 3
        fabric.deliver()
        assert fabric.cursor().sequence == 3 + appended.count

    def test_a_publisher_forgets_a_tail_behind_which_all_may_have_expired(self) -> None:
        fabric = fabric_with(0, retention_days=DAYS)
        appender = fabric.appender(retention_seconds=RETENTION_SECONDS)
        first = appender.append(LANE, mine())
        other = fabric.put(event("another publisher's"))
        fabric.clock.advance(RETENTION_SECONDS / 2 + 1)
        reconciled(fabric)
        fabric.clock.advance(RETENTION_SECONDS / 2)
        expire(fabric)
        assert fabric.records() == []
        assert first.tail.sequence < other.tail.sequence
        batch = mine(batch_id=b"another".ljust(16, b"!"))
        assert appender.append(LANE, batch).sequence == other.tail.sequence

    def test_a_lane_of_which_all_has_expired_is_whole_in_every_region(self) -> None:
        fabric = fabric_with(3, retention_days=DAYS)
        fabric.deliver()
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        for _ in range(2 * DAYS):
            fabric.clock.advance(DAY_SECONDS)
            assert (reconciled(fabric), reconciled(away)) == ([], [])
            expire(fabric)
            fabric.cloud.replicate()
        assert list(reconciler_of(fabric).run(repair=True, full=True)) == []

    @pytest.mark.parametrize("lasts_days", [None, 90])
    @pytest.mark.parametrize("on_expired", ["skip", "halt"])
    def test_a_far_item_that_alone_is_left_takes_no_cursor_and_no_publisher_with_it(
        self, lasts_days: int | None, on_expired: str
    ) -> None:
        fabric = SubscribedStream(retention_days=DAYS, on_expired=on_expired)
        for number in range(3):
            fabric.put(event(f"a{number}"))
        fabric.deliver()
        expires = None if lasts_days is None else fabric.clock.now_ms() // 1000 + lasts_days * DAY_SECONDS
        put(fabric, replace(forged(fabric, FAR), expires_at=expires))
        for _ in range(2 * DAYS):
            fabric.clock.advance(DAY_SECONDS)
            findings = reconciler_of(fabric).run(repair=True, full=True)
            assert [finding.kind for finding in findings] == [FindingKind.FAR_TAIL]
            expire(fabric)
            fabric.deliver()
        assert [record.sequence for record in fabric.records()] == [FAR]
        assert (ends(fabric, expires=True).tail(LANE).sequence, fabric.cursor().sequence) == (3, 3)
        appended = fabric.appender(retention_seconds=RETENTION_SECONDS).append(LANE, mine())
        fabric.deliver(tail=appended.tail.sequence)
        assert fabric.cursor().sequence == appended.tail.sequence == 3 + appended.count

    @pytest.mark.parametrize("older_lasts_days", [None, -1])
    def test_two_far_items_that_seem_to_continue_each_other_across_what_expired_take_nothing_with_them(
        self, older_lasts_days: int | None
    ) -> None:
        fabric = SubscribedStream(retention_days=DAYS)
        for number in range(3):
            fabric.put(event(f"a{number}"))
        now_seconds = fabric.clock.now_ms() // 1000
        expires = None if older_lasts_days is None else now_seconds + older_lasts_days * DAY_SECONDS
        put(fabric, replace(forged(fabric, FAR), expires_at=expires))
        put(fabric, replace(forged(fabric, FAR + 5), expires_at=now_seconds + 90 * DAY_SECONDS))
        assert ends(fabric, expires=True).tail(LANE).sequence == 3

    @pytest.mark.parametrize("start", ["earliest", "latest"])
    def test_nor_do_they_in_an_empty_lane(self, start: str) -> None:
        fabric = SubscribedStream(retention_days=DAYS, start=start)
        expires = fabric.clock.now_ms() // 1000 + 90 * DAY_SECONDS
        put(fabric, replace(forged(fabric, FAR), expires_at=None))
        put(fabric, replace(forged(fabric, FAR + 5), expires_at=expires))
        assert lane_end(fabric.log, LANE, now_ms=fabric.clock.now_ms()).beyond == (FAR, FAR + 5)
        fabric.deliver(tail=FAR + 6)
        assert fabric.cursor().sequence == 0

    @pytest.mark.parametrize("before", [0, 2])
    def test_a_subscription_does_not_begin_behind_a_record_that_continues_nothing(self, before: int) -> None:
        fabric = SubscribedStream(start="latest")
        for number in range(before):
            fabric.put(event(f"a{number}"))
        put(fabric, forged(fabric, before, chain=Chain(bytes(15) + b"x")))
        fabric.clock.advance(60)
        fabric.put(event("first"), of=lane(1))
        fabric.deliver(lane(1))  # pins where all lanes begin
        fabric.deliver(tail=before + 1)
        assert fabric.cursor().sequence == before
        Quarantine(fabric.log, region=HOME, clock=fabric.clock).set_aside(
            LANE, SequenceNumber(before), by="ana", reason=""
        )
        fabric.put(event("new"))
        fabric.deliver()
        assert fabric.recorder.ids() == ["first", "new"]

    def test_they_may_be_all_that_is_left_of_a_lane_whose_place_is_near(self) -> None:
        fabric = SubscribedStream(retention_days=DAYS)
        fabric.log.hold_place(LANE, Tail(SequenceNumber(FAR - 9), EMPTY_TAIL.chain, EMPTY_TAIL.time))
        put(fabric, replace(forged(fabric, FAR), expires_at=None))
        newest = replace(forged(fabric, FAR + 5), expires_at=fabric.clock.now_ms() // 1000 + 90 * DAY_SECONDS)
        put(fabric, newest)
        assert lane_end(fabric.log, LANE, now_ms=fabric.clock.now_ms()).newest == newest

    def test_a_far_item_in_an_empty_lane_is_refused_until_it_is_set_aside(self) -> None:
        fabric = fabric_with(0, retention_days=DAYS)
        expires = fabric.clock.now_ms() // 1000 + 90 * DAY_SECONDS
        put(fabric, replace(forged(fabric, FAR), expires_at=expires))
        assert lane_end(fabric.log, LANE, now_ms=fabric.clock.now_ms()).beyond == (FAR,)
        with pytest.raises(UncertainTailError, match="set it aside"):
            ends(fabric, expires=True).tail(LANE)
        fabric.deliver()
        assert fabric.cursor().sequence == 0
        assert FindingKind.FAR_TAIL in reconciled(fabric)
        Quarantine(fabric.log, region=HOME, clock=fabric.clock).set_aside(LANE, FAR, by="ana", reason="")
        assert ends(fabric, expires=True).tail(LANE) == EMPTY_TAIL

    def test_nothing_has_expired_before_a_far_item(self) -> None:
        fabric = fabric_with(2, retention_days=DAYS)
        far = replace(forged(fabric, FAR), expires_at=None)
        put(fabric, far)
        fabric.clock.advance(2 * RETENTION_SECONDS)
        expire(fabric)
        assert not has_expired(fabric.log, LANE, SequenceNumber(1), far, kept_in_now(fabric))
        near = fabric.put(event("near"), log_lane_tail=Tail(SequenceNumber(2), EMPTY_TAIL.chain, far.time))
        assert has_expired(fabric.log, LANE, SequenceNumber(1), near, kept_in_now(fabric))


def kept_in_now(fabric: SubscribedStream) -> KeptPart:
    kept_part = kept_in(LANE, HOME, retention_seconds=RETENTION_SECONDS, now_ms=fabric.clock.now_ms())
    assert kept_part is not None
    return kept_part


class TestReads:
    """A cold publisher costs one read of two records."""

    def test_a_lane_that_fits_together_is_read_once(self) -> None:
        fabric = fabric_with(40)
        reads: list[int] = []

        class Counted(MemoryLog):
            def recent(
                self,
                lane: Lane,
                *,
                records_max: int,
                before: SequenceNumber | None = None,
                consistent: bool = True,
            ) -> Recent:
                reads.append(records_max)
                return super().recent(lane, records_max=records_max, before=before, consistent=consistent)

        log = Counted(fabric.table)
        assert LaneEnds(log, clock=fabric.clock, expires=False).tail(LANE) == fabric.log.tail(LANE)
        assert reads == [2]


class TestATableMadeAnew:
    """Cursors stand further than the log goes."""

    def test_reconciliation_names_the_cure_and_a_replay_from_0_is_it(self) -> None:
        fabric = fabric_with(5)
        fabric.deliver()
        for record in fabric.records():
            delete(fabric, record)
        for name in ("new 1", "new 2"):
            fabric.put(event(name))
        fabric.deliver()
        assert fabric.recorder.ids()[-1] == "a4"
        reconciler = Reconciler(
            fabric.stream, region=fabric.region, ports=fabric.ports(), telemetry=fabric.telemetry
        )
        ahead = [
            finding for finding in reconciler.run(repair=True) if finding.kind is FindingKind.CURSOR_AHEAD
        ]
        assert [finding.detail for finding in ahead] == [TextWith("ends at 2", "replay", "from 0")]
        replay(fabric, 0, lane=LANE)
        fabric.deliver()
        fabric.put(event("new 3"))
        fabric.deliver()
        assert fabric.recorder.handled()[5:] == [("new 1", True), ("new 2", True), ("new 3", False)]
        assert reconciled(fabric) == []  # the cure is not told as a cursor that went back


class TestWhatAPublisherKnows:
    """Marks are read once a minute at the most."""

    def test_a_warm_process_sees_newer_marks_after_a_minute(self) -> None:
        fabric = fabric_with(2)
        asked_regions: list[Region] = []

        class Ledger:
            def marks(self, stream: StreamName, origin: Region) -> Marks:
                asked_regions.append(origin)
                return fabric.ledger.marks(stream, origin)

        ledger: Any = Ledger()  # of which nothing else is asked
        known = KnownMarks(ledger, StreamName(STREAM), clock=fabric.clock)
        assert (known.of(LANE).sequence, len(asked_regions)) == (0, 1)
        reconciled(fabric)
        fabric.clock.advance(limits.KNOWN_MARKS_SECONDS - 1)
        assert (known.of(LANE).sequence, len(asked_regions)) == (0, 1)
        fabric.clock.set_back(-1)  # frozen, of which the steady clock knows nothing
        assert (known.of(LANE).sequence, len(asked_regions)) == (2, 2)
        assert (known.of(LANE).sequence, len(asked_regions)) == (2, 2)
