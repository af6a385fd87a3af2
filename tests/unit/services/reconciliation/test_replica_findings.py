"""Findings about a lane in one Region's log: kind, place and numbers; and the reads of each log for them."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.model import EMPTY_TAIL, UNKNOWN_CHAIN, Mark, Record, Region, SequenceNumber, Tail, chain_of
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.services.reconciliation.examined import Examined
from eventfabric.testing.memory.faults import Faults
from eventfabric.wire import record_item
from tests.support import findings
from tests.support.backfill_regions import SOURCE, TARGET, BackfillRegions
from tests.support.memory_fabric import STREAM, lane
from tests.support.recorded_reads import Read, RecordingLog
from tests.unit.services.reconciliation.test_replica import THIRD, Look, TailOnly, filled, lost, passed_ms

RESTORE = "eventfabric lanes restore"
UNMENDED = "no Region", RESTORE


def finding(
    kind: FindingKind, sequence: int, *facts: object, region: Region = TARGET, is_repaired: bool = False
) -> Finding:
    """Build a finding about the log of one lane. A divergence has to name the command that restores a record."""
    if kind is FindingKind.DIVERGENCE:
        facts = (*facts, RESTORE)
    return findings.finding(
        kind,
        sequence,
        *facts,
        stream=STREAM,
        subscription=None,
        lane=lane(),
        region=region,
        is_repaired=is_repaired,
    )


def forged(record: Record, before: Record) -> Record:
    """Another record in its place, on the chain of the one before it."""
    changed = replace(record, payload=b"another")
    return replace(changed, chain=chain_of(before.chain, changed))


def undecodable(fabric: BackfillRegions, record: Record) -> None:
    """Put what no version can read in the target."""
    table = fabric.cloud.log_table(fabric.stream.name, TARGET)
    table.write("Put", {"Item": {**record_item.to_item(record), "n": {"N": "0"}}})


class Watched(Look):
    """A look whose reads of both logs are remembered."""

    def __init__(self, fabric: BackfillRegions, region: Region = TARGET, *, expires: bool = False) -> None:
        super().__init__(fabric, region, expires=expires)
        self.source = RecordingLog(fabric.log(SOURCE))
        self.elsewhere[SOURCE] = self.source


class TestDivergence:
    """A record that is not what it must be."""

    def test_a_record_that_cannot_be_read_diverges_where_the_verified_ones_end(self) -> None:
        fabric, made = filled()
        undecodable(fabric, made[2])
        look = Look(fabric)
        finding = look.finding()
        assert (finding.kind, finding.sequence, finding.lane) == (FindingKind.DIVERGENCE, 200, lane())
        assert f"record 200 of lane {lane()}" in finding.detail
        assert look.mark.sequence == 200

    @pytest.mark.parametrize("copied", [4, 5])
    def test_another_record_than_the_origins_is_reported_where_it_ends(self, copied: int) -> None:
        fabric, made = filled(copied=copied)
        fabric.overwrite(forged(made[copied - 1], made[copied - 2]))
        assert Look(fabric).finding() == finding(
            FindingKind.DIVERGENCE, 100 * copied, SOURCE, "another record"
        )

    def test_it_is_reported_of_a_replica_that_has_more_where_its_origin_ends(self) -> None:
        fabric, made = filled()
        another = forged(made[3], made[2])
        fabric.overwrite(another)
        fabric.overwrite(forged(made[4], another))
        fabric.remove(made[4])
        assert Look(fabric).finding() == finding(FindingKind.DIVERGENCE, 400, SOURCE, "another record")

    def test_the_first_that_does_not_extend_the_chain_is_reported(self) -> None:
        fabric, made = filled()
        fabric.overwrite(replace(made[2], payload=b"changed"))
        assert Look(fabric).finding() == finding(FindingKind.DIVERGENCE, 200, "chain", "record before")

    def test_one_that_overlaps_another_is_reported_with_the_end_of_that(self) -> None:
        fabric, made = filled()
        fabric.overwrite(replace(made[1], sequence=SequenceNumber(150)))
        assert Look(fabric).finding() == finding(FindingKind.DIVERGENCE, 150, "overlaps", "sequence 200")

    def test_a_last_record_that_changed_since_it_was_verified_is_reported_where_it_ends(self) -> None:
        fabric, made = filled()
        look = Look(fabric, SOURCE)
        look()
        fabric.overwrite(forged(made[4], made[3]), region=SOURCE)
        facts = "last record", "verified"
        assert look.finding() == finding(FindingKind.DIVERGENCE, 500, *facts, region=SOURCE)
        assert look.mark.sequence == 500

    def test_where_the_log_ends_is_known_all_the_same(self) -> None:
        fabric, made = filled()
        fabric.overwrite(replace(made[2], payload=b"changed"))
        examined = Look(fabric)()
        assert (examined.tail, examined.mark) == (made[4].tail, Mark(SequenceNumber(200), made[1].chain))


class TestHoles:
    """A record that is missing."""

    def test_records_that_were_verified_and_are_gone_are_reported_with_both_ends(self) -> None:
        fabric, made = filled()
        look = Look(fabric)
        look()
        fabric.remove(made[4], region=TARGET)
        facts = "up to 500", "ends at 400"
        assert look.finding() == finding(FindingKind.HOLE, 400, *facts)
        copied = finding(FindingKind.HOLE, 400, *facts, f"copied from {SOURCE}", is_repaired=True)
        assert look.finding(repairs=True) == copied
        assert fabric.items(TARGET) == fabric.items(SOURCE)

    def test_until_they_are_back_the_lane_ends_where_it_was_verified_to(self) -> None:
        fabric, made = filled()
        look = Look(fabric)
        look()
        fabric.remove(made[4], region=TARGET)
        examined = look()
        assert examined.mark == Mark(SequenceNumber(500), made[4].chain)
        assert examined.tail == Tail(SequenceNumber(500), made[4].chain, made[3].time)

    def test_a_replica_that_has_more_than_its_origin_is_verified_to_its_own_end(self) -> None:
        fabric, made = filled()
        fabric.remove(made[4])
        assert Look(fabric)() == Examined(Mark(SequenceNumber(500), made[4].chain), made[4].tail, ())

    def test_nothing_is_mended_where_somebody_writes_another_record_meanwhile(self) -> None:
        fabric, made = filled()
        look = Look(fabric)
        look()
        for record in made[3:]:
            fabric.remove(record, region=TARGET)
        another = forged(made[3], made[2])

        def write(called: str, overall: int, of_name: int) -> None:
            if called == "log.read":
                fabric.copy_to_target([another])

        look.elsewhere[SOURCE] = Faults(write).log(fabric.log(SOURCE))
        expected = finding(FindingKind.HOLE, 300, "up to 500", "ends at 300", *UNMENDED)
        assert look.finding(repairs=True) == expected
        assert fabric.log(TARGET).tail(lane()) == another.tail

    def test_one_that_is_missing_is_reported_with_the_extent_of_those_behind_it(self) -> None:
        fabric, made = filled(copied=2)
        fabric.copy_to_target(made[3:])
        look = Look(fabric)
        look()
        passed_ms(look, limits.SETTLE_SECONDS)
        assert look.finding() == finding(FindingKind.HOLE, 200, "up to 500")

    def test_more_than_a_page_is_copied_page_by_page_from_where_the_verified_ones_end(self) -> None:
        fabric, _ = filled(records=250, copied=2)
        look = Watched(fabric)
        look()
        passed_ms(look, limits.STALL_SECONDS)
        look.source.reads.clear()
        facts = "24800 events", f"behind {SOURCE}", f"copied from {SOURCE}"
        stall = finding(FindingKind.REPLICATION_STALL, 200, *facts, is_repaired=True)
        assert look.finding(repairs=True) == stall
        assert look.source.reads == [Read(lane(), start, 100) for start in (200, 10_200, 20_200)]
        assert fabric.items(TARGET) == fabric.items(SOURCE)

    def test_a_source_that_ends_before_the_hole_does_mends_nothing(self) -> None:
        fabric, made = filled(copied=5)
        look = Look(fabric)
        look()
        for record in made[2:]:
            fabric.remove(record, region=TARGET)
        for record in made[3:]:
            fabric.remove(record)
        expected = finding(FindingKind.HOLE, 200, "up to 500", "ends at 200", *UNMENDED)
        assert look.finding(repairs=True) == expected
        assert fabric.items(TARGET) == fabric.items(SOURCE)

    def test_nothing_is_copied_behind_what_a_source_lacks_and_another_one_is_asked(self) -> None:
        fabric, made = filled(copied=2)
        fabric.copy_to_target(made[4:])
        other = BackfillRegions()
        for record in made:
            assert other.log(SOURCE).append(record) is None
        fabric.remove(made[3])
        look = Look(fabric)
        look()
        passed_ms(look, limits.SETTLE_SECONDS)
        assert look.finding(repairs=True) == finding(FindingKind.HOLE, 200, "up to 500", *UNMENDED)
        assert [item["sk"]["N"] for item in fabric.items(TARGET)] == ["0", "100", "200", "400"]
        look.elsewhere[THIRD] = other.log(SOURCE)
        look()
        passed_ms(look, limits.SETTLE_SECONDS)
        copied = finding(FindingKind.HOLE, 300, "up to 500", f"copied from {THIRD}", is_repaired=True)
        assert look.finding(repairs=True) == copied
        assert fabric.items(TARGET) == other.items(SOURCE)


class TestAnOriginThatDoesNotAnswer:
    """It is reported, and the lane is examined all the same."""

    @pytest.mark.parametrize("full", [False, True])
    def test_all_is_verified_anew_where_that_is_wanted(self, full: bool) -> None:
        fabric, made = filled()
        look = Look(fabric)
        look()
        fabric.overwrite(replace(made[1], payload=b"changed"))
        look.elsewhere[SOURCE] = lost(fabric.log(SOURCE))
        unreachable = finding(FindingKind.UNREACHABLE, 500, SOURCE)
        divergence = finding(FindingKind.DIVERGENCE, 100, "chain", "record before")
        assert look(full=full).findings == (unreachable, *([divergence] if full else []))


class TestAnExpiredHead:
    """The oldest records of a replica are gone: expired, or missing while the origin keeps them."""

    def aged(self, *, in_target: int, in_source: int) -> tuple[Watched, list[Record]]:
        """Five records that are kept for a day, the first ones gone."""
        fabric = BackfillRegions(retention_days=1)
        made = fabric.fill(5)
        fabric.copy_to_target(made)
        for record in made[:in_target]:
            fabric.remove(record, region=TARGET)
        for record in made[:in_source]:
            fabric.remove(record)
        return Watched(fabric, expires=True), made

    def test_what_both_lack_has_expired_and_no_more_than_that_is_asked_of_the_origin(self) -> None:
        look, made = self.aged(in_target=2, in_source=2)
        assert look().findings == ()
        assert look.source.reads == [Read(lane(), 0, 1, 200)]
        assert look.mark == Mark(SequenceNumber(500), made[-1].chain)

    def test_what_the_origin_keeps_from_the_first_record_on_is_missing_from_there(self) -> None:
        look, _ = self.aged(in_target=2, in_source=0)
        assert look.finding() == finding(FindingKind.REPLICATION_DELAY, 0, "up to 500")
        now_ms = look.fabric.clock.now_ms()
        assert look.mark == Mark(EMPTY_TAIL.sequence, EMPTY_TAIL.chain, since_ms=now_ms)

    def test_what_the_origin_keeps_from_a_later_record_on_is_missing_from_that_one(self) -> None:
        look, _ = self.aged(in_target=2, in_source=1)
        assert look.finding() == finding(FindingKind.REPLICATION_DELAY, 100, "up to 500")
        now_ms = look.fabric.clock.now_ms()
        assert look.mark == Mark(SequenceNumber(100), UNKNOWN_CHAIN, SequenceNumber(100), now_ms)

    @pytest.mark.parametrize(("left_ms", "sequence"), [(1, 0), (0, 500)])
    def test_what_the_origin_has_counts_until_the_moment_that_it_may_expire(
        self, left_ms: int, sequence: int
    ) -> None:
        look, made = self.aged(in_target=2, in_source=0)
        assert made[0].expires_at is not None
        look.fabric.clock.advance((1000 * made[0].expires_at - look.fabric.clock.now_ms() - left_ms) / 1000)
        look()
        assert look.mark.sequence == sequence

    def test_an_origin_that_does_not_answer_is_as_if_it_had_nothing(self) -> None:
        look, _ = self.aged(in_target=2, in_source=0)
        look.elsewhere[SOURCE] = TailOnly(look.fabric.log(SOURCE))
        assert look().findings == ()


class TestWhatIsRead:
    """Only what is new, a page at a time."""

    def test_what_is_new_is_read_from_the_mark_and_on_right_behind_the_start_of_the_last_record(self) -> None:
        fabric, made = filled(records=250, copied=0)
        fabric.copy_to_target(made)
        look = Watched(fabric, SOURCE)
        log = RecordingLog(fabric.log(SOURCE))
        fabric.log = lambda region: log  # type: ignore[method-assign]  # on its way to the log
        look.mark = Mark(made[9].tail.sequence, made[9].chain)
        assert look().findings == ()
        assert log.reads == [Read(lane(), start, 100) for start in (1_000, 10_901, 20_901)]
        log.reads.clear()
        assert look().findings == ()
        assert log.reads == []
