"""One look at one lane of one Region's log: what it finds, mends and remembers."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import OutcomeUnknownError
from eventfabric.model import EMPTY_TAIL, Chain, Mark, Record, Region, SequenceNumber, StreamName, chain_of
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Log, Page
from eventfabric.services.reconciliation.examined import Examined
from eventfabric.services.reconciliation.replica import Replica
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.backfill_regions import SOURCE, TARGET, BackfillRegions
from tests.support.memory_fabric import STREAM, lane
from tests.support.messages import TextWith, missing_from

THIRD = Region("ap-south-1")


class Look:
    """Looks at the source's first lane as one Region has it, pass after pass."""

    def __init__(self, fabric: BackfillRegions, region: Region = TARGET, *, expires: bool = False) -> None:
        self.fabric = fabric
        self.region = region
        self.expires = expires
        self.mark = Mark()
        self.elsewhere: dict[Region, Log] = {SOURCE: fabric.log(SOURCE), TARGET: fabric.log(TARGET)}

    def __call__(self, *, repairs: bool = False, full: bool = False) -> Examined:
        replica = Replica(
            StreamName(STREAM),
            self.region,
            log=self.fabric.log(self.region),
            elsewhere=self.elsewhere.__getitem__,
            regions=self.elsewhere,
            expires=self.expires,
            now_ms=(clock := self.fabric.clock).now_ms(),
            repairs=repairs,
            clock=clock,
        )
        examined = replica.examine(lane(), self.mark, full=full)
        self.mark = examined.mark
        return examined

    def finding(self, *, repairs: bool = False, full: bool = False) -> Finding:
        """The only one."""
        (sole_finding,) = self(repairs=repairs, full=full).findings
        return sole_finding


def filled(records: int = 5, copied: int = 5) -> tuple[BackfillRegions, list[Record]]:
    fabric = BackfillRegions()
    made = fabric.fill(records)
    fabric.copy_to_target(made[:copied])
    return fabric, made


def lost(log: Log) -> Log:
    """A log that does not answer."""
    return Faults(lambda called, overall, of_name: Fault.LOST_REQUEST).log(log)


def passed_ms(look: Look, seconds: float) -> None:
    look.fabric.clock.advance(seconds)


class TestWhole:
    @pytest.mark.parametrize("region", [SOURCE, TARGET])
    def test_what_is_verified_is_remembered(self, region: Region) -> None:
        fabric, made = filled()
        look = Look(fabric, region)
        look.mark = Mark(cursors={"billing": (1, 2)}, held=SequenceNumber(7))
        examined = look()
        assert examined.findings == ()
        assert examined.tail == made[-1].tail
        assert examined.mark == Mark(
            SequenceNumber(500), made[-1].chain, cursors={"billing": (1, 2)}, held=SequenceNumber(7)
        )

    def test_an_empty_lane_is_whole(self) -> None:
        fabric = BackfillRegions()
        assert Look(fabric)() == Examined(Mark(), EMPTY_TAIL, ())

    def test_a_page_ends_nothing(self) -> None:
        fabric = BackfillRegions()
        fabric.copy_to_target(fabric.fill(2 * limits.PAGE_RECORDS_MAX + 1, events=1))
        look = Look(fabric)
        assert look().findings == ()
        assert look.mark.sequence == 2 * limits.PAGE_RECORDS_MAX + 1

    def test_a_replica_that_has_more_than_its_origin_accuses_nobody(self) -> None:
        fabric, made = filled()
        fabric.remove(made[4])
        assert Look(fabric)().findings == ()
        for record in made[:4]:
            fabric.remove(record)
        assert Look(fabric)().findings == ()

    def test_where_the_origin_does_not_answer_the_lane_is_verified_all_the_same(self) -> None:
        fabric, _ = filled()
        look = Look(fabric)
        look.elsewhere[SOURCE] = lost(fabric.log(SOURCE))
        finding = look.finding()
        assert (finding.kind, finding.sequence, finding.region) == (FindingKind.UNREACHABLE, 500, TARGET)
        assert finding.detail.startswith(f"{SOURCE}: ")
        assert look.mark.sequence == 500


