"""Problems of a backfill that cannot be done as requested: all of them, and what is allowed."""

from typing import Any

import pytest

from eventfabric import limits
from eventfabric.errors import BackfillError, Problem
from eventfabric.model import Lane, Region, SequenceNumber
from eventfabric.model.backfill import LaneRange
from eventfabric.ports import Log
from eventfabric.services.backfill.request import BackfillRequest, problems_of, ranges_of
from tests.support.backfill_regions import SOURCE, TARGET, BackfillRegions
from tests.support.memory_fabric import STREAM, lane
from tests.support.messages import TextWith
from tests.support.recorded_reads import Read, RecordingLog


def problems(
    *ranges: LaneRange, fabric: BackfillRegions | None = None, is_elsewhere: bool = False, **settings: Any
) -> list[Problem]:
    fabric = fabric or filled()
    wanted = BackfillRequest(**{"stream": STREAM, "source": SOURCE, "ranges": ranges, **settings})

    def source_log() -> Log:
        return fabric.log(SOURCE)

    refused = problems_of(wanted, fabric.stream, TARGET, is_elsewhere=is_elsewhere, source_log=source_log)
    return list(refused)


def filled() -> BackfillRegions:
    """Lane 0 with ten records of 100 events."""
    fabric = BackfillRegions()
    fabric.fill(10)
    return fabric


def part(start: int, end: int | None, of: Lane | None = None) -> LaneRange:
    return LaneRange(of or lane(), SequenceNumber(start), None if end is None else SequenceNumber(end))


def lane_beyond() -> LaneRange:
    return part(0, None, lane(4))


def both_filled() -> BackfillRegions:
    fabric = filled()
    fabric.fill(10, of=lane(1))
    return fabric


def test_ranges_are_read_as_people_write_them() -> None:
    texts = [f"{SOURCE}/0.0", f"{SOURCE}/0.1@5-", f"{SOURCE}/0.2@5-9"]
    assert ranges_of(texts) == (part(0, None), part(5, None, lane(1)), part(5, 9, lane(2)))
    assert [str(lane_range) for lane_range in ranges_of(texts)] == texts


def test_every_text_that_is_no_range_is_named_with_what_is_allowed() -> None:
    with pytest.raises(BackfillError) as raised:
        ranges_of([f"{SOURCE}/0.0", "nonsense", f"{SOURCE}/0.1@x-"])
    allowed = TextWith("LANE", "LANE@START-END", "LANE@START-")
    assert raised.value.problems == (
        Problem("lanes", "'nonsense'", allowed),
        Problem("lanes", f"'{SOURCE}/0.1@x-'", allowed),
    )


@pytest.mark.parametrize(
    "settings",
    [{}, {"rate": 0.5}, {"workers": limits.BACKFILL_WORKERS_MAX}, {"slice_events": 1}],
)
def test_what_can_be_done_has_no_problems(settings: dict[str, Any]) -> None:
    assert problems(part(0, None), **settings) == []
    assert problems(part(0, 100), part(100, 300), part(300, None), **settings) == []


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"rate": 0.0}, Problem("rate", "0", TextWith("more than 0"))),
        ({"rate": float("nan")}, Problem("rate", "nan", TextWith("more than 0"))),
        ({"workers": 0}, Problem("workers", "0", "1 to 1000")),
        ({"workers": 1001}, Problem("workers", "1001", "1 to 1000")),
        ({"slice_events": 0}, Problem("slice_events", "0", "1 or more")),
        ({"source": TARGET}, Problem("source", TextWith(TARGET), TextWith("another Region"))),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], problem: Problem) -> None:
    assert problems(**settings) == [problem]


def test_a_table_elsewhere_may_be_in_the_very_same_region() -> None:
    assert problems(source=TARGET, is_elsewhere=True) == []


def test_all_problems_are_named_at_once_and_then_the_source_is_not_asked() -> None:
    refused = problems(part(0, 5000), lane_beyond(), rate=-1.0, workers=0)
    assert [problem.path for problem in refused] == ["rate", "workers", f"lane {lane(4)}"]


