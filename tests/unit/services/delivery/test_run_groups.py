"""Groups: the events that go to a handler together, and what of them is committed together."""

from collections.abc import Iterable, Sequence
from typing import cast

import pytest

from eventfabric import limits
from eventfabric.limits import TRANSACTION_ACTIONS_MAX, TRANSACTION_WRITES_MAX
from eventfabric.model import CircuitState, Event, ParkedState, Write
from eventfabric.ports import Attempt
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Faults
from tests.support.crashing_handlers import again
from tests.support.dead_letters import overtaken
from tests.support.failing_handlers import BAD_ORDER, FEW, Failing, breaker, fabric_of, named, retry, waiting
from tests.support.memory_fabric import LANE, event
from tests.support.recording_handler import add_one
from tests.support.subscribed_stream import SubscribedStream
from tests.support.writing_handlers import each_of_its_key, refused, refused_write
from tests.unit.services.delivery.test_breaker import circuit


class Writes:
    """A handler of batches that wants so many writes, or these, for events of these ids, else one."""

    def __init__(self, wants: dict[str, int | Sequence[Write]], *, batch_events_max: int = 1) -> None:
        self.wants = wants
        self.batch_events_max = batch_events_max
        self.attempted: list[str] = []
        self.fails: set[str] = set()

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Write]:
        ids = [str(event.id) for event in events]
        self.attempted.append("+".join(ids))
        if not self.fails.isdisjoint(ids):
            raise KeyError(ids[0])
        return [write for id_ in ids for write in self._writes(id_)]

    def _writes(self, name: str) -> Iterable[Write]:
        wants = self.wants.get(name, 1)
        return (add_one(f"{name}.{number}") for number in range(wants)) if isinstance(wants, int) else wants


def written(fabric: SubscribedStream) -> dict[str, int]:
    """Return how many rows each event has written."""
    rows = [row.partition(".")[0] for row in fabric.effects()]
    return {name: rows.count(name) for name in rows}


def writing_fabric(handler: Writes, *events: Event) -> SubscribedStream:
    fabric = SubscribedStream(guarantee="exactly_once", handler=handler, **retry(immediate=0))
    for next_event in events:
        fabric.put(next_event)
    return fabric


def tried_together(fabric: SubscribedStream) -> list[str]:
    """The ids of each attempt from now on."""
    seen: list[str] = []
    fabric.recorder.before = lambda events: seen.append("+".join(str(event.id) for event in events))
    return seen


class TestAlone:
    """Events are handed over one by one when they must be told apart."""

    def test_after_a_crash_a_handler_of_batches_gets_one_event_at_a_time(self) -> None:
        fabric = fabric_of(Failing({}), *named("a1", "b1", "c1"), batch_events_max=3)
        seen = tried_together(fabric)
        again(fabric, 2)
        assert seen == ["a1", "b1", "c1"]
        assert fabric.faults.count("ledger.commit") == 6

    def test_so_it_does_of_a_probe_until_the_circuit_is_closed(self) -> None:
        failing = Failing({"a1": 99, "b1": 99})
        fabric = fabric_of(failing, *named("a1", "b1"), batch_events_max=3, **FEW, **breaker(parked_keys=2))
        assert fabric.deliver().outcome is LaneOutcome.WAITING
        for next_event in named("c1", "d1", "e1", "f1"):
            fabric.put(next_event)
        fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
        seen = tried_together(fabric)
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        assert (seen[0], seen[1]) == ("c1", "d1+e1+f1")
        assert circuit(fabric).state is CircuitState.CLOSED

    def test_a_probe_that_fails_commits_its_parked_event_and_tries_no_other(self) -> None:
        failing = Failing({"a1": 99, "b1": 99, "c1": 99})
        fabric = fabric_of(failing, *named("a1", "b1"), batch_events_max=3, **FEW, **breaker(parked_keys=2))
        fabric.deliver()
        for next_event in named("c1", "d1"):
            fabric.put(next_event)
        fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
        failing.tried.clear()
        assert fabric.deliver().outcome is LaneOutcome.WAITING
        assert failing.tried == ["c1"]
        assert (set(fabric.parked()), fabric.cursor().sequence) == ({"a", "b", "c"}, 3)

    def test_of_a_refused_batch_each_event_answers_for_its_own_writes(self) -> None:
        handler = Writes({"b": (add_one("never"), refused_write())}, batch_events_max=3)
        fabric = writing_fabric(handler, *each_of_its_key("abcde"))
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        assert handler.attempted == ["a+b+c", "d+e", "a", "b", "c", "d+e"]
        assert written(fabric) == {"a": 1, "c": 1, "d": 1, "e": 1}
        assert (refused(fabric, "b"), fabric.parked()["b"].failure.attempts) == ("ConditionalCheckFailed", 1)
        assert fabric.cursor().sequence == 5
        assert fabric.telemetry.totals[Metric.EVENTS_HANDLED] == 4

    def test_events_that_write_one_row_are_taken_from_their_batch_and_counted_once(self) -> None:
        handler = Writes(dict.fromkeys("abc", (add_one("row"),)), batch_events_max=3)
        fabric = writing_fabric(handler, *each_of_its_key("abcd"))
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        assert handler.attempted == ["a+b+c", "d", "a", "b", "c", "d"]
        assert fabric.effects() == {"row": 3, "d.0": 1}
        assert fabric.telemetry.totals[Metric.EVENTS_HANDLED] == 4