class TestBehind:
    def test_a_replica_that_moves_is_only_late(self) -> None:
        fabric, made = filled(copied=1)
        look = Look(fabric)
        for number in (1, 2):
            sequence, behind = SequenceNumber(100 * number), f"{500 - 100 * number} events behind {SOURCE}"
            delay = FindingKind.REPLICATION_DELAY
            assert look.finding() == Finding(delay, StreamName(STREAM), lane(), TARGET, sequence, behind)
            assert (look.mark.sequence, look.mark.end) == (100 * number, 100 * number)
            assert look.mark.since_ms == fabric.clock.now_ms()
            passed_ms(look, limits.STALL_SECONDS)
            fabric.copy_to_target(made[number : number + 1])
        fabric.copy_to_target(made[3:])
        assert look().findings == ()
        assert look.mark == Mark(SequenceNumber(500), made[-1].chain)

    def test_one_that_stands_still_is_late_for_a_while_and_then_stalled(self) -> None:
        fabric, _ = filled(copied=2)
        look = Look(fabric)
        began_ms = fabric.clock.now_ms()
        kinds = []
        for seconds in (0, limits.STALL_SECONDS - 1, 1, 10):
            passed_ms(look, seconds)
            kinds.append(look.finding().kind)
        assert kinds == [FindingKind.REPLICATION_DELAY] * 2 + [FindingKind.REPLICATION_STALL] * 2
        assert look.mark.since_ms == began_ms

    def test_only_a_stalled_one_is_mended_and_item_for_item(self) -> None:
        fabric, _ = filled(copied=2)
        look = Look(fabric)
        assert not look.finding(repairs=True).is_repaired
        passed_ms(look, limits.STALL_SECONDS)
        finding = look.finding(repairs=True)
        assert finding.is_repaired
        assert finding.detail == TextWith("300 events", f"behind {SOURCE}", f"copied from {SOURCE}")
        assert fabric.items(TARGET) == fabric.items(SOURCE)
        assert look.finding().kind is FindingKind.REPLICATION_SILENT


class TestHole:
    def test_in_a_replica_it_is_late_at_first_and_a_hole_after_a_while(self) -> None:
        fabric, made = filled(copied=2)
        fabric.copy_to_target(made[3:])
        look = Look(fabric)
        kinds = []
        for seconds in (0, limits.SETTLE_SECONDS - 1, 1):
            passed_ms(look, seconds)
            finding = look.finding()
            kinds.append(finding.kind)
            assert (finding.sequence, finding.detail) == (200, TextWith("up to 500"))
        assert kinds == [FindingKind.REPLICATION_DELAY] * 2 + [FindingKind.HOLE]

    def test_another_hole_than_the_one_before_is_late_again(self) -> None:
        fabric, made = filled(copied=1)
        fabric.copy_to_target([made[2], made[4]])
        look = Look(fabric)
        look()
        passed_ms(look, limits.SETTLE_SECONDS)
        fabric.copy_to_target([made[1]])
        assert (look.finding().kind, look.mark.sequence) == (FindingKind.REPLICATION_DELAY, 300)

    def test_in_the_origin_itself_it_is_one_at_once_and_mended_from_a_replica(self) -> None:
        fabric, made = filled()
        before = fabric.items(SOURCE)
        fabric.remove(made[1])
        fabric.remove(made[2])
        look = Look(fabric, SOURCE)
        assert look.finding().kind is FindingKind.HOLE
        finding = look.finding(repairs=True)
        assert (finding.is_repaired, finding.sequence) == (True, 100)
        assert missing_from(finding.detail, f"copied from {TARGET}") == []
        assert fabric.items(SOURCE) == before

    def test_records_that_were_verified_and_are_gone_are_a_hole_and_come_back(self) -> None:
        fabric, made = filled()
        look = Look(fabric)
        look()
        for record in made[3:]:
            fabric.remove(record, region=TARGET)
        known = look.mark
        finding = look.finding()
        assert (finding.kind, finding.sequence) == (FindingKind.HOLE, 300)
        assert finding.detail == TextWith("up to 500", "ends at 300")
        examined = look(repairs=True)
        assert examined.findings[0].is_repaired
        assert (examined.mark, examined.tail.sequence, examined.tail.chain) == (known, 500, known.chain)
        assert fabric.items(TARGET) == fabric.items(SOURCE)

    def test_any_region_that_has_them_will_do(self) -> None:
        fabric, made = filled(copied=2)
        fabric.copy_to_target(made[3:])
        look = Look(fabric)
        look()
        passed_ms(look, limits.SETTLE_SECONDS)
        third = fabric.log(SOURCE)
        look.elsewhere = {THIRD: third, **look.elsewhere, SOURCE: TailOnly(fabric.log(SOURCE))}
        finding = look.finding(repairs=True)
        assert finding.is_repaired
        assert finding.detail.endswith(f"; copied from {THIRD}")
        assert fabric.items(TARGET) == fabric.items(SOURCE)

    def test_where_nobody_has_them_it_stays(self) -> None:
        fabric, made = filled()
        for region in (SOURCE, TARGET):
            fabric.remove(made[2], region=region)
        look = Look(fabric)
        look()
        passed_ms(look, limits.SETTLE_SECONDS)
        finding = look.finding(repairs=True)
        assert (finding.kind, finding.is_repaired) == (FindingKind.HOLE, False)

    def test_records_that_do_not_extend_the_chain_are_not_copied(self) -> None:
        fabric, made = filled(copied=2)
        fabric.copy_to_target(made[3:])
        fabric.overwrite(replace(made[2], payload=b"forged"), region=SOURCE)
        look = Look(fabric)
        look()
        passed_ms(look, limits.SETTLE_SECONDS)
        before = fabric.items(TARGET)
        assert not look.finding(repairs=True).is_repaired
        assert fabric.items(TARGET) == before


