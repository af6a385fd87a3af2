"""Bugs in conditions that no schedule has to hit by chance: each makes the test that is named beside it fail.

The conditions of handing over and draining, of answering a part of a batch, and of reads that must be consistent.
"""

from collections.abc import Callable

import pytest

from eventfabric.errors import EventFabricError
from eventfabric.ports import Ledger
from eventfabric.testing.memory.faults import Fault
from eventfabric.testing.simulation.outcome import silence
from eventfabric.testing.simulation.run import simulate
from tests.contract import test_ledger_contract as ledger
from tests.contract import test_parked_contract as parked
from tests.handlers import test_lanes_at_once as lanes_at_once
from tests.handlers import test_partial_answers as functions
from tests.handlers import test_ringing_again as ringing_again
from tests.simulation.checkers.every import failures
from tests.simulation.planted_bugs_of_seals import OF_SEALS
from tests.simulation.planted_bugs_of_split_publishing import OF_SPLIT_PUBLISHING
from tests.simulation.planted_conditions_of_declarations import OF_DECLARATIONS
from tests.simulation.planted_conditions_of_passes import OF_PASSES
from tests.simulation.planted_reads import READS
from tests.simulation.planting import Bug, planted
from tests.simulation.planting import bug_in_a_condition as bug
from tests.simulation.profiles import PROFILES
from tests.support.backends import MemoryBackend
from tests.support.memory_fabric import AWAY, HOME
from tests.unit.services.delivery import test_at_most_once_keys as at_most_once
from tests.unit.services.delivery import test_owner_stays as owner_stays
from tests.unit.services.lanes import test_lane_end as lane_end
from tests.unit.services.lanes import test_place_of_a_lane as place
from tests.unit.services.lanes import test_torn_reads as torn_reads
from tests.unit.services.lanes import test_torn_transactions as torn_transactions
from tests.unit.services.operations import test_dead_letters_quorum as quorum
from tests.unit.services.operations import test_failover as failover
from tests.unit.services.operations import test_quarantine as quarantine
from tests.unit.wire import test_marks_item as marks_item

Check = Callable[[], None]
_FAILOVER = "eventfabric.services.operations.failover:Failover"
_ARRIVAL = "eventfabric.services.operations.arrival:Arrival"
_DELIVER = "eventfabric.runtime.deliver"


def _without_transactions() -> Ledger:
    """A ledger whose parked keys have no cursor in their transaction to fence them."""
    return MemoryBackend().another_ledger(in_order=frozenset({"orders"}))


