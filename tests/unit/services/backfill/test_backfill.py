"""Backfill: what is missing is found, copied as it is, verified, and nothing else is touched."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import BackfillError, Problem, UnknownNameError, WrongRegionError
from eventfabric.model import EMPTY_TAIL, Chain, SequenceNumber
from eventfabric.model.backfill import BackfillState, LaneRange, SliceProgress
from eventfabric.services.backfill.copy_slice import Ending
from tests.support.backfill_regions import SOURCE, TARGET, BackfillRegions
from tests.support.memory_fabric import STREAM, lane
from tests.support.messages import TextWith


def bounds(slices: list[SliceProgress]) -> list[tuple[int, int, int]]:
    """Start, end and missing events of slices."""
    return [(p.slice.start.sequence, p.slice.end.sequence, p.missing) for p in slices]


def preview(fabric: BackfillRegions, *ranges: LaneRange, **settings: object) -> list[SliceProgress]:
    return list(fabric.backfiller().preview(fabric.wanted(*ranges, **settings)))


def test_an_empty_region_gets_every_lane_item_for_item() -> None:
    fabric = BackfillRegions()
    for number in range(3):
        fabric.fill(5, of=lane(number))
    fabric.fill(2, of=lane(1, TARGET))
    backfill = fabric.begin()
    assert {copied.ending for copied in fabric.run(backfill)} == {Ending.DONE}
    assert fabric.items(TARGET) == fabric.items(SOURCE)
    report = fabric.backfiller().report(backfill.id)
    assert (report.backfill.state, report.is_complete) == (BackfillState.DONE, True)
    assert {of: (r.slices, r.missing, r.copied_events) for of, r in report.lanes.items()} == {
        lane(1, TARGET): (1, 200, 200),
        **{lane(n): (1, 500, 500) for n in range(3)},
    }


def test_an_empty_target_is_never_read_and_the_source_only_once() -> None:
    fabric = BackfillRegions()
    fabric.fill(250)
    backfill = fabric.begin()
    (progress,) = fabric.slices(backfill)
    copier = fabric.backfiller().copier(backfill.id)
    fabric.faults.calls.clear()
    fabric.reading.calls.clear()
    copier.copy(progress)
    assert fabric.reading.calls == ["log.read"] * 3
    called = {name: fabric.faults.calls.count(name) for name in set(fabric.faults.calls)}
    assert called == {"log.tail": 1, "log.append": 250, "backfills.find": 4, "backfills.save": 3}


def test_slices_meet_in_seams_that_the_source_knows() -> None:
    fabric = BackfillRegions()
    made = fabric.fill(10)
    slices = preview(fabric, slice_events=250)
    assert bounds(slices) == [(0, 300, 300), (300, 600, 300), (600, 900, 300), (900, 1000, 100)]
    assert [p.slice.start.chain for p in slices[1:]] == [p.slice.end.chain for p in slices[:-1]]
    assert slices[0].slice.end.chain == made[2].chain
    assert slices[0].slice.start.chain == EMPTY_TAIL.chain


def test_a_lane_is_cut_into_a_few_slices_however_long_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_SLICE_EVENTS", 100)
    fabric = BackfillRegions()
    fabric.fill(100)
    assert len(preview(fabric)) == limits.BACKFILL_LANE_SLICES


def test_only_what_is_missing_is_planned() -> None:
    fabric = BackfillRegions()
    made = fabric.fill(400)
    there = [r for n, r in enumerate(made) if n not in range(50, 60) and n != 70 and n not in (250, 399)]
    fabric.copy_to_target(there)
    slices = preview(fabric)
    # The gaps that one page of the target showed are one slice.
    assert bounds(slices) == [(5000, 7100, 1100), (25000, 25100, 100), (39900, 40000, 100)]
    fabric.run(fabric.begin())
    assert fabric.items(TARGET) == fabric.items(SOURCE)
    assert preview(fabric) == []


def test_what_the_target_has_within_a_slice_is_not_written_again() -> None:
    fabric = BackfillRegions()
    made = fabric.fill(20)
    fabric.copy_to_target(made[1:19:2])
    backfill = fabric.begin()
    (copied,) = fabric.run(backfill)
    assert copied.progress.copied_records == 11
    assert fabric.faults.count("log.append") == 11
    assert fabric.items(TARGET) == fabric.items(SOURCE)


def test_a_source_that_lacks_what_the_target_has_is_good_enough() -> None:
    fabric = BackfillRegions()
    made = fabric.fill(9)
    fabric.copy_to_target([made[1], made[4], made[5], made[8]])
    for record in (made[4], made[5]):
        fabric.remove(record)
    fabric.run(fabric.begin())
    assert [item["sk"]["N"] for item in fabric.items(TARGET)] == [str(n * 100) for n in range(9)]


def test_a_hole_in_the_source_fails_its_slice_and_no_other() -> None:
    fabric = BackfillRegions()
    made = fabric.fill(10)
    fabric.remove(made[4])
    backfill = fabric.begin(slice_events=300)
    endings = [copied.ending for copied in fabric.run(backfill)]
    assert endings == [Ending.DONE, Ending.FAILED, Ending.DONE, Ending.DONE]
    report = fabric.backfiller().report(backfill.id)
    assert report.backfill.state is BackfillState.INCOMPLETE
    (failure,) = report.total.failures
    assert failure == TextWith(f"record 400 of lane {lane()}", "source has nothing", "to 500")
    # Somebody brings the record back: what failed goes on from where it is.
    fabric.overwrite(made[4], region=SOURCE)
    fabric.backfiller().resume(backfill.id)
    (copied,) = fabric.run(backfill)
    assert (copied.ending, copied.progress.copied_records) == (Ending.DONE, 3)
    assert fabric.items(TARGET) == fabric.items(SOURCE)
    assert fabric.backfiller().find(backfill.id).state is BackfillState.DONE


@pytest.mark.parametrize("place", ["before a gap", "after a gap", "at the end", "in one record"])
def test_a_divergence_stops_its_slice_and_nothing_is_overwritten(place: str) -> None:
    fabric = BackfillRegions()
    made = fabric.fill(10)
    other = BackfillRegions()
    other.clock.advance(1)
    theirs = other.fill(10)
    fabric.copy_to_target(
        {
            "before a gap": theirs[:3],
            "after a gap": [*made[:3], *theirs[5:8]],
            "at the end": theirs,
            "in one record": [*made[:5], replace(made[5], payload=theirs[5].payload + b"."), *made[6:]],
        }[place]
    )
    before = fabric.items(TARGET)
    (planned,) = [p for p in preview(fabric) if p.failure]
    assert "chain" in planned.failure
    backfill = fabric.begin()
    copied = fabric.run(backfill)[-1]
    assert copied.ending is Ending.FAILED
    assert fabric.backfiller().find(backfill.id).state is BackfillState.INCOMPLETE
    after = fabric.items(TARGET)
    assert [item for item in after if item in before] == before


def test_a_record_that_changes_under_way_is_never_written() -> None:
    fabric = BackfillRegions()
    made = fabric.fill(3)
    backfill = fabric.begin()
    (progress,) = fabric.slices(backfill)
    fabric.overwrite(replace(made[1], chain=Chain(bytes(16))), region=SOURCE)
    copied = fabric.backfiller().copier(backfill.id).copy(progress)
    assert copied.ending is Ending.FAILED
    assert "does not extend the chain" in copied.progress.failure
    assert len(fabric.items(TARGET)) == 1


def test_another_record_in_the_way_is_returned_and_stays() -> None:
    fabric = BackfillRegions()
    made = fabric.fill(3)
    backfill = fabric.begin()
    (progress,) = fabric.slices(backfill)
    mine = replace(made[1], payload=made[0].payload + b".")
    fabric.copy_to_target([mine])
    copied = fabric.backfiller().copier(backfill.id).copy(progress)
    assert copied.ending is Ending.FAILED
    assert fabric.log(TARGET).read(lane(), made[1].sequence, records_max=1).records == (mine,)


def test_an_expiry_that_was_taken_off_is_no_divergence() -> None:
    fabric = BackfillRegions(retention_days=1)
    made = fabric.fill(3)
    fabric.copy_to_target([made[0], replace(made[1], expires_at=None)])
    assert {copied.ending for copied in fabric.run(fabric.begin())} == {Ending.DONE}


def test_what_is_about_to_expire_is_left_behind() -> None:
    fabric = BackfillRegions(retention_days=1)
    old = fabric.fill(250)
    fabric.clock.advance(86_401)
    new = fabric.fill(5)
    fabric.remove(old[0])
    assert bounds(preview(fabric)) == [(25_000, 25_500, 500)]
    fabric.run(fabric.begin())
    assert len(fabric.items(TARGET)) == len(new)


def test_a_source_that_begins_late_is_copied_from_there() -> None:
    fabric = BackfillRegions()
    made = fabric.fill(5)
    for record in made[:2]:
        fabric.remove(record)
    assert [copied.ending for copied in fabric.run(fabric.begin())] == [Ending.DONE]
    assert fabric.items(TARGET) == fabric.items(SOURCE)


def test_ranges_copy_the_records_that_begin_in_them() -> None:
    fabric = BackfillRegions()
    fabric.fill(10)
    fabric.fill(3, of=lane(1))
    ranges = (
        LaneRange(lane(), SequenceNumber(150), SequenceNumber(450)),
        LaneRange(lane(), SequenceNumber(800)),
    )
    fabric.run(fabric.begin(*ranges))
    assert [item["sk"]["N"] for item in fabric.items(TARGET)] == ["200", "300", "400", "800", "900"]


def test_names_and_regions_that_do_not_exist_are_refused() -> None:
    fabric = BackfillRegions()
    with pytest.raises(UnknownNameError) as unknown:
        fabric.begin(stream="returns")
    assert (unknown.value.kind, unknown.value.name) == ("stream", "returns")
    with pytest.raises(WrongRegionError) as wrong:
        fabric.begin(source="mars-1")
    assert (wrong.value.subject, wrong.value.region) == ("stream orders", "mars-1")
    with pytest.raises(UnknownNameError) as unknown:
        fabric.backfiller().report("x")
    assert (unknown.value.kind, unknown.value.name) == ("backfill", "x")


@pytest.mark.parametrize(
    ("wanted", "path", "actual", "allowed"),
    [
        ({"source": TARGET}, "source", [TARGET], ["another Region"]),
        ({"rate": 0.0}, "rate", [0], ["more than 0"]),
        ({"workers": 0}, "workers", [0], ["1 to 1000"]),
        ({"slice_events": 0}, "slice_events", [0], ["1 or more"]),
        (
            {"ranges": (LaneRange(lane(9)),)},
            f"lane {lane(9)}",
            ["no lane", STREAM],
            [f"{lane(0)} to {lane(3)}", f"{lane(0, TARGET)} to {lane(3, TARGET)}"],
        ),
        ({"ranges": (LaneRange(lane(1)),)}, f"lane {lane(1)}", ["no record", SOURCE], ["source has"]),
        (
            {"ranges": (LaneRange(lane(), SequenceNumber(100), SequenceNumber(301)),)},
            f"range {lane()}@100-301",
            [SOURCE, "up to 300"],
            ["from 0", "up to 300"],
        ),
        (
            {"ranges": (LaneRange(lane(), SequenceNumber(20), SequenceNumber(10)),)},
            f"range {lane()}@20-10",
            [SOURCE, "up to 300"],
            ["from 0", "end after it", "up to 300"],
        ),
        (
            {"ranges": (LaneRange(lane(), SequenceNumber(300)),)},
            f"range {lane()}@300-",
            [SOURCE, "up to 300"],
            ["from 0", "up to 300"],
        ),
        (
            {"ranges": (LaneRange(lane(), SequenceNumber(10), SequenceNumber(20)),)},
            f"range {lane()}@10-20",
            ["no record", SOURCE, "at 100"],
            ["some"],
        ),
        (
            {"ranges": (LaneRange(lane()), LaneRange(lane(), SequenceNumber(100)))},
            f"range {lane()}@100-",
            [lane()],
            ["apart"],
        ),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_facts(
    wanted: dict[str, object], path: str, actual: list[object], allowed: list[object]
) -> None:
    fabric = BackfillRegions()
    fabric.fill(3)
    with pytest.raises(BackfillError) as error:
        fabric.begin(**wanted)
    assert error.value.problems == (Problem(path, TextWith(*actual), TextWith(*allowed)),)
    assert fabric.backfiller().all() == []


def test_all_that_is_wrong_is_reported_at_once() -> None:
    fabric = BackfillRegions()
    with pytest.raises(BackfillError) as error:
        fabric.begin(LaneRange(lane(9)), rate=-1.0, workers=0)
    assert len(error.value.problems) == 3
    assert STREAM in str(error.value)


def test_a_preview_promises_no_copy_of_what_the_source_lacks_as_well() -> None:
    fabric = BackfillRegions()
    made = fabric.fill(10)
    fabric.copy_to_target([*made[:3], *made[5:8]])
    fabric.remove(made[4], region=SOURCE)
    slices = preview(fabric)
    assert bounds(slices) == [(300, 1000, 100)]
    assert "from 400 to 500" in slices[0].failure
    backfill = fabric.begin()
    fabric.run(backfill)
    assert fabric.backfiller().report(backfill.id).lanes[lane(0)].copied_events == 100


def test_a_preview_into_an_empty_region_looks_at_all_of_the_source() -> None:
    fabric = BackfillRegions()
    made = fabric.fill(10)
    fabric.remove(made[1], region=SOURCE)
    fabric.remove(made[7], region=SOURCE)
    (progress,) = preview(fabric)
    assert (progress.missing, "from 100 to 200" in progress.failure) == (100, True)
