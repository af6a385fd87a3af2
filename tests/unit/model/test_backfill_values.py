"""Values of a backfill: sums, shares and places of its slices and its report, and their text."""

import pytest

from eventfabric.model import EMPTY_TAIL, Chain, Lane, SequenceNumber, StreamName, Tail
from eventfabric.model.backfill import (
    Backfill,
    BackfillState,
    LaneRange,
    LaneReport,
    Planned,
    Report,
    Seam,
    Slice,
    SliceProgress,
)
from tests.support.memory_fabric import AWAY, HOME, LANE, lane
from tests.support.messages import raises_with

ONE, OTHER = Chain(b"1" * 16), Chain(b"2" * 16)


def seam(sequence: int, chain: Chain | None = ONE) -> Seam:
    return Seam(SequenceNumber(sequence), chain)


def progress(
    position: int, missing: int = 0, records: int = 0, events: int = 0, failure: str = "", of: Lane = LANE
) -> SliceProgress:
    """Return the progress of a slice from 0 to 10."""
    piece = Slice(StreamName("orders"), of, seam(0), seam(10), AWAY, HOME)
    return SliceProgress(piece, seam(position), missing, records, events, failure)


def backfill(**changed: object) -> Backfill:
    asked: dict[str, object] = {
        "id": "b",
        "stream": "orders",
        "source": AWAY,
        "target": HOME,
        "ranges": (),
        "rate": None,
        "workers": 4,
        "slice_events": None,
        "by": "jo",
        "started_ms": 7,
    }
    return Backfill(**{**asked, **changed})  # type: ignore[arg-type]  # of any field


def test_one_that_was_just_asked_for_runs_and_has_nothing_planned() -> None:
    assert backfill() == Backfill(
        "b",
        StreamName("orders"),
        AWAY,
        HOME,
        (),
        None,
        4,
        None,
        "jo",
        7,
        BackfillState.RUNNING,
        planned=None,
        is_planned=False,
        elsewhere="",
        version=0,
    )
    assert [str(state) for state in BackfillState] == ["running", "cancelled", "incomplete", "done"]
    assert Planned(LANE, SequenceNumber(3)) != Planned(LANE, SequenceNumber(4))


def test_its_rate_is_shared_among_its_workers() -> None:
    assert backfill().worker_rate is None
    assert backfill(rate=10.0).worker_rate == 2.5


@pytest.mark.parametrize(
    ("position", "failure", "done"), [(9, "", False), (10, "", True), (11, "", True), (10, "no", False)]
)
def test_a_slice_is_done_at_its_end_unless_it_failed(position: int, failure: str, done: bool) -> None:
    assert progress(position, failure=failure).done is done


def test_a_slice_that_was_just_planned_has_copied_nothing() -> None:
    planned = SliceProgress(progress(0).slice, seam(0), 3)
    assert planned == SliceProgress(progress(0).slice, seam(0), 3, 0, 0, "")


def test_a_lane_reports_the_sum_of_its_slices() -> None:
    report = LaneReport()
    assert report == LaneReport(0, 0, 0, 0, 0, [])
    for slice_progress in (progress(10, 7, 2, 5), progress(4, 8, 3, 6, "lost"), progress(10, 1, 1, 1)):
        report.add(slice_progress)
    assert report == LaneReport(3, 2, 16, 6, 12, ["lost"])


def test_lanes_are_reported_together() -> None:
    lanes = {lane(0): LaneReport(3, 2, 16, 6, 12, ["lost"]), lane(1): LaneReport(1, 1, 2, 3, 4, ["late"])}
    assert Report(backfill(), lanes).total == LaneReport(4, 3, 18, 9, 16, ["lost", "late"])
    assert Report(backfill(), {}).total == LaneReport()


@pytest.mark.parametrize(
    ("planned", "done", "complete"), [(True, 2, True), (True, 1, False), (False, 2, False)]
)
def test_it_is_complete_where_all_was_planned_and_each_slice_is_done(
    planned: bool, done: int, complete: bool
) -> None:
    lanes = {lane(0): LaneReport(1, 1), lane(1): LaneReport(1, done - 1)}
    assert Report(backfill(is_planned=planned), lanes).is_complete is complete


@pytest.mark.parametrize(
    ("other", "agree"),
    [
        (seam(3), True),
        (seam(3, None), True),
        (seam(3, OTHER), False),
        (seam(4), False),
        (seam(4, None), False),
    ],
)
def test_two_seams_are_one_place_as_far_as_is_known(other: Seam, agree: bool) -> None:
    assert (seam(3).agrees(other), other.agrees(seam(3))) == (agree, agree)


def test_behind_a_record_is_a_seam_with_its_chain() -> None:
    assert Seam.of(Tail(SequenceNumber(5), OTHER, EMPTY_TAIL.time)) == seam(5, OTHER)


@pytest.mark.parametrize(
    ("range_", "text"),
    [
        (LaneRange(LANE), "us-east-1/0.0"),
        (LaneRange(LANE, SequenceNumber(0), None), "us-east-1/0.0"),
        (LaneRange(LANE, SequenceNumber(3), None), "us-east-1/0.0@3-"),
        (LaneRange(LANE, SequenceNumber(0), SequenceNumber(9)), "us-east-1/0.0@0-9"),
        (LaneRange(LANE, SequenceNumber(3), SequenceNumber(9)), "us-east-1/0.0@3-9"),
        (LaneRange(LANE, SequenceNumber(0), SequenceNumber(0)), "us-east-1/0.0@0-0"),
    ],
    ids=str,
)
def test_a_range_of_a_lane_is_printed_as_it_is_parsed(range_: LaneRange, text: str) -> None:
    assert str(range_) == text
    assert LaneRange.parse(text) == range_


@pytest.mark.parametrize("text", ["@", "@3", "@-", "@-9", "@a-", "@3-b", "@3-9-", "@3--9"])
def test_any_other_range_is_refused_with_what_may_be(text: str) -> None:
    with raises_with(
        ValueError, f"'us-east-1/0.0{text}'", "<lane>", "<lane>@<start>-<end>", "<lane>@<start>-"
    ):
        LaneRange.parse(f"us-east-1/0.0{text}")