class TailOnly:
    """A log that says where it ends, and then does not answer."""

    def __init__(self, log: Log) -> None:
        self.tail = log.tail
        self.append = log.append
        self.recent = log.recent
        self.place = log.place
        self.hold_place = log.hold_place
        self.note = log.note
        self.set_aside = log.set_aside
        self.interventions = log.interventions

    def read(self, *_: object, **__: object) -> Page:
        raise OutcomeUnknownError("read", "no reply")


class TestDivergence:
    def forged(self, made: Record, chain: Chain, **changes: object) -> Record:
        """Another record at its place that extends a chain."""
        changed = replace(made, **changes)  # type: ignore[arg-type]  # by name
        return replace(changed, chain=chain_of(chain, changed))

    def test_a_record_that_was_changed(self) -> None:
        fabric, made = filled()
        fabric.overwrite(replace(made[2], payload=b"changed"))
        look = Look(fabric)
        finding = look.finding()
        assert (finding.kind, finding.sequence) == (FindingKind.DIVERGENCE, 200)
        assert "chain of the record before it" in finding.detail
        assert look.mark.sequence == 200

    @pytest.mark.parametrize("more", [0, 1])
    def test_another_record_than_the_origins(self, more: int) -> None:
        fabric, made = filled(copied=4 + more)
        last = made[3 + more]
        fabric.overwrite(self.forged(last, made[2 + more].chain, payload=b"another"))
        finding = Look(fabric).finding()
        assert (finding.kind, finding.region) == (FindingKind.DIVERGENCE, TARGET)
        assert finding.sequence == 400 + 100 * more
        assert missing_from(finding.detail, SOURCE, "another record") == []

    def test_another_record_than_the_origins_in_a_replica_that_has_more(self) -> None:
        fabric, made = filled()
        forged = self.forged(made[3], made[2].chain, payload=b"another")
        fabric.overwrite(forged)
        fabric.overwrite(self.forged(made[4], forged.chain))
        fabric.remove(made[4])
        finding = Look(fabric).finding()
        assert (finding.kind, finding.sequence) == (FindingKind.DIVERGENCE, 400)

    def test_where_all_is_wanted_a_record_lost_at_the_end_hides_none_lost_before(self) -> None:
        fabric, made = filled()
        look = Look(fabric)
        look()
        for record in (made[1], made[4]):
            fabric.remove(record, region=TARGET)
        findings = look(repairs=True, full=True).findings
        assert [(finding.kind, finding.sequence, finding.is_repaired) for finding in findings] == [
            (FindingKind.HOLE, 400, True),
            (FindingKind.REPLICATION_DELAY, 100, False),
        ]
        passed_ms(look, limits.SETTLE_SECONDS)
        assert look.finding(repairs=True).is_repaired
        assert look() == Examined(look.mark, made[-1].tail, ())

    def test_where_only_what_is_new_is_wanted_a_lost_end_is_all_that_is_looked_at(self) -> None:
        fabric, made = filled()
        look = Look(fabric)
        look()
        for record in (made[1], made[4]):
            fabric.remove(record, region=TARGET)
        finding = look.finding(repairs=True)
        assert (finding.kind, finding.sequence, finding.is_repaired) == (FindingKind.HOLE, 400, True)

    def test_where_all_is_wanted_a_mended_end_is_compared_with_the_origins(self) -> None:
        fabric, made = filled(records=6)
        look = Look(fabric)
        look()
        fabric.remove(made[4], region=TARGET)
        findings = look(repairs=True, full=True).findings
        assert [(finding.kind, finding.sequence) for finding in findings] == [
            (FindingKind.HOLE, 400),
            (FindingKind.REPLICATION_DELAY, 500),
        ]

    def test_a_hole_is_filled_and_what_is_still_to_be_replicated_is_left_to_replication(self) -> None:
        fabric, made = filled(records=6)
        look = Look(fabric)
        fabric.remove(made[1], region=TARGET)
        look()
        passed_ms(look, limits.SETTLE_SECONDS)
        assert look.finding(repairs=True).is_repaired
        assert fabric.log(TARGET).tail(lane()) == made[4].tail

    def test_where_the_end_cannot_be_mended_what_was_verified_stays_remembered(self) -> None:
        fabric, made = filled()
        look = Look(fabric)
        look()
        fabric.remove(made[4], region=TARGET)
        look.elsewhere[SOURCE] = lost(look.elsewhere[SOURCE])
        mark = look.mark
        assert FindingKind.HOLE in [finding.kind for finding in look(repairs=True, full=True).findings]
        assert look.mark == mark

    def test_what_was_verified_once_is_verified_again_only_where_all_is_wanted(self) -> None:
        fabric, made = filled()
        look = Look(fabric)
        look()
        fabric.overwrite(replace(made[1], payload=b"changed"))
        assert look().findings == ()
        assert look.finding(full=True).sequence == 100

    def test_the_last_record_of_those_that_were_verified_is_compared_each_time(self) -> None:
        fabric, made = filled()
        look = Look(fabric, SOURCE)
        look()
        fabric.overwrite(self.forged(made[4], made[3].chain, payload=b"changed"), region=SOURCE)
        finding = look.finding()
        assert (finding.kind, finding.sequence) == (FindingKind.DIVERGENCE, 500)
        assert missing_from(finding.detail, "last record", "verified") == []

    def test_one_is_never_mended(self) -> None:
        fabric, made = filled()
        fabric.overwrite(replace(made[2], payload=b"changed"))
        before = fabric.items(TARGET)
        look = Look(fabric)
        for _ in range(2):
            assert not look.finding(repairs=True).is_repaired
            passed_ms(look, limits.STALL_SECONDS)
        assert fabric.items(TARGET) == before


