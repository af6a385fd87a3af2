"""Passes in several invocations: each lane is checked, what was counted is added up, and nobody waits for ever."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.errors import OutcomeUnknownError, ThrottledError
from eventfabric.model import DeclarationLane, Lane, LaneIndex, Region, SequenceNumber, StreamName, Tail
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.model.pass_progress import PassProgress
from eventfabric.ports import Log, Ports
from eventfabric.services.reconciliation import pass_bounds
from eventfabric.services.reconciliation.noted_pass import NotedPass
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.failing_handlers import Failing, fabric_of, named, retry
from tests.support.memory_fabric import HOME, STREAM, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

LANES = 4
OWN = [f"{HOME}/0.{index}" for index in range(LANES)]
NAME = StreamName(STREAM)


def in_parts(test: Callable[[], None], lanes: int = 1) -> None:
    """Run a test with parts of so many lanes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MARKS_ITEM_LANES", lanes)
        test()


@pytest.fixture(autouse=True)
def parts_of_one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MARKS_ITEM_LANES", 1)


class SlowLog:
    """A log whose tails take time, but for those of declarations. `tick`: told of the lanes of which they are read."""

    def __init__(self, log: Log, tick: Callable[[Lane], None]) -> None:
        self._log = log
        self._tick = tick

    def tail(self, of: Lane, *, before: SequenceNumber | None = None) -> Tail:
        if not isinstance(of, DeclarationLane):
            self._tick(of)
        return self._log.tail(of, before=before)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class Invocations:
    """Invocations over a stream in which the key of each lane is dead. A tail takes `tail_seconds`."""

    def __init__(self, *, tail_seconds: float = 100, retention_days: int = 0) -> None:
        names = [f"{letter}1" for letter in "abcd"]
        self.fabric = fabric_of(
            Failing(dict.fromkeys(names, 99)),
            lanes=LANES,
            retention_days=retention_days,
            **retry(immediate=0, attempts=1),
        )
        for index, name in enumerate(names):
            self.fabric.put(*named(name), of=lane(index))
        self.fabric.relay_all()
        self.fabric.deliver_all()
        self.fabric.cloud.replicate()
        self.tail_seconds = 0.0
        self.tails: list[str] = []
        self.completed = 0
        self.ports: Ports = replace(
            self.fabric.ports(),
            log_of=lambda stream: SlowLog(self.fabric.ports().log_of(stream), self._tick),
        )
        self.invoke()  # from now on, all that is there is verified
        self.tail_seconds = tail_seconds
        self.tails.clear()
        self.completed = 0
        self.fabric.telemetry.gauges.clear()

    def _tick(self, of: Lane) -> None:
        self.tails.append(str(of))
        self.fabric.clock.advance(self.tail_seconds)

    def noted(self, *, seconds: float) -> NotedPass:
        reconciler = Reconciler(
            self.fabric.stream, region=HOME, ports=self.ports, telemetry=self.fabric.telemetry
        )
        until_ms = self.fabric.clock.now_ms() + int(1000 * seconds)
        ledger, clock = self.ports.ledger, self.fabric.clock
        return NotedPass(self.fabric.stream, reconciler, ledger=ledger, clock=clock, until_ms=until_ms)

    def invoke(self, *, seconds: float = 1e6, full: bool = False) -> tuple[list[Finding], str]:
        """Make one invocation's part of a pass. Return its findings, and what is left."""
        self.tails.clear()
        noted = self.noted(seconds=seconds)
        findings = list(noted.run(full=full))
        self.completed += bool(self.tails and noted.comes_round and not noted.left)
        return findings, noted.left

    @property
    def progress(self) -> PassProgress:
        return self.fabric.ledger.progress(NAME)

    @property
    def dead(self) -> float | None:
        return self.fabric.telemetry.gauges.get((Metric.KEYS_DEAD, SUBSCRIPTION))