class TestTogether:
    """Commits take as many events as fit into one transaction, and no more."""

    def test_one_write_more_than_the_place_that_is_left_makes_a_second_commit(self) -> None:
        left = TRANSACTION_ACTIONS_MAX - 1 - TRANSACTION_WRITES_MAX
        for wants, commits in ((left, 1), (left + 1, 2)):
            fabric = writing_fabric(Writes({"a": TRANSACTION_WRITES_MAX, "b": wants}), *each_of_its_key("ab"))
            assert fabric.deliver().outcome is LaneOutcome.DELIVERED
            assert fabric.faults.count("ledger.commit") == commits
            assert written(fabric) == {"a": TRANSACTION_WRITES_MAX, "b": wants}

    def test_parked_keys_and_writes_fill_a_commit_together(self) -> None:
        handler = Writes({"b": TRANSACTION_WRITES_MAX})
        handler.fails = {"a"}
        fabric = writing_fabric(handler, *each_of_its_key("abc"))
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        assert written(fabric) == {"b": TRANSACTION_WRITES_MAX, "c": 1}
        assert (list(fabric.parked()), fabric.faults.count("ledger.commit")) == (["a"], 2)

    def test_a_failure_that_finds_the_commit_full_is_parked_by_the_next(self) -> None:
        left = TRANSACTION_ACTIONS_MAX - 1 - TRANSACTION_WRITES_MAX
        handler = Writes({"a": TRANSACTION_WRITES_MAX, "b": left})
        handler.fails = {"c"}
        fabric = writing_fabric(handler, *each_of_its_key("abcd"))
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        assert written(fabric) == {"a": TRANSACTION_WRITES_MAX, "b": left, "d": 1}
        assert (list(fabric.parked()), waiting(fabric, "c"), fabric.cursor().sequence) == (["c"], [2], 4)
        assert fabric.faults.count("ledger.commit") == 2

    def test_a_failure_behind_a_full_commit_that_is_refused_waits_for_its_turn(self) -> None:
        left = TRANSACTION_ACTIONS_MAX - 1 - TRANSACTION_WRITES_MAX
        most = [add_one(f"a.{number}") for number in range(TRANSACTION_WRITES_MAX - 1)]
        handler = Writes({"a": (*most, refused_write()), "b": left})
        handler.fails = {"c"}
        fabric = writing_fabric(handler, *each_of_its_key("abcd"))
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        assert written(fabric) == {"b": left, "d": 1}
        assert sorted(fabric.parked()) == ["a", "c"]
        assert (waiting(fabric, "a"), waiting(fabric, "c"), fabric.cursor().sequence) == ([0], [2], 4)

    def test_a_batch_refused_before_the_failure_that_opens_the_circuit_is_not_passed_over(self) -> None:
        most = [add_one(f"a.{number}") for number in range(TRANSACTION_WRITES_MAX - 2)]
        wants: dict[str, int | Sequence[Write]] = {
            "a": most,
            "b": (add_one("b.0"), refused_write()),
            "c": 1,
            "d": 0,
        }
        handler = Writes(wants, batch_events_max=2)
        handler.fails = {"e"}
        fabric = SubscribedStream(
            guarantee="exactly_once", handler=handler, **retry(immediate=0), **breaker(parked_keys=1)
        )
        for next_event in each_of_its_key("abcde"):
            fabric.put(next_event)
        fabric.deliver()
        handler.fails = set()
        fabric.deliver_all()
        assert written(fabric) == {"a": len(most), "c": 1, "e": 1}

    @pytest.mark.parametrize(
        ("c", "fails", "attempted"),
        [
            (1, ["e"], ["a+b", "c+d", "e", "a", "b", "c+d"]),
            (2, [], ["a+b", "c+d", "a", "b", "c+d", "e"]),
        ],
        ids=["by a failure", "by writes"],
    )
    def test_a_batch_that_is_refused_when_its_commit_is_full_comes_first_again(
        self, c: int, fails: list[str], attempted: list[str]
    ) -> None:
        most = [add_one(f"a.{number}") for number in range(TRANSACTION_WRITES_MAX - 2)]
        handler = Writes(
            {"a": most, "b": (add_one("b.0"), refused_write()), "c": c, "d": 0}, batch_events_max=2
        )
        handler.fails = set(fails)
        fabric = writing_fabric(handler, *each_of_its_key("abcde"))
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        assert handler.attempted[: len(attempted)] == attempted
        assert sorted(fabric.parked()) == ["b", *fails]
        assert written(fabric) == {"a": len(most), "c": c} | ({} if fails else {"e": 1})
        assert fabric.cursor().sequence == 5

    def test_so_does_one_that_is_refused_before_the_next_event_of_its_key(self) -> None:
        handler = Writes({"b1": (refused_write(),)}, batch_events_max=2)
        fabric = writing_fabric(handler, *named("a1", "b1", "a2", "c1"))
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        assert handler.attempted == ["a1+b1", "a1", "b1", "a2+c1"]
        assert written(fabric) == {"a1": 1, "a2": 1, "c1": 1}
        assert waiting(fabric, "b") == [1]

    @pytest.mark.parametrize("batch_events_max", [1, 2])
    def test_an_event_waits_whose_forerunner_is_refused_when_its_own_turn_has_come(
        self, batch_events_max: int
    ) -> None:
        handler = Writes({"a1": (refused_write(),)}, batch_events_max=batch_events_max)
        fabric = writing_fabric(handler, *named("a1", "b1", "a2", "c1", "a3"))
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        assert not any("a2" in id_ or "a3" in id_ for id_ in handler.attempted)
        assert waiting(fabric, "a") == [0, 2, 4]
        assert written(fabric) == {"b1": 1, "c1": 1}

    def test_of_events_that_are_committed_one_by_one_each_moves_the_cursor_over_itself_only(self) -> None:
        handler = Writes({name: (add_one("row"),) for name in "abc"})
        fabric = writing_fabric(handler, *each_of_its_key("abc"))
        stood: list[int] = []

        def look(called: str, overall: int, of_name: int) -> None:
            if called == "ledger.commit":
                stood.append(fabric.cursor().sequence)

        assert fabric.deliver(by=fabric.deliverer(faults=Faults(look))).outcome is LaneOutcome.DELIVERED
        assert (stood, fabric.cursor().sequence) == ([0, 0, 1, 2], 3)
        assert fabric.effects() == {"row": 3}

    def test_a_refused_event_alone_is_not_sent_twice(self) -> None:
        fabric = writing_fabric(Writes({"a": (refused_write(),)}), *each_of_its_key("a"))
        faults = Faults()
        assert fabric.deliver(by=fabric.deliverer(faults=faults)).outcome is LaneOutcome.DELIVERED
        assert faults.count("ledger.commit") == 2  # the refused one, and the parked key
        assert (fabric.parked()["a"].state, fabric.cursor().sequence) == (ParkedState.RETRYING, 1)

    def test_more_keys_than_a_commit_takes_are_parked_in_several(self) -> None:
        names = [f"{number:03d}" for number in range(TRANSACTION_ACTIONS_MAX + 5)]
        failing = Failing(dict.fromkeys(names, 99))
        fabric = fabric_of(failing, **retry(permanent=[BAD_ORDER]))
        fabric.put(*each_of_its_key(names))
        faults = Faults()
        assert fabric.deliver(by=fabric.deliverer(faults=faults)).outcome is LaneOutcome.DELIVERED
        assert sorted(fabric.parked()) == names
        assert (failing.tried, fabric.cursor().sequence) == (names, len(names))
        assert faults.count("ledger.commit") == 2

    def test_events_that_join_more_keys_than_a_commit_takes_join_them_in_several(self) -> None:
        keys = [f"{number:03d}" for number in range(TRANSACTION_ACTIONS_MAX + 5)]
        fabric = fabric_of(Failing(dict.fromkeys(keys, 99)), **retry(permanent=[BAD_ORDER]))
        fabric.put(*each_of_its_key(keys))
        fabric.deliver()
        fabric.put(*(event(f"later {key}", key=key) for key in keys))
        faults = Faults()
        assert fabric.deliver(by=fabric.deliverer(faults=faults)).outcome is LaneOutcome.DELIVERED
        assert {len(parked.waiting) for parked in fabric.parked().values()} == {2}
        assert (fabric.cursor().sequence, faults.count("ledger.commit")) == (2 * len(keys), 2)