class TestExpired:
    @pytest.mark.parametrize("expires", [True, False])
    def test_records_are_missing_at_the_start_only_where_they_expire(self, expires: bool) -> None:
        fabric, made = filled()
        for record in made[:2]:
            fabric.remove(record, region=TARGET)
        look = Look(fabric, expires=expires)
        examined = look()
        kinds: list[FindingKind] = [] if expires else [FindingKind.REPLICATION_DELAY]
        assert [finding.kind for finding in examined.findings] == kinds
        assert look.mark.sequence == (500 if expires else 0)

    def test_further_on_a_record_that_is_missing_is_a_hole_all_the_same(self) -> None:
        fabric, made = filled()
        for record in (made[0], made[3]):
            fabric.remove(record, region=TARGET)
        look = Look(fabric, expires=True)
        assert look.finding().kind is FindingKind.REPLICATION_DELAY
        assert look.mark.sequence == 300

    def test_a_replica_may_have_what_has_expired_in_its_origin(self) -> None:
        fabric, made = filled(copied=4)
        for record in made[:4]:
            fabric.remove(record)
        kept, ends = Look(fabric, expires=True).finding(), Look(fabric).finding()
        assert (kept.kind, ends.kind) == (FindingKind.REPLICATION_DELAY, FindingKind.DIVERGENCE)
