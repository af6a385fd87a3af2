"""Planted bugs of publishing into lanes that are split: each makes the test that is named beside it fail."""

from collections.abc import Callable
from typing import Final

from tests.simulation.planting import Bug
from tests.simulation.planting import bug_in_a_condition as bug
from tests.unit.sdk import test_publishing_at_seals as publishing
from tests.unit.services.publishing import test_ends_at_seals as ends
from tests.unit.services.publishing import test_handlers_at_seals as handlers

_BUNDLE: Final = "eventfabric.sdk.bundle:Bundle"

OF_SPLIT_PUBLISHING: Final[list[tuple[Bug, Callable[[], None]]]] = [
    (
        bug(
            "a publisher appends behind a seal",
            "eventfabric.services.publishing.append:_Try._record",
            "if self._tail.is_sealed:",
            "if False:",
        ),
        publishing.test_a_publisher_that_loses_its_place_to_a_seal_goes_on_in_the_child_of_the_key,
    ),
    (
        bug(
            "a child begins at 0",
            "eventfabric.services.publishing.lane_ends:LaneEnds.tail",
            "tail = self._tail(lane, start)",
            "tail = self._tail(lane, type(start)(0, bytes(16), 0))",
        ),
        publishing.test_a_publisher_that_loses_its_place_to_a_seal_goes_on_in_the_child_of_the_key,
    ),
    (
        bug(
            "the tails of a lane and its children are one",
            "eventfabric.services.publishing.append:_Try.run",
            "self._appender._tails[self._lane] = landed.tail",
            "self._appender._tails[self._lane.root] = landed.tail",
        ),
        publishing.test_a_fresh_process_reads_one_tail_a_level_and_then_none,
    ),
    (
        bug(
            "a batch goes to one child as a whole",
            f"{_BUNDLE}.cut",
            "outgoing.below(sealed, self.keys[index])",
            "outgoing.below(sealed, self.keys[0])",
        ),
        lambda: publishing.test_whenever_the_lane_is_split_each_key_keeps_its_order(1, 0),
    ),
    (
        bug(
            "the parts of a batch have ids of their own",
            f"{_BUNDLE}.cut",
            "_Piece(lane, some, batch.id, ",
            "_Piece(lane, some, None, ",
        ),
        publishing.test_both_halves_keep_the_id_of_the_batch,
    ),
    (
        bug(
            "the parts of a noted batch lose the note",
            f"{_BUNDLE}._packed_piece",
            "batch if piece.note is None else",
            "batch if True else",
        ),
        lambda: publishing.test_a_batch_that_fails_over_is_cut_there_with_its_note(True),
    ),
    (
        bug(
            "part of a noted batch may stand twice in one Region",
            "eventfabric.sdk.route:Route._order",
            "if region != batch.note.lane.origin",
            "if True",
        ),
        publishing.test_the_half_of_a_noted_batch_that_finds_no_place_is_settled_where_the_whole_may_stand,
    ),
    (
        bug(
            "what is behind a half that failed is forgotten",
            f"{_BUNDLE}.fail",
            "if count < len(indices) or behind:",
            "if count < len(indices):",
        ),
        publishing.test_what_is_behind_a_half_that_failed_is_not_attempted,
    ),
    (
        bug(
            "a commit that publishes into more lanes than were counted is sent",
            "eventfabric.services.delivery.publishing_commits:PublishingCommit._check_count",
            "if records > self._counted and",
            "if False and",
        ),
        handlers.test_actions_that_are_more_than_were_counted_are_counted_anew_and_no_handler_is_to_blame,
    ),
    (
        bug(
            "a seal of which nothing before is left is taken for a far item",
            "eventfabric.services.lanes.lane_end:_oldest",
            "may_be_left = oldest.is_seal or",
            "may_be_left = False or",
        ),
        lambda: ends.test_a_seal_is_believed_however_little_is_left_before_it(7, False),
    ),
    (
        bug(
            "what stands behind a seal goes on",
            "eventfabric.services.lanes.lane_end:_continues",
            "if older.is_seal:",
            "if False:",
        ),
        ends.test_what_stands_behind_a_seal_counts_for_nothing,
    ),
]
