"""Bugs in conditions of passes of reconciliation, each with the test that it makes fail."""

from collections.abc import Callable

from tests.simulation.planting import Bug
from tests.simulation.planting import bug_in_a_condition as bug
from tests.unit.services.backfill import test_backfill_declarations as backfilled
from tests.unit.services.reconciliation import test_declarations as declarations
from tests.unit.services.reconciliation import test_noted_pass as noted_pass
from tests.unit.services.reconciliation import test_rest as rest

_RECONCILE = "eventfabric.services.reconciliation"

OF_PASSES: list[tuple[Bug, Callable[[], None]]] = [
    (
        bug(
            "the marks of one part are written over those of the others",
            f"{_RECONCILE}.reconcile:Reconciler._check_part",
            "marks(self._name, part.marked_as, part=part.marks_name)",
            "marks(self._name, part.marked_as)",
        ),
        lambda: noted_pass.in_parts(noted_pass.test_the_marks_of_each_part_stay),
    ),
    (
        bug(
            "what was counted before a pass was cut off is forgotten",
            f"{_RECONCILE}.reconcile:Reconciler._begin",
            "Vitals(self._stream, order.resumed.tally)",
            "Vitals(self._stream)",
        ),
        lambda: noted_pass.in_parts(
            noted_pass.test_a_pass_that_is_cut_off_goes_on_where_it_ended_and_counts_everything_once
        ),
    ),
    (
        bug(
            "a part that was checked twice is counted twice",
            f"{_RECONCILE}.reconcile:Reconciler._check",
            "if not self._patience.has_left_lanes:",
            "if True:",
        ),
        lambda: noted_pass.in_parts(noted_pass.test_a_part_that_was_cut_off_is_counted_once),
    ),
    (
        bug(
            "a replay leaves a lane at rest",
            "eventfabric.services.operations.replay:Replay.carry_out",
            "nothing=True",
            "nothing=False",
        ),
        rest.test_a_replay_of_a_lane_at_rest_is_seen_by_the_next_pass,
    ),
    (
        bug(
            "declarations count as expired, as events do",
            f"{_RECONCILE}.reconcile:Reconciler._checker",
            "declarations=replica_of(expires=False)",
            "declarations=replica_of(expires=True)",
        ),
        declarations.test_no_declaration_expires_though_events_do,
    ),
    (
        bug(
            "a lane of declarations is read at each pass",
            f"{_RECONCILE}.lane_check:LaneChecker._checked_declarations",
            "if may_rest and before.rests_ms:",
            "if False:",
        ),
        declarations.test_an_idle_pass_reads_two_items_more_for_each_region_and_none_of_the_log,
    ),
    (
        bug(
            "a lane of declarations rests while something is wrong with it",
            f"{_RECONCILE}.lane_check:LaneChecker._checked_declarations",
            "if is_whole else 0",
            "if True else 0",
        ),
        declarations.test_a_lane_that_lacks_a_declaration_does_not_rest,
    ),
    (
        bug(
            "what a Region lost of its own declarations is not looked for in others",
            f"{_RECONCILE}.own_declarations:lost_here",
            "if end <= tail.sequence:",
            "if True:",
        ),
        lambda: declarations.test_what_no_pass_ever_saw_of_its_own_comes_back_from_a_region_that_has_it(1),
    ),
    (
        bug(
            "a slice of declarations is taken for one of the first lane",
            "eventfabric.wire.backfill_item:slice_from_item",
            "of = replace(of, lane=declarations)",
            "pass",
        ),
        backfilled.test_a_region_that_is_filled_knows_what_is_declared,
    ),
    (
        bug(
            "a lane of declarations whose round was broken rests",
            f"{_RECONCILE}.round:_Reached.end_of",
            "chain=chain, rests_ms=0",
            "chain=chain",
        ),
        declarations.test_a_lane_whose_round_was_broken_does_not_rest,
    ),
]
