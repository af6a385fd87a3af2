"""The checkers of credits, on histories made by hand."""

from typing import Any

from eventfabric.testing.simulation import history as h
from eventfabric.testing.simulation import history_of_credits as credit
from eventfabric.testing.simulation.plan import PlannedBackpressure, PlannedSubscription
from eventfabric.testing.simulation.verdict import Result
from tests.simulation.checkers import (
    beyond_grant,
    late_credit,
    shrunk_grant,
    starved_producer,
    unearned_grant,
)
from tests.simulation.hand_made import AWAY, HOME, LANE, SUB, Hand, plan_of

PRODUCER = "producer 0 us-east-1#1"
DELIVER = "deliver billing us-east-1 0#1"


class Gated(Hand):
    """A history with a subscription that holds producers back."""

    def __init__(self, *, events_min: int = 2, deliver: str = "origin") -> None:
        backpressure = PlannedBackpressure(events_min=events_min)
        super().__init__(plan_of(PlannedSubscription(SUB, backpressure=backpressure, deliver=deliver)))
        self.tell(credit.ProducerBegan, actor=PRODUCER, gates=(SUB,))
        self._slots: dict[str, int] = {}

    def published(self, sequence: int) -> "Gated":
        """A producer's record of one event."""
        self.tell(
            h.Appended,
            actor=PRODUCER,
            region=HOME,
            lane=LANE,
            sequence=sequence,
            ids=(f"e{sequence}",),
            keys=("k",),
            types=("placed",),
            chain=f"c{sequence}",
            batch=f"b{sequence}",
        )
        return self

    def heard(self, grant: int | None, *, writer: str = HOME) -> "Gated":
        """A producer read what is granted."""
        granted = {} if grant is None else {writer: {0: grant}}
        self.tell(
            credit.CreditsRead,
            actor=PRODUCER,
            region=HOME,
            stream="orders",
            subscription=SUB,
            origin=HOME,
            granted=granted,
        )
        return self

    def granted(self, grant: int, *, writer: str = HOME, actor: str = DELIVER) -> "Gated":
        """A function raised the slot."""
        self.tell(
            credit.Granted,
            actor=actor,
            region=HOME,
            writer=writer,
            stream="orders",
            subscription=SUB,
            lane=LANE,
            before=self._slots.get(writer, -1),
            grant=grant,
            copied=writer != HOME,
        )
        self._slots[writer] = grant
        return self

    def committed(self, before: tuple[int, int] | None, after: tuple[int, int]) -> "Gated":
        """A cursor was written, with what it grants: each is a sequence and a grant."""
        first = None if before is None else h.CursorStand(before[0], 1, granted=before[1])
        about: dict[str, Any] = {"region": HOME, "writer": HOME, "subscription": SUB, "lane": LANE}
        self.tell(
            h.CursorMoved,
            actor=DELIVER,
            before=first,
            after=h.CursorStand(after[0], 2, granted=after[1]),
            **about,
        )
        return self

    def held_back(self, *, after_s: float = 1) -> "Gated":
        self.tell(credit.HeldBack, actor=PRODUCER, ids=("e9",), lane=LANE, gates=(SUB,), after_s=after_s)
        return self


def opened() -> Gated:
    """A lane whose first run granted two events, and delivered one that was there."""
    return Gated().heard(None).published(0).granted(3).committed(None, (1, 3))


def test_records_begin_below_what_their_publisher_heard() -> None:
    assert beyond_grant.check(opened().heard(3).published(2).history).result is Result.VALID
    assert beyond_grant.check(opened().heard(3).published(3).history).result is Result.INVALID
    forgotten = opened().heard(5).heard(3).published(3)
    assert beyond_grant.check(forgotten.history).result is Result.VALID


def test_whoever_has_not_heard_of_a_slot_looks_again_soon() -> None:
    assert beyond_grant.check(opened().published(7).history).result is Result.VALID
    never = opened()
    never.tell(h.StandingRead, region=HOME, subscription=SUB, after_s=60)
    assert beyond_grant.check(never.published(7).history).result is Result.INVALID