def test_a_pass_that_is_cut_off_goes_on_where_it_ended_and_counts_everything_once() -> None:
    invocations = Invocations()
    findings, left = invocations.invoke(seconds=150)
    assert (invocations.tails, left) == (OWN[:2], f"{HOME}/0002")
    assert [finding.kind for finding in findings] == [FindingKind.DEAD] * 2
    assert (invocations.completed, invocations.dead) == (0, None)
    findings, left = invocations.invoke()
    assert (invocations.tails[:2], len(invocations.tails), left) == (OWN[2:], 2 + LANES, "")
    assert [finding.kind for finding in findings] == [FindingKind.DEAD] * 2
    assert (invocations.completed, invocations.dead) == (1, 4)
    assert invocations.progress.part == ""


def test_the_marks_of_each_part_stay() -> None:
    invocations = Invocations(tail_seconds=0)
    marks = invocations.fabric.ledger.marks(NAME, Region(HOME))
    assert sorted(marks.lanes) == list(range(LANES))
    invocations.fabric.put(*named("new"))
    invocations.invoke()
    after = invocations.fabric.ledger.marks(NAME, Region(HOME))
    assert {index: mark.sequence for index, mark in after.lanes.items()} == {0: 2, 1: 1, 2: 1, 3: 1}


def test_a_part_that_was_cut_off_is_counted_once() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MARKS_ITEM_LANES", LANES)
        invocations = Invocations()
        assert invocations.invoke(seconds=150)[1] == f"{HOME}/0000"
        invocations.invoke()
        assert (invocations.completed, invocations.dead) == (1, 4)


def test_a_pass_that_never_comes_round_is_told() -> None:
    invocations = Invocations()
    ages = [100, 200, 200, 500]
    rounds = []
    for seconds in ages:
        noted = invocations.noted(seconds=50)
        list(noted.run())
        rounds.append(noted.comes_round)
        invocations.fabric.clock.advance(seconds)
    assert all(rounds), "as long as it is young"
    invocations.invoke(seconds=50)
    invocations.fabric.clock.advance(900)
    noted = invocations.noted(seconds=50)
    list(noted.run())
    assert (noted.comes_round, bool(noted.left)) == (False, True)


def test_a_pass_that_began_at_a_time_to_come_does_not_count_as_young() -> None:
    invocations = Invocations()
    noted = invocations.noted(seconds=50)
    list(noted.run())
    ledger = invocations.fabric.ledger
    stored = ledger.progress(NAME)
    ledger.note_pass(NAME, stored, replace(stored, began_ms=2 * stored.began_ms))
    noted = invocations.noted(seconds=50)
    list(noted.run())
    assert (noted.comes_round, bool(noted.left)) == (False, True)


def test_after_a_pass_in_parts_comes_a_whole_one() -> None:
    invocations = Invocations()
    invocations.invoke(seconds=150)
    invocations.invoke()
    findings, _ = invocations.invoke()
    assert (len(findings), len(invocations.tails), invocations.completed) == (4, 2 * LANES, 2)
    assert invocations.dead == 4


def test_a_pass_within_a_minute_notes_nothing() -> None:
    invocations = Invocations(tail_seconds=1)
    invocations.invoke()
    assert (invocations.completed, invocations.progress) == (1, PassProgress())


def test_a_pass_whose_process_dies_is_taken_up_where_it_was_noted_last_once_its_time_is_over() -> None:
    invocations = Invocations()
    dying = invocations.noted(seconds=800).run()
    assert [next(dying).kind for _ in range(3)] == [FindingKind.DEAD] * 3
    del dying  # it never comes to its end
    assert invocations.progress.is_under_way(invocations.fabric.clock.now_ms())
    assert invocations.invoke() == ([], "")
    assert invocations.tails == []
    invocations.fabric.clock.advance(800)
    findings, _ = invocations.invoke()
    assert invocations.tails[0] == OWN[2]
    assert (len(findings), invocations.completed, invocations.dead) == (2, 1, 4)


def test_a_person_need_not_wait_for_a_pass_that_is_under_way() -> None:
    invocations = Invocations()
    dying = invocations.noted(seconds=800).run()
    next(dying), next(dying)
    findings, left = invocations.invoke(full=True)
    assert (len(findings), left, invocations.tails[0]) == (4, "", OWN[0])


