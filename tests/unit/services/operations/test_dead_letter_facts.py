"""Everything that a decision about a dead letter writes, rings and says, each compared as a whole."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.errors import (
    ContendedCommitError,
    EventTooLargeError,
    InvalidEventError,
    NotDeadError,
    Problem,
)
from eventfabric.model import (
    ANY_TAIL,
    Doorbell,
    Event,
    LaneKey,
    ParkedChange,
    ParkedState,
    Settled,
    StreamName,
    SubscriptionName,
)
from eventfabric.services.operations.dead_letters import DeadLetter, DeadLetterFilter, DeadLetters
from eventfabric.testing.memory.faults import Faults
from eventfabric.wire.doorbell import from_body
from eventfabric.wire.keys import record_key
from eventfabric.wire.payload_codec import encode_event, stored
from tests.support.dead_letters import letters_of, mended_fabric, overtaken, settled
from tests.support.failing_handlers import Failing, dead_letters, drained, fabric_of, retry, the_dead_letter
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.messages import TextWith

TIME = "2026-12-24T18:00:00Z"


def message_of(error: type[Exception], decide: Callable[[], object]) -> str:
    with pytest.raises(error) as raised:
        decide()
    return str(raised.value)


def test_it_says_whose_state_it_stands_in_and_where() -> None:
    fabric = mended_fabric("a1")
    letter = the_dead_letter(fabric)
    assert letter == DeadLetter(fabric.subscription, LANE, fabric.parked()["a"])
    assert letter.key == LaneKey(StreamName("orders"), SubscriptionName("billing"), LANE)
    assert letter.place == "us-east-1/0.0@0"
    assert dead_letters(fabric).subscription == "billing"


@pytest.mark.parametrize("edited", [False, True])
def test_redriven_its_key_is_due_now_with_all_attempts_before_it_and_its_lane_is_rung(edited: bool) -> None:
    fabric = mended_fabric("a1", behind=["a2"])
    parked = fabric.parked()["a"]
    crashed = replace(parked, failure=replace(parked.failure, crashes=3))
    read, change = fabric.cursor(), ParkedChange(parked, crashed)
    beside = read.beside_after(read, {parked.id: parked}, [change])
    fabric.ledger.commit(fabric.key_of(LANE), read, beside, parked=[change])
    letter, before = the_dead_letter(fabric), fabric.cursor()
    assert letter.parked.failure.crashes == 3
    fabric.clock.advance(7)
    now_ms = fabric.clock.now_ms()
    replacement = event("mended", key="a") if edited else None
    dead_letters(fabric).redrive(letter, replacement=replacement, by="jo")
    encoded = encode_event(stored(replacement)) if replacement else None
    key = replace(
        letter.parked,
        state=ParkedState.RETRYING,
        due_ms=now_ms,
        replacement=encoded,
        failure=replace(letter.parked.failure, attempts=0, crashes=0),
        version=letter.parked.version + 1,
    )
    assert fabric.parked() == {"a": key}
    assert fabric.cursor() == replace(before.beside({key.id: key}), version=before.version + 1)
    kept = Settled(letter.parked.first.sequence, "edited", letter.parked.failure, now_ms, "jo", encoded)
    assert settled(fabric) == ([kept] if edited else [])
    bell = Doorbell(StreamName(STREAM), LANE, ANY_TAIL, again=fabric.cursor().version)
    assert [from_body(body) for body in fabric.queue.bodies] == [bell]


@pytest.mark.parametrize("behind", [(), ("a2",)])
def test_discarded_it_stays_on_record_and_what_waits_behind_it_is_due_now(behind: tuple[str, ...]) -> None:
    fabric = mended_fabric("a1", behind=behind)
    letter, before = the_dead_letter(fabric), fabric.cursor()
    fabric.clock.advance(7)
    now_ms = fabric.clock.now_ms()
    dead_letters(fabric).discard(letter, by="flo")
    rest = letter.parked.without_first()
    left = {}
    if rest is not None:
        left["a"] = replace(
            rest, state=ParkedState.RETRYING, due_ms=now_ms, version=letter.parked.version + 1
        )
    assert fabric.parked() == left
    beside = before.beside({parked.id: parked for parked in left.values()})
    assert fabric.cursor() == replace(beside, version=before.version + 1)
    assert settled(fabric) == [
        Settled(letter.parked.first.sequence, "discarded", letter.parked.failure, now_ms, "flo", None)
    ]
    assert len(fabric.queue) == 1


def test_the_other_keys_of_its_lane_are_left_as_they_are() -> None:
    fabric = mended_fabric("a1", "b1")
    first, second = dead_letters(fabric).find()
    dead_letters(fabric).discard(first)
    assert fabric.parked() == {"b": second.parked}
    assert fabric.cursor().low == second.parked.first
    assert fabric.cursor().parked == fabric.cursor().beside({second.parked.id: second.parked}).parked


def test_who_decided_may_be_left_open() -> None:
    fabric = mended_fabric("a1", "b1")
    first, second = dead_letters(fabric).find()
    dead_letters(fabric).discard(first)
    dead_letters(fabric).redrive(second, replacement=event("b", key="b"))
    assert [(decision.action, decision.by) for decision in settled(fabric)] == [
        ("discarded", ""),
        ("edited", ""),
    ]


def test_its_event_is_the_one_of_its_record_or_what_replaces_it() -> None:
    failing = Failing({"b": 99})
    fabric = fabric_of(failing, event("z"), **retry(immediate=0, attempts=1))
    fabric.put(event("a", key="x"), event("b", key="y"), event("c", key="z"))
    fabric.put(event("d", key="z"))
    letter = the_dead_letter(drained(fabric))
    stored_event = dead_letters(fabric).event(letter)
    assert stored_event is not None
    assert (stored_event.id, stored_event.lane, stored_event.sequence) == ("b", LANE, 2)
    edited = replace(letter.parked, replacement=encode_event(stored(event("mended", key="y"))))
    replaced = dead_letters(fabric).event(replace(letter, parked=edited))
    assert replaced is not None
    assert (replaced.id, replaced.lane, replaced.sequence) == ("mended", LANE, 2)
    fabric.table.write("Delete", {"Key": record_key(LANE, 1)})
    assert dead_letters(fabric).event(letter) is None


def test_where_regions_share_one_state_whoever_delivers_now_decides_about_what_the_other_left() -> None:
    fabric = mended_fabric("a1", durability="quorum")
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    letters = DeadLetters(
        fabric.subscription,
        [LANE],
        log=away.log,
        ledger=away.ledger,
        doorbells=fabric.cloud.doorbells(AWAY),
        clock=fabric.clock,
    )
    (letter,) = letters.find()
    assert letter.parked == fabric.parked()["a"]
    letters.redrive(letter)
    assert fabric.parked()["a"].state is ParkedState.RETRYING
    assert len(away.queue) == 1


def test_dead_letters_of_a_lane_are_found_by_place_and_only_where_they_are_delivered() -> None:
    fabric = mended_fabric("b1", "a1", "c1")
    assert [letter.parked.key for letter in dead_letters(fabric).find()] == ["b", "a", "c"]
    fabric.cloud.replicate()
    hand_over(fabric, to=AWAY)
    assert list(dead_letters(fabric).find()) == []


def test_lanes_that_are_not_delivered_here_do_not_hide_the_next_ones() -> None:
    fabric = mended_fabric("a1")
    letters = DeadLetters(
        fabric.subscription,
        [lane(0, AWAY), LANE],
        log=fabric.log,
        ledger=fabric.ledger,
        doorbells=fabric.cloud.doorbells(HOME),
        clock=fabric.clock,
    )
    assert [letter.place for letter in letters.find()] == ["us-east-1/0.0@0"]


@pytest.mark.parametrize(("after_ms", "is_known"), [(-1, False), (0, True), (1, True)])
def test_how_old_it_is_counts_from_its_last_failure(after_ms: int, is_known: bool) -> None:
    fabric = mended_fabric("a1")
    letter = the_dead_letter(fabric)
    last_ms = letter.parked.failure.last_ms
    assert DeadLetterFilter(older_than_ms=500).matches(letter.parked, last_ms + 500 + after_ms) is is_known


class TestRefused:
    """Refusals, after which nothing has changed."""

    def test_what_is_not_dead(self) -> None:
        fabric = mended_fabric("a1")
        letter = the_dead_letter(fabric)
        dead_letters(fabric).redrive(letter)
        text = TextWith(f"{LANE}@0 of billing", "no dead letter")
        assert message_of(NotDeadError, lambda: dead_letters(fabric).redrive(letter)) == text
        assert message_of(NotDeadError, lambda: dead_letters(fabric).discard(letter)) == text

    def test_what_is_another_subscriptions(self) -> None:
        fabric = mended_fabric("a1")
        letter = the_dead_letter(fabric)
        other = replace(letter, subscription=replace(letter.subscription, name="audit"))
        assert message_of(NotDeadError, lambda: dead_letters(fabric).discard(other)) == TextWith(
            f"{LANE}@0 of audit", "no dead letter of billing"
        )

    def test_what_another_region_delivers_now(self) -> None:
        fabric = mended_fabric("a1")
        letter = the_dead_letter(fabric)
        hand_over(fabric, to=AWAY)
        assert message_of(NotDeadError, lambda: dead_letters(fabric).redrive(letter)) == TextWith(
            f"{LANE}@0 of billing", f"not delivered by {HOME}"
        )

    def test_a_lane_that_is_busy(self) -> None:
        fabric = mended_fabric("a1")
        letter = the_dead_letter(fabric)
        busy = overtaken(
            *range(1, 100),
            by=lambda: (fabric.put(event(f"b{len(fabric.logged_ids())}", key="b")), fabric.deliver()),
        )
        assert message_of(ContendedCommitError, lambda: letters_of(fabric, busy).discard(letter)) == TextWith(
            f"lane {LANE} of billing", "busy", "again"
        )

    @pytest.mark.parametrize(("key", "actual"), [("b", "'b'"), ("x" * 200, "'" + "x" * 79)])
    def test_a_replacement_with_another_key(self, key: str, actual: str) -> None:
        fabric = mended_fabric("a1")
        letter = the_dead_letter(fabric)
        assert message_of(
            NotDeadError, lambda: dead_letters(fabric).check_replacement(letter, event("m", key=key))
        ) == TextWith(f"{LANE}@0", "key", f"found {actual}", "allowed: 'a'")

    @pytest.mark.parametrize(
        ("wrong", "problem"),
        [
            ({"type": ""}, Problem("type", "0 characters", "1 to 128 characters")),
            ({"id": ""}, Problem("id", "0 characters", "1 to 128 characters")),
            ({"source": ""}, Problem("source", "0 characters", "1 to 512 characters")),
            (
                {"headers": {"h": "v" * 4097}},
                Problem("headers.h", "4097 characters", "at most 4096 characters"),
            ),
        ],
        ids=str,
    )
    def test_a_replacement_that_could_not_be_published(
        self, wrong: dict[str, object], problem: Problem
    ) -> None:
        fabric = mended_fabric("a1")
        letter = the_dead_letter(fabric)
        good = {"id": "m", "type": "mended", "key": "a", "source": "/s", "time": TIME}
        replacement = Event(**{**good, **wrong})  # type: ignore[arg-type]  # of any field
        with pytest.raises(InvalidEventError) as raised:
            dead_letters(fabric).redrive(letter, replacement=replacement)
        assert raised.value.problems == (problem,)
        assert the_dead_letter(fabric) == letter

    def test_a_replacement_that_is_too_large(self) -> None:
        fabric = mended_fabric("a1")
        letter = the_dead_letter(fabric)
        large = Event(
            id="m",
            type="mended",
            key="a",
            source="/s",
            time=TIME,
            data=bytes(limits.RECORD_PAYLOAD_BYTES_MAX),
        )
        size = len(encode_event(stored(large)))
        with pytest.raises(EventTooLargeError) as raised:
            dead_letters(fabric).redrive(letter, replacement=large)
        assert raised.value.problems == (
            Problem("event", f"{size} bytes encoded", f"at most {limits.RECORD_PAYLOAD_BYTES_MAX} bytes"),
        )
        assert the_dead_letter(fabric) == letter

    @pytest.mark.parametrize(
        ("own", "missing"),
        [({"source": "/s"}, "id"), ({"id": "m"}, "source"), ({"id": "m", "time": TIME}, "source")],
    )
    def test_a_replacement_that_lacks_what_the_expired_event_cannot_give(
        self, own: dict[str, str], missing: str
    ) -> None:
        fabric = mended_fabric("a1")
        fabric.table.write("Delete", {"Key": record_key(LANE, 0)})
        replacement = Event(key="a", type="mended", **own)  # type: ignore[arg-type]  # of any field
        with pytest.raises(InvalidEventError) as raised:
            dead_letters(fabric).check_replacement(the_dead_letter(fabric), replacement)
        assert [(problem.path, problem.found) for problem in raised.value.problems] == [(missing, "None")]


@pytest.mark.parametrize("left_out", [("id",), ("time",), ("source",), ("id", "time", "source"), ()], ids=str)
def test_a_replacement_reads_the_dead_event_once_whatever_it_leaves_out(left_out: tuple[str, ...]) -> None:
    fabric, faults = mended_fabric("a1"), Faults()
    own = {
        name: value for name, value in (("id", "m"), ("time", TIME), ("source", "/s")) if name not in left_out
    }
    letters = DeadLetters(
        fabric.subscription,
        [LANE],
        log=faults.log(fabric.log),
        ledger=fabric.ledger,
        doorbells=fabric.cloud.doorbells(HOME),
        clock=fabric.clock,
    )
    letters.check_replacement(the_dead_letter(fabric), Event(key="a", type="mended", **own))  # type: ignore[arg-type]  # of any field
    assert faults.count("log.read") == 1


@pytest.mark.parametrize(
    "wrong",
    [{"id": "\ud800"}, {"type": "\ud800"}, {"source": "\ud800"}, {"headers": {"h": "\ud800"}}],
    ids=str,
)
def test_a_replacement_with_a_lone_surrogate_is_refused_as_one_that_could_not_be_published(
    wrong: dict[str, Any],
) -> None:
    fabric = mended_fabric("a1")
    replacement = Event(**{"id": "m", "type": "mended", "key": "a", "source": "/s", **wrong})
    with pytest.raises(InvalidEventError):
        dead_letters(fabric).check_replacement(the_dead_letter(fabric), replacement)