def test_grants_of_other_regions_count_unless_each_delivers_for_itself() -> None:
    elsewhere = Gated().heard(9, writer=AWAY).heard(3).published(5)
    assert beyond_grant.check(elsewhere.history).result is Result.VALID
    own = Gated(deliver="everywhere").heard(9, writer=AWAY).heard(3).published(5)
    assert beyond_grant.check(own.history).result is Result.INVALID


def test_no_grant_shrinks() -> None:
    assert shrunk_grant.check(opened().granted(4).history).result is Result.VALID
    assert shrunk_grant.check(opened().granted(2).history).result is Result.INVALID
    assert shrunk_grant.check(opened().committed((1, 3), (1, 2)).history).result is Result.INVALID
    without = opened().committed((1, 3), (1, -1))
    assert shrunk_grant.check(without.history).result is Result.VALID


def test_a_grant_is_earned_by_a_commit() -> None:
    earned = opened().published(1).committed((1, 3), (2, 4)).granted(4)
    assert unearned_grant.check(earned.history).result is Result.VALID
    before = opened().published(1).granted(4).committed((1, 3), (2, 4))
    assert unearned_grant.check(before.history).result is Result.INVALID


def test_a_grant_is_at_most_a_window_beyond_the_cursor() -> None:
    since_now = opened().published(1).published(2).committed((1, 3), (3, 5)).held_back(after_s=60)
    assert late_credit.check(since_now.history).result is Result.VALID
    behind = opened()
    for sequence in range(1, 8):
        behind.published(sequence)
    assert unearned_grant.check(behind.committed((1, 3), (2, 4)).history).result is Result.VALID
    assert unearned_grant.check(behind.committed((2, 4), (3, 10)).history).result is Result.INVALID


def test_a_first_grant_is_from_the_tail() -> None:
    assert unearned_grant.check(Gated().published(0).committed(None, (1, 4)).history).result is Result.INVALID


def test_slots_are_granted_more_while_paused_and_by_people() -> None:
    paused = opened().published(1)
    paused.tell(h.CircuitSwitched, region=HOME, subscription=SUB, state="paused", probe_ms=0)
    assert unearned_grant.check(paused.granted(4).history).result is Result.VALID
    by_a_person = opened().published(1).granted(9, actor="open_credits us-east-1 3")
    assert unearned_grant.check(by_a_person.history).result is Result.VALID


def test_nobody_is_held_back_in_the_end() -> None:
    assert starved_producer.check(opened().history).result is Result.VALID
    given_up = opened()
    given_up.tell(credit.GivenUp, actor="producer 0", ids=("e9",))
    assert starved_producer.check(given_up.history).result is Result.INVALID
    shut = opened().published(1).published(2).committed((1, 3), (3, 5))
    assert starved_producer.check(shut.history).result is Result.INVALID
    assert starved_producer.check(shut.granted(5).history).result is Result.VALID


def test_only_what_is_deployed_in_the_end_holds_anybody_back_there() -> None:
    shut = opened().published(1).published(2).committed((1, 3), (3, 5))
    shut.tell(credit.GatesDeployed, actor="world", gates=())
    assert starved_producer.check(shut.history).result is Result.VALID


def test_credit_returns_soon_after_a_lane_is_drained() -> None:
    soon = opened().published(1).published(2).held_back().committed((1, 3), (3, 5)).held_back(after_s=10)
    assert late_credit.check(soon.history).result is Result.VALID
    assert late_credit.check(soon.held_back(after_s=10).history).result is Result.INVALID
    behind = opened().published(1).published(2).held_back(after_s=60)
    assert late_credit.check(behind.history).result is Result.VALID


def test_when_credit_returns_is_not_known_where_calls_fail() -> None:
    hand = opened()
    hand.plan = plan_of(*hand.plan.subscriptions, rates={"crash": 0.1})
    assert late_credit.check(hand.history).result is Result.UNKNOWN