def test_a_full_pass_goes_on_as_a_full_one() -> None:
    invocations = Invocations()
    invocations.invoke(seconds=150, full=True)
    assert invocations.progress.is_full
    reads = Faults()
    invocations.ports = replace(invocations.ports, log_of=reads.ports(invocations.ports).log_of)
    invocations.invoke()
    assert reads.count("log.read") == 3  # the records of the lanes that were not verified as a whole


def test_a_part_that_takes_all_of_an_invocation_does_not_hold_up_the_others() -> None:
    invocations = Invocations()
    left = []
    for _ in range(2):
        invocations.fabric.put(*named("new"))
        left.append(invocations.invoke(seconds=50)[1])
    assert left == [f"{HOME}/0000", f"{HOME}/0001"]
    assert invocations.invoke()[1] == ""
    assert invocations.completed == 0, "a lane was left out"
    invocations.invoke()
    assert invocations.completed == 1


def test_a_lane_that_fails_leaves_no_other_out_and_the_pass_does_not_count() -> None:
    invocations = Invocations(tail_seconds=0)
    calls = Faults(
        lambda name, overall, of_name: Fault.THROTTLED if of_name == 1 and name == "ledger.state" else None
    )
    invocations.ports = replace(invocations.ports, ledger=calls.ports(invocations.ports).ledger)
    findings = []
    with pytest.raises(ThrottledError):
        for finding in invocations.noted(seconds=1e6).run():
            findings.append(finding)
    assert [str(finding.lane) for finding in findings] == OWN[1:]
    assert (len(invocations.tails), invocations.completed) == (2 * LANES, 0)
    assert invocations.fabric.ledger.marks(NAME, HOME).of(LaneIndex(0)).sequence == 1
    assert len(invocations.invoke()[0]) == 4
    assert invocations.completed == 1


@pytest.mark.parametrize(
    ("call", "number", "seen"),
    [("ledger.marks", 3, OWN[1:]), ("ledger.mark", 3, OWN), ("log.read", 1, OWN)],
    ids=str,
)
def test_a_call_for_a_part_that_fails_leaves_no_other_part_out(
    call: str, number: int, seen: list[str]
) -> None:
    """The first two marks are those of declarations. `log.read`: the verified records of its round, and no others."""
    invocations = Invocations(tail_seconds=0)
    invocations.fabric.clock.advance(limits.ROUND_SECONDS + 1)
    calls = Faults(
        lambda name, overall, of_name: Fault.THROTTLED if (name, of_name) == (call, number) else None
    )
    invocations.ports = calls.ports(invocations.ports)
    findings = []
    with pytest.raises(ThrottledError):
        for finding in invocations.noted(seconds=1e6).run():
            findings.append(finding)
    assert [str(finding.lane) for finding in findings] == seen
    assert invocations.invoke()[0] != []
    assert invocations.completed == 1


def test_a_subscription_of_which_nothing_can_be_read_leaves_no_other_out() -> None:
    others = f"""
        [subscriptions.audit]
        stream = "{STREAM}"
        handler = "subscribers.billing:charge"
    """
    fabric = SubscribedStream(others=others)
    fabric.put(*named("a"))
    fabric.clock.advance(limits.UNRUNG_SECONDS + 1)
    calls = Faults(
        lambda name, overall, of_name: Fault.THROTTLED if (name, of_name) == ("ledger.standing", 1) else None
    )
    ports = calls.ports(fabric.ports())
    reconciler = Reconciler(fabric.stream, region=HOME, ports=ports, telemetry=fabric.telemetry)
    findings = []
    with pytest.raises(ThrottledError):
        for finding in reconciler.run(repair=True):
            findings.append((finding.kind, finding.subscription))
    assert findings == [(FindingKind.UNRUNG, fabric.stream.subscriptions[1].name)]