def test_a_lane_that_the_stream_does_not_have() -> None:
    allowed = TextWith(f"{lane(0)} to {lane(3)}", f"{lane(0, TARGET)} to {lane(3, TARGET)}")
    refusal = TextWith("no lane", STREAM)
    assert problems(lane_beyond()) == [Problem(f"lane {lane(4)}", refusal, allowed)]
    elsewhere = Lane(Region("ap-south-1"), lane().generation, lane().index)
    assert [problem.path for problem in problems(part(0, None, elsewhere))] == [f"lane {elsewhere}"]


def test_more_ranges_than_one_backfill_takes() -> None:
    many = [part(number, number + 1) for number in range(limits.BACKFILL_RANGES_MAX + 1)]
    (problem,) = problems(*many)
    assert problem == Problem("ranges", "1,001", TextWith("at most 1,000"))


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        ((0, 100), (100, 200), False),
        ((0, 101), (100, 200), True),
        ((0, None), (500, 600), True),
        ((500, None), (0, 600), True),
        ((500, None), (0, 500), False),
    ],
)
def test_ranges_of_a_lane_lie_apart(
    first: tuple[int, int | None], second: tuple[int, int | None], overlap: bool
) -> None:
    refused = problems(part(*first), part(*second))
    assert [problem.allowed for problem in refused] == ([TextWith("apart")] if overlap else [])
    assert problems(part(*first), part(0, None, lane(1)), fabric=both_filled()) == []


def test_a_lane_that_the_source_has_nothing_of() -> None:
    (problem,) = problems(part(0, None, lane(1)))
    assert problem == Problem(f"lane {lane(1)}", TextWith("no record", SOURCE), TextWith("source has"))


@pytest.mark.parametrize(
    ("start", "end", "fits"),
    [
        (0, 1000, True),
        (0, 1001, False),
        (999, 1000, False),
        (900, 1000, True),
        (1000, None, False),
        (500, 500, False),
        (600, 500, False),
        (901, None, False),
        (850, None, True),
    ],
)
def test_a_range_lies_within_what_the_source_has_and_a_record_begins_in_it(
    start: int, end: int | None, fits: bool
) -> None:
    assert (problems(part(start, end)) == []) is fits


def test_a_range_beyond_the_lane_names_the_end_of_the_lane() -> None:
    lane_range = part(0, 1001)
    assert problems(lane_range) == [
        Problem(
            f"range {lane_range}",
            TextWith(SOURCE, "up to 1000"),
            TextWith("start from 0", "up to 1000"),
        )
    ]


@pytest.mark.parametrize(("start", "end", "says"), [(50, 60, "goes on at 100"), (950, None, "ends at 1000")])
def test_a_range_in_which_no_record_begins_names_where_the_next_one_does(
    start: int, end: int | None, says: str
) -> None:
    lane_range = part(start, end)
    (problem,) = problems(lane_range)
    assert problem.found == TextWith("no record begins", SOURCE, says)


@pytest.mark.parametrize(("asked", "reads"), [((0, None), []), ((150, 300), [Read(lane(), 150, 1)])])
def test_of_a_whole_lane_only_its_end_is_looked_up_and_of_a_range_its_first_record_too(
    asked: tuple[int, int | None], reads: list[Read]
) -> None:
    fabric = filled()
    log, wanted = RecordingLog(fabric.log(SOURCE)), BackfillRequest(STREAM, SOURCE, (part(*asked),))
    problems = problems_of(wanted, fabric.stream, TARGET, is_elsewhere=False, source_log=lambda: log)
    assert list(problems) == []
    assert (log.tails, log.reads) == ([(lane(), None)], reads)


@pytest.mark.parametrize(
    ("start", "end", "says"), [(1, 100, "goes on at 100"), (1, None, "ends at 100"), (50, 100, "ends at 100")]
)
def test_a_record_that_begins_before_a_range_or_at_its_end_is_not_in_it(
    start: int, end: int | None, says: str
) -> None:
    fabric = BackfillRegions()
    fabric.fill(2 if says.startswith("goes on") else 1)
    lane_range = part(start, end)
    refusal = TextWith("no record begins", SOURCE, says)
    assert problems(lane_range, fabric=fabric) == [Problem(f"range {lane_range}", refusal, TextWith("some"))]
