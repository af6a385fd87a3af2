"""The promises of ports.Backfills, on every backend."""

from dataclasses import replace

import pytest

from eventfabric.errors import OutcomeUnknownError
from eventfabric.model import Chain, Generation, Lane, LaneIndex, SequenceNumber, StreamName
from eventfabric.model.backfill import Backfill, BackfillState, LaneRange, Planned, Seam, Slice, SliceProgress
from eventfabric.wire.backfill_item import slice_to_item, to_item
from eventfabric.wire.keys import ledger_region_and_kind
from tests.support.backends import AWAY, HOME, LEDGER_TABLE, Backend

ID = "20261114t093000-ab12"


def lane(index: int) -> Lane:
    return Lane(AWAY, Generation(0), LaneIndex(index))


def seam(sequence: int) -> Seam:
    return Seam(SequenceNumber(sequence), Chain(sequence.to_bytes(16, "big")))


MADE = Backfill(
    ID,
    StreamName("orders"),
    AWAY,
    HOME,
    (LaneRange(lane(1)), LaneRange(lane(2), SequenceNumber(5), SequenceNumber(9))),
    1000.0,
    4,
    None,
    "☃",
    1_790_000_000_000,
)


def progress(index: int = 1, start: int = 0, *, start_sequence: int | None = None) -> SliceProgress:
    made = Slice(StreamName("orders"), lane(index), seam(start), seam(start + 100), AWAY, HOME)
    return SliceProgress(made, seam(start if start_sequence is None else start_sequence), 100)


def test_a_backfill_is_noted_once_and_found(backend: Backend) -> None:
    assert backend.backfills.find(ID) is None
    stored_backfill = backend.backfills.replace(None, MADE)
    assert stored_backfill == replace(MADE, version=1)
    assert backend.backfills.find(ID) == stored_backfill
    assert backend.backfills.replace(None, replace(MADE, by="another")) is None


def test_of_two_changes_one_wins(backend: Backend) -> None:
    stored_backfill = backend.backfills.replace(None, MADE)
    assert stored_backfill is not None
    cancelled = backend.backfills.replace(
        stored_backfill, replace(stored_backfill, state=BackfillState.CANCELLED)
    )
    assert backend.backfills.replace(stored_backfill, replace(stored_backfill, is_planned=True)) is None
    assert backend.backfills.find(ID) == cancelled
    assert cancelled is not None
    planned = replace(cancelled, planned=Planned(lane(3), SequenceNumber(7)))
    assert backend.backfills.replace(cancelled, planned) == backend.backfills.find(ID)


def test_a_change_whose_reply_was_lost_knows_itself(backend: Backend) -> None:
    backend.lose_replies(1)
    stored_backfill = backend.backfills.replace(None, MADE)
    backend.lose_replies(1)
    assert backend.backfills.replace(
        stored_backfill, replace(MADE, is_planned=True)
    ) == backend.backfills.find(ID)


def test_a_change_that_was_never_answered_says_so(backend: Backend) -> None:
    backend.lose_replies(3)
    with pytest.raises(OutcomeUnknownError):
        backend.backfills.replace(None, MADE)
    assert backend.backfills.find(ID) is not None


def test_all_regions_backfills_are_listed_and_only_ones_own_are_found(backend: Backend) -> None:
    backend.backfills.replace(None, MADE)
    elsewhere = replace(MADE, id="20261115t000000-0000", source=HOME, target=AWAY, version=1)
    backend.put(LEDGER_TABLE, to_item(elsewhere))  # as replication does
    assert sorted(backfill.id for backfill in backend.backfills.all()) == [ID, elsewhere.id]
    assert backend.backfills.find(elsewhere.id) is None


def test_a_slice_is_noted_once_and_goes_forward_only(backend: Backend) -> None:
    backend.backfills.add(ID, [progress()])
    backend.backfills.save(ID, progress(start_sequence=60))
    backend.backfills.add(ID, [progress()])
    backend.backfills.save(ID, progress(start_sequence=40))
    assert backend.backfills.slice(ID, lane(1), SequenceNumber(0)) == progress(start_sequence=60)
    failed = replace(progress(start_sequence=60), failure="a hole")
    backend.backfills.save(ID, failed)
    assert backend.backfills.slice(ID, lane(1), SequenceNumber(0)) == failed
    assert backend.backfills.slice(ID, lane(1), SequenceNumber(1)) is None


def test_a_seam_without_a_chain_and_a_failure_are_kept(backend: Backend) -> None:
    unknown = replace(progress(), at=Seam(SequenceNumber(7), None), failure="straße", copied_events=3)
    backend.backfills.save(ID, unknown)
    assert backend.backfills.slice(ID, lane(1), SequenceNumber(0)) == unknown


def test_a_save_whose_reply_was_lost_is_done(backend: Backend) -> None:
    backend.lose_replies(1)
    backend.backfills.save(ID, progress(start_sequence=60))
    assert backend.backfills.slice(ID, lane(1), SequenceNumber(0)) == progress(start_sequence=60)


def test_slices_come_lane_by_lane_page_by_page(backend: Backend) -> None:
    made = [progress(index, start) for index in (1, 10, 2) for start in (0, 100, 1000)]
    backend.backfills.add(ID, made[::-1])
    backend.backfills.add("another", [progress(3)])
    backend.put(
        LEDGER_TABLE, slice_to_item(ID, replace(progress(0), slice=replace(progress(0).slice, target=AWAY)))
    )
    slices: list[SliceProgress] = []
    after, more, pages = None, True, 0
    while more:
        page, more = backend.backfills.slices(ID, after=after, count=4)
        slices, pages = [*slices, *page], pages + 1
        after = (slices[-1].slice.lane, slices[-1].slice.start.sequence) if slices else None
    assert slices == made
    assert pages <= 4
    assert backend.backfills.slices("none", after=None, count=4) == ([], False)


def test_the_target_region_comes_first_in_the_key_for_replication_goes_by_it() -> None:
    assert ledger_region_and_kind(to_item(MADE)) == (HOME, ID)
    region, kind = ledger_region_and_kind(slice_to_item(ID, progress()))
    assert (region, kind) == (HOME, f"{lane(1)}/{0:020d}")