def test_a_note_that_cannot_be_written_ends_no_pass() -> None:
    invocations = Invocations(tail_seconds=100)
    calls = Faults(lambda name, overall, of_name: Fault.THROTTLED if name == "ledger.note_pass" else None)
    invocations.ports = replace(invocations.ports, ledger=calls.ports(invocations.ports).ledger)
    findings, left = invocations.invoke()
    assert (len(findings), left, invocations.completed) == (LANES, "", 1)
    assert calls.count("ledger.note_pass") > 1


def test_a_service_that_is_away_ends_the_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_bounds, "PASS_FAILURES_MAX", 2)
    invocations = Invocations(tail_seconds=0)
    calls = Faults(lambda name, overall, of_name: Fault.THROTTLED if name == "ledger.state" else None)
    invocations.ports = replace(invocations.ports, ledger=calls.ports(invocations.ports).ledger)
    with pytest.raises(ThrottledError):
        list(invocations.noted(seconds=1e6).run())
    assert calls.count("ledger.state") == 2


def test_a_region_that_does_not_answer_is_asked_a_few_times() -> None:
    fabric = SubscribedStream(lanes=16)
    asked: list[str] = []

    def away(of: Lane) -> None:
        asked.append(str(of))
        raise OutcomeUnknownError("read the tail", "no reply")

    def elsewhere(region: Region) -> Ports:
        ports = fabric.ports(region)
        return replace(ports, log_of=lambda stream: SlowLog(ports.log_of(stream), away))

    ports = replace(fabric.ports(), at=elsewhere)
    reconciler = Reconciler(fabric.stream, region=HOME, ports=ports, telemetry=fabric.telemetry)
    unreachable = [f for f in reconciler.run(repair=True) if f.kind is FindingKind.UNREACHABLE]
    assert (len(unreachable), len(asked)) == (16, pass_bounds.UNANSWERED_MAX)
    assert fabric.telemetry.gauges[Metric.LANES_UNREACHABLE, STREAM] == 16


@pytest.mark.parametrize("full", [True, False])
def test_a_lane_too_long_for_one_invocation_keeps_what_was_verified(
    full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAGE_RECORDS_MAX", 10)
    fabric = SubscribedStream(lanes=1)
    for number in range(45):
        fabric.put(*named(f"a{number}"))
    fabric.relay_all()
    fabric.deliver_all()
    read = Faults()
    slow = read.ports(fabric.ports())

    def ticking(name: str, overall: int, of_name: int) -> None:
        if name == "log.read":
            fabric.clock.advance(100)

    read.rules.append(ticking)
    marks = []
    for number in range(9):
        reconciler = Reconciler(fabric.stream, region=HOME, ports=slow, telemetry=fabric.telemetry)
        until_ms = fabric.clock.now_ms() + 150_000
        noted = NotedPass(
            fabric.stream, reconciler, ledger=slow.ledger, clock=fabric.clock, until_ms=until_ms
        )
        assert list(noted.run(full=full and not number)) == []
        marks.append(int(fabric.ledger.marks(NAME, HOME).of(LaneIndex(0)).sequence))
    assert marks == sorted(marks)
    assert (marks[0], marks[-1]) == (20, 45)
    assert noted.comes_round


def test_lanes_of_which_threads_are_left_after_an_interruption_are_not_read_to_their_end() -> None:
    fabric, left = SubscribedStream(lanes=2), list[Callable[[], None]]()

    def interrupted(calls: Sequence[Callable[[], None]]) -> None:
        if len(calls) > 1 or left:
            left.extend(calls)
            raise KeyboardInterrupt
        calls[0]()

    faults = Faults()
    reconciler = Reconciler(
        fabric.stream,
        region=HOME,
        ports=faults.ports(fabric.ports()),
        telemetry=fabric.telemetry,
        side_by_side=interrupted,
    )
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(limits, "MARKS_ITEM_LANES", 2)
        list(reconciler.run(repair=False))
    calls = len(faults.calls)
    for call in left:
        call()
    assert (len(left), len(faults.calls)) == (2, calls)