def test_a_group_that_is_full_and_loses_its_race_is_not_added_to() -> None:
    handler = Writes({"a": TRANSACTION_WRITES_MAX, "b": 2})
    fabric = writing_fabric(handler, event("a", key="a"), event("b", key="b"), event("c", key="c"))

    def moved() -> None:
        fabric.ledger.commit(fabric.key_of(LANE), fabric.cursor(), fabric.cursor())

    assert fabric.deliver(by=fabric.deliverer(faults=overtaken(1, by=moved))).outcome is LaneOutcome.DELIVERED
    assert handler.attempted == ["a", "b", "a", "b", "c"]
    assert written(fabric) == {"a": TRANSACTION_WRITES_MAX, "b": 2, "c": 1}


class Counts:
    """A handler of batches that counts in each event how often it was handed out; one event's write is refused."""

    batch_events_max = 2

    def __init__(self, refused: str) -> None:
        self.refused = refused

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Write]:
        writes: list[Write] = []
        for next_event in events:
            headers = cast(dict[str, int], next_event.headers)
            headers["tries"] = headers.get("tries", 0) + 1
            writes.append(add_one(f"{next_event.id} changed {headers['tries']} times"))
            if next_event.id == self.refused:
                writes.append(refused_write())
        return writes


def test_what_a_handler_changed_in_events_that_come_again_behind_a_refusal_does_not_come_with_them() -> None:
    fabric = SubscribedStream(guarantee="exactly_once", handler=Counts("a"), **retry(immediate=0))
    fabric.put(*(event(key, key=key) for key in "abcd"))
    fabric.deliver()
    assert fabric.effects() == {f"{key} changed 1 times": 1 for key in "bcd"}


def test_a_key_that_was_new_in_a_refused_group_and_one_of_many_events_is_no_change_where_nothing_is_left() -> (
    None
):
    handler = Writes({"b": (add_one("never"), refused_write())})
    handler.fails = {"k0"}
    fabric = writing_fabric(handler, event("z", key="z"))
    fabric.deliver()
    fabric.put(
        event("a", key="a"), event("b", key="b"), *[event(f"k{number}", key="k") for number in range(300)]
    )
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.cursor().sequence == 303