CONDITIONS: list[tuple[Bug, Check]] = [
    (
        bug(
            "a parked key is removed even if an event joined it meanwhile",
            "eventfabric.wire.ledger_commit:CommitRequest._change",
            'return "Delete", delete | unchanged(read_version)',
            'return "Delete", delete',
        ),
        lambda: parked.test_a_parked_key_that_somebody_changed_loses_the_race(_without_transactions(), None),
    ),
    (
        bug(
            "of several messages of a lane, only the first is failed",
            f"{_DELIVER}:_deliver_all",
            "failed.extend(message.id for message in messages)",
            "failed.append(messages[0].id)",
        ),
        functions.test_every_message_of_a_lane_that_cannot_go_on_comes_again,
    ),
    (
        bug(
            "of several doorbells of a lane, the lowest counts",
            "eventfabric.model.doorbell:Doorbell.merged_with",
            "max(self, other",
            "min(self, other",
        ),
        functions.test_of_several_doorbells_of_a_lane_the_highest_tail_counts,
    ),
    (
        bug(
            "a handover at an epoch that is known already",
            f"{_FAILOVER}._hand_over",
            "epoch = 1 + max(",
            "epoch = max(",
        ),
        failover.TestHandOver().test_each_handover_has_a_number_above_all_that_any_lane_knows,
    ),
    (
        bug(
            "a handover that forgets the epochs of lanes",
            f"{_FAILOVER}._hand_over",
            ", self._epoch_of_lanes(subscription, owner.origin)",
            "",
        ),
        failover.TestHandOver().test_a_lanes_own_number_counts_where_the_item_of_the_handover_is_not_here,
    ),
    (
        bug(
            "drained though the state is not here",
            f"{_ARRIVAL}._lagging",
            "if self._ports.ledger.state(key) != state:",
            "if False:",
        ),
        lambda: failover.TestDrain().test_it_gives_up_where_that_does_not_come_and_the_source_goes_on(True),
    ),
    (
        bug(
            "drained though the log is not here",
            f"{_ARRIVAL}._has_ended",
            "if target_log.tail(key.lane) != source_log.tail(key.lane):",
            "if False:",
        ),
        lambda: failover.TestDrain().test_it_gives_up_where_that_does_not_come_and_the_source_goes_on(False),
    ),
    (
        bug(
            "released before the source sees the handover",
            f"{_FAILOVER}._is_seen",
            "return all(owner in known for owner in owners if owner.by == self._target)",
            "return True",
        ),
        failover.TestRelease().test_one_that_does_not_see_it_stays_paused,
    ),
    (
        bug(
            "paused by somebody, and resumed by the drain",
            f"{_FAILOVER}._pause",
            "if circuit is None or circuit.state is CircuitState.PAUSED:",
            "if circuit is None:",
        ),
        failover.TestDrain().test_what_somebody_paused_stays_paused_by_them,
    ),
    (
        bug(
            "a pause of somebody else's is taken for the drain's",
            f"{_FAILOVER}._paused",
            "(circuit.state, circuit.reason) == paused",
            "circuit.state is CircuitState.PAUSED",
        ),
        failover.TestRelease().test_pauses_of_others_are_left_as_they_are,
    ),
    (
        bug(
            "the source is left paused where the drain gives up",
            f"{_FAILOVER}.drain",
            "self._give_up(paused, error)",
            "pass",
        ),
        failover.TestDrain().test_whoever_interrupts_it_does_not_leave_the_source_paused,
    ),
    (
        bug(
            "only what the definition says is handed over",
            f"{_FAILOVER}.handed",
            "partial(self._standing, subscription)",
            "partial(Standing)",
        ),
        failover.TestWhatIsHandedOver().test_those_that_were_handed_to_it_before,
    ),
    (
        bug(
            "a handover that is not rung for again",
            f"{_FAILOVER}._ring",
            "for bell in later]",
            "for bell in ()]",
        ),
        failover.TestHandOver().test_the_target_owns_the_lanes_and_all_are_rung_twice,
    ),
    (
        bug(
            "what is missing before a far item has expired",
            "eventfabric.services.lanes.locate:has_expired",
            "if following.sequence in end.beyond:",
            "if False:",
        ),
        lane_end.TestExpiry().test_nothing_has_expired_before_a_far_item,
    ),
    (
        bug(
            "an expiry explains any distance",
            "eventfabric.services.lanes.lane_end:_continues",
            "is_near = 0 < newer.sequence - older.tail.sequence <= limits.FAR_EVENTS",
            "is_near = True",
        ),
        lambda: (
            lane_end.TestExpiry().test_a_far_item_that_alone_is_left_takes_no_cursor_and_no_publisher_with_it(
                90, "halt"
            )
        ),
    ),
    (
        bug(
            "whatever an operator names is set aside",
            "eventfabric.services.operations.quarantine:Quarantine._fault",
            'return None if record.extends(before.chain) else "does not extend the record before it"',
            'return "somebody said so"',
        ),
        lambda: quarantine.test_what_is_the_lanes_own_or_is_mended_otherwise_stays(1, "the lane's own"),
    ),
    (
        bug(
            "where doorbells of a lane meet, that attempts have ended is forgotten",
            "eventfabric.model.doorbell:Doorbell.merged_with",
            "ended=max(self.ended, other.ended)",
            "ended=0",
        ),
        lanes_at_once.test_of_two_doorbells_of_a_lane_neither_loses_what_it_says_of_failed_runs,
    ),
    (
        bug(
            "a lane that is rung again fails only since now",
            f"{_DELIVER}:_ring_again",
            "failing_ms = doorbell.failing_ms or now_ms",
            "failing_ms = now_ms",
        ),
        lambda: ringing_again.test_what_passes_is_met_within_seconds_and_then_less_and_less_often(
            Fault.THROTTLED
        ),
    ),
    (
        bug(
            "a commit that is made again says the token of its first request",
            "eventfabric.testing.memory.ledger:MemoryLedger.commit",
            "once = self._entropy.bytes(limits.COMMIT_TOKEN_BYTES).hex()",
            "once = request.token.hex()",
        ),
        lambda: ledger.test_a_commit_that_is_made_again_later_with_its_token_was_written_once(
            MemoryBackend(), (ledger.put("a", ConditionExpression="attribute_not_exists(id)"),)
        ),
    ),
    (
        bug(
            "of marks in several parts, those of subscriptions are lost",
            "eventfabric.wire.marks_item:_parts",
            'parts[f"{part}/{subscription}"][number] = stood_at',
            "pass",
        ),
        marks_item.test_all_lanes_of_a_hundred_subscriptions_that_lag_differently_stay_in_bounded_items,
    ),
    (
        bug(
            "a lane's place expires",
            "eventfabric.wire.place_item:put",
            'noted: Item = {"q"',
            'noted: Item = {"x": {"N": "1"}, "q"',
        ),
        lane_end.TestExpiry().test_a_delete_that_comes_from_another_region_leaves_the_place,
    ),
    (
        bug(
            "who delivers lanes is asked of the definition, whatever the ledger says",
            "eventfabric.services.lanes.standing:owner_of",
            "return standing.owner(origin) or ",
            "return ",
        ),
        lambda: owner_stays.test_another_region_in_the_definition_hands_nothing_out_again(
            {"deliver": "one", "region": HOME}, {"deliver": "one", "region": AWAY}, "at_least_once"
        ),
    ),
    (
        bug(
            "who delivers lanes first asks no other Region",
            "eventfabric.services.lanes.standing:Standings.begin",
            "self.ask(origin)",
            "self.read()",
        ),
        owner_stays.test_while_the_definitions_differ_one_region_delivers,
    ),
    (
        bug(
            "the note of a decision whose race was lost stays",
            "eventfabric.testing.memory.ledger:MemoryLedger._undo",
            "for delete in request.undo:",
            "for delete in ():",
        ),
        lambda: (
            parked.test_without_transactions_a_decision_stands_before_its_key_changes_and_goes_where_that_loses(
                MemoryBackend()
            )
        ),
    ),
    (
        bug(
            "a decision that was made is none where its cursor lost the race",
            "eventfabric.wire.ledger_commit:CommitRequest.outcome_of_item",
            "RaceLost(is_beside_written)",
            "RaceLost()",
        ),
        lambda: quorum.test_a_decision_that_meets_a_delivery_half_way_is_done_and_rung("discarded"),
    ),
    (
        bug(
            "events of a parked key overtake it where each is attempted at most once",
            "eventfabric.services.delivery.at_most_once:_next",
            "if parked is not None:",
            "if False:",
        ),
        at_most_once.test_an_event_of_a_key_that_is_not_due_waits_in_it,
    ),
    (
        bug(
            "an attempt of another guarantee is not had",
            "eventfabric.services.delivery.due_keys:_is_spent",
            "return parked.attempting or failure.attempts > 0 or failure.crashes > 0",
            "return False",
        ),
        at_most_once.test_what_was_attempted_under_another_guarantee_is_attempted_no_more_and_counted,
    ),
    (
        bug(
            "keys that were not seen beside a cursor are forgotten",
            "eventfabric.model.cursor:Cursor.beside_after",
            "read.low is not None and len(stood) < read.roster.count",
            "False",
        ),
        torn_reads.test_what_was_not_seen_beside_a_cursor_counts_beside_the_next,
    ),
    (
        bug(
            "a key that its cursor names and that is not seen yet is not looked for again",
            "eventfabric.services.delivery.known_keys:KnownKeys._read_sought",
            "for pause_seconds in limits.TORN_READ_PAUSES_SECONDS:",
            "for pause_seconds in ():",
        ),
        torn_reads.test_so_it_does_where_that_one_is_dead,
    ),
    (
        bug(
            "an event is taken to wait in a key as it was read",
            "eventfabric.services.delivery.parking:Parking.refresh",
            "if self._is_fresh and parked.id not in self._written:",
            "if False:",
        ),
        torn_reads.test_an_event_that_a_replay_takes_out_of_its_key_is_no_more_taken_to_wait_there,
    ),
    (
        bug(
            "a publisher takes a transaction that is half seen for a hole",
            "eventfabric.services.publishing.lane_ends:LaneEnds._tail",
            "for pause_seconds in limits.TORN_READ_PAUSES_SECONDS:",
            "for pause_seconds in ():",
        ),
        lambda: torn_transactions.test_a_publisher_that_sees_the_second_record_alone_looks_again(0.5),
    ),
    (
        bug(
            "a pass takes a transaction that is half seen for a hole",
            "eventfabric.services.reconciliation.replica:Replica._verify_patiently",
            "if lane.origin == self._region else ()",
            "if False else ()",
        ),
        torn_transactions.test_reconciliation_that_sees_the_second_record_alone_looks_again,
    ),
    (
        bug(
            "a warm publisher reads what reconciliation remembers once",
            "eventfabric.services.publishing.lane_ends:KnownMarks.of",
            "read_at.is_within(limits.KNOWN_MARKS_SECONDS, now)",
            "True",
        ),
        lane_end.TestWhatAPublisherKnows().test_a_warm_process_sees_newer_marks_after_a_minute,
    ),
    (
        bug(
            "a place is noted of a lane whose end is lost",
            "eventfabric.services.reconciliation.replica:Replica._without_end",
            "known = Tail(mark.sequence, mark.chain, tail.time)",
            "known = Tail(mark.sequence, mark.chain, tail.time, 1)",
        ),
        lambda: place.test_records_that_are_lost_while_no_region_answers_are_copied_by_a_later_pass(7),
    ),
    *OF_PASSES,
    *OF_DECLARATIONS,
    *OF_SEALS,
    *OF_SPLIT_PUBLISHING,
]


@pytest.mark.parametrize(("wrong", "check"), CONDITIONS, ids=[wrong.name for wrong, _ in CONDITIONS])
def test_a_wrong_condition_makes_its_test_fail(wrong: Bug, check: Check) -> None:
    check()
    with planted(wrong), pytest.raises((AssertionError, pytest.fail.Exception, EventFabricError)):
        check()


@pytest.mark.parametrize(("wrong", "profile"), READS, ids=lambda part: str(getattr(part, "name", part)))
def test_a_read_without_consistency_is_found_by_the_simulation(wrong: Bug, profile: str) -> None:
    with planted(wrong), silence():
        assert any(failures(simulate(PROFILES[profile].plan(seed))) for seed in range(60))
