"""Findings about a subscription: kind, place and numbers, and the exact moments from which they are reported."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.model import (
    ANY_TAIL,
    Chain,
    Circuit,
    CircuitState,
    Doorbell,
    Owner,
    SequenceNumber,
    StreamName,
)
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Ports
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.wire.doorbell import from_body
from tests.support.expiry import DAY_SECONDS, DAYS, aged_fabric, expire
from tests.support.failing_handlers import FEW, Failing, drained, fabric_of, named, retry
from tests.support.findings import finding
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.reconciliations import healthy, kinds, put_cursor, reconcile, remove
from tests.support.recorded_reads import CountingBySubject
from tests.support.subscribed_stream import LANE_KEY, SubscribedStream

UNRUNG_MS = 1000 * limits.UNRUNG_SECONDS
GRACE_SECONDS = limits.CIRCUIT_CACHE_SECONDS + limits.FUNCTION_TIMEOUT_SECONDS + limits.SETTLE_SECONDS
MILLISECOND = 0.001


def passed(fabric: SubscribedStream, ports: Ports) -> list[Finding]:
    """Run a pass through these ports. Return its findings."""
    reconciler = Reconciler(fabric.stream, region=fabric.region, ports=ports, telemetry=fabric.telemetry)
    return list(reconciler.run(repair=False))


def rung(fabric: SubscribedStream) -> list[Doorbell]:
    """Return the doorbells in the queue."""
    return [from_body(body) for body in fabric.queue.bodies]


class TestEventsThatWait:
    """Nobody rang for them, or no function heard the doorbell."""

    def test_how_many_wait_behind_the_cursor_and_for_how_many_seconds(self) -> None:
        fabric = healthy()
        fabric.put(*named("c1", "c2"))
        fabric.clock.advance(400.9)
        fabric.put(*named("c3"))
        assert reconcile(fabric) == [finding(FindingKind.UNRUNG, 12, "3 events", "400 s")]

    def test_they_wait_since_the_cursor_moved_last(self) -> None:
        fabric = healthy()
        fabric.put(*named("c1"))
        fabric.clock.advance(400)
        put_cursor(fabric)
        fabric.clock.advance(limits.UNRUNG_SECONDS - MILLISECOND)
        assert reconcile(fabric) == []
        fabric.clock.advance(MILLISECOND)
        assert reconcile(fabric) == [finding(FindingKind.UNRUNG, 12, "1 events", "300 s")]

    def test_every_lane_with_some_is_rung_for_whatever_it_holds_and_by_the_minute(self) -> None:
        fabric = SubscribedStream(lanes=2)
        for index in (1, 0):
            fabric.put(event("a"), of=lane(index))
        fabric.clock.advance(3_600)
        before, minute = len(fabric.queue.bodies), fabric.clock.now_ms() // 60_000
        assert reconcile(fabric, repair=True) == [
            finding(FindingKind.UNRUNG, 0, "1 events", "3600 s", lane=lane(index), is_repaired=True)
            for index in (0, 1)
        ]
        assert rung(fabric)[before:] == [
            Doorbell(StreamName(STREAM), lane(index), ANY_TAIL, again=minute) for index in (0, 1)
        ]

    def test_nobody_is_rung_for_by_a_pass_that_only_looks(self) -> None:
        fabric = fabric_of(Failing({}), *named("a1"))
        fabric.clock.advance(3_600)
        before = rung(fabric)
        (unrung,) = reconcile(fabric)
        assert (unrung.kind, unrung.is_repaired) == (FindingKind.UNRUNG, False)
        assert rung(fabric) == before

    @pytest.mark.parametrize(("late_ms", "expected"), [(0, []), (1, [FindingKind.UNRUNG])])
    def test_an_open_circuit_is_rung_for_once_its_probe_is_overdue(
        self, late_ms: int, expected: list[FindingKind]
    ) -> None:
        fabric = fabric_of(Failing({}), *named("a1"))
        fabric.clock.advance(3_600)
        probe_ms = fabric.clock.now_ms() - UNRUNG_MS - late_ms
        opened = Circuit(CircuitState.OPEN, "down", probe_ms=probe_ms)
        assert fabric.ledger.switch(LANE_KEY.stream, LANE_KEY.subscription, Circuit(), opened)
        assert kinds(fabric) == expected

    def test_what_is_repaired_is_counted_for_the_stream(self) -> None:
        fabric, telemetry = fabric_of(Failing({}), *named("a1")), CountingBySubject()
        fabric.clock.advance(3_600)
        for repair in (False, True):
            list(
                Reconciler(fabric.stream, region=HOME, ports=fabric.ports(), telemetry=telemetry).run(
                    repair=repair
                )
            )
        assert telemetry.added[Metric.FINDINGS_REPAIRED, STREAM] == 1


class TestParkedKeys:
    """Parked keys that are to be tried again, and dead ones."""

    def test_how_many_are_late_and_how_much_the_first_of_them_is(self) -> None:
        fabric = fabric_of(Failing({"a1": 9, "b1": 9}), *named("a1"), **FEW)
        fabric.deliver()
        fabric.clock.advance(100)
        fabric.put(*named("b1"))
        fabric.deliver()
        first, second = sorted(fabric.parked().values(), key=lambda parked: parked.due_ms)
        assert first.due_ms < second.due_ms
        fabric.clock.advance((first.due_ms + UNRUNG_MS - 1 - fabric.clock.now_ms()) / 1000)
        assert reconcile(fabric) == []
        fabric.clock.advance(MILLISECOND)
        sequence = first.first.sequence
        assert reconcile(fabric) == [finding(FindingKind.PARKED_OVERDUE, sequence, "1 keys", "300 s")]
        more_seconds = -((first.due_ms - second.due_ms) // 1000)
        fabric.clock.advance(more_seconds)
        earliest, facts = second.first.sequence, ("2 keys", f"{300 + more_seconds} s")
        assert earliest < sequence
        assert reconcile(fabric, repair=True) == [
            finding(FindingKind.PARKED_OVERDUE, earliest, *facts, is_repaired=True)
        ]
        minute = fabric.clock.now_ms() // 60_000
        assert rung(fabric)[-1] == Doorbell(StreamName(STREAM), LANE, ANY_TAIL, again=minute)

    def test_dead_letters_and_what_waits_behind_them_are_counted_apart(self) -> None:
        failing = Failing({"a1": 9, "b1": 9})
        fabric = fabric_of(
            failing, *named("c1", "a1", "b1", "a2", "b2", "a3"), **retry(immediate=0, attempts=1)
        )
        drained(fabric)
        assert reconcile(fabric) == [finding(FindingKind.DEAD, 1, "2 dead letters", "3 events")]


class TestCursors:
    """Cursors that stand where they cannot."""

    def test_one_that_was_set_back_names_where_it_stood(self) -> None:
        fabric = healthy()
        tail = fabric.log.tail(LANE, before=SequenceNumber(4))
        put_cursor(fabric, sequence=tail.sequence, base=tail.sequence, chain=tail.chain)
        assert reconcile(fabric) == [finding(FindingKind.CURSOR_BACK, 4, 12)]

    def test_one_beyond_the_end_names_the_end_of_its_lane(self) -> None:
        fabric = healthy()
        put_cursor(fabric, sequence=SequenceNumber(99), base=SequenceNumber(99))
        assert reconcile(fabric) == [finding(FindingKind.CURSOR_AHEAD, 99, "ends at 12", "replay", "from 0")]

    @pytest.mark.parametrize(("cursor", "expected"), [(13, []), (14, [FindingKind.CURSOR_AHEAD])])
    def test_a_lane_that_grows_while_it_is_looked_at_is_asked_once_more_where_it_ends(
        self, cursor: int, expected: list[FindingKind]
    ) -> None:
        fabric = healthy()
        new = fabric.record(fabric.log.tail(LANE), *named("c1"))
        put_cursor(fabric, sequence=SequenceNumber(cursor), base=SequenceNumber(cursor))

        def grow(called: str, overall: int, of_name: int) -> Fault | None:
            if called == "ledger.state" and of_name == 1:
                assert fabric.origin_log.append(new) is None
            return None

        ports = fabric.ports()
        slow = replace(ports, ledger=Faults(grow).ledger(ports.ledger))
        assert [finding.kind for finding in passed(fabric, slow)] == expected

    def test_one_that_a_handover_left_ahead_of_what_is_replicated_is_not_accused(self) -> None:
        fabric = healthy()
        put_cursor(fabric, sequence=SequenceNumber(99), base=SequenceNumber(99), epoch=1)
        assert reconcile(fabric) == []

    @pytest.mark.parametrize("changes", [{"chain": Chain(b"x" * 16)}, {"base": SequenceNumber(10)}])
    def test_one_that_is_not_on_the_chain_names_the_beginning_of_its_record(
        self, changes: dict[str, Any]
    ) -> None:
        fabric = healthy()
        fabric.put(*named("c1"))
        fabric.deliver()
        put_cursor(fabric, **changes)
        base = changes.get("base", 13)
        assert reconcile(fabric) == [finding(FindingKind.CURSOR_BROKEN, 13, base)]

    def test_one_that_is_not_on_the_chain_is_reported_by_each_pass_until_somebody_mends_it(self) -> None:
        fabric = healthy()
        fabric.put(*named("c1"))
        fabric.deliver()
        right = fabric.cursor()
        put_cursor(fabric, chain=Chain(b"x" * 16))
        assert [kinds(fabric) for _ in range(3)] == [[FindingKind.CURSOR_BROKEN]] * 3
        put_cursor(fabric, chain=right.chain)
        assert kinds(fabric) == []

    def test_one_that_was_ahead_is_still_reported_when_the_lane_has_grown_past_it(self) -> None:
        fabric = healthy()
        put_cursor(fabric, sequence=SequenceNumber(14), base=SequenceNumber(14), chain=Chain(b"x" * 16))
        assert kinds(fabric) == [FindingKind.CURSOR_AHEAD]
        fabric.put(*named("c1", "c2"))
        fabric.put(*named("c3"))
        assert [kinds(fabric) for _ in range(2)] == [[FindingKind.CURSOR_BROKEN]] * 2

    def test_one_that_is_wrong_is_the_only_finding_about_its_lane(self) -> None:
        fabric = fabric_of(Failing({"a1": 9}), *named("a1", "b1"), **retry(immediate=0, attempts=1))
        fabric.deliver()
        assert kinds(fabric) == [FindingKind.DEAD]
        put_cursor(fabric, sequence=SequenceNumber(99), base=SequenceNumber(99))
        assert kinds(fabric) == [FindingKind.CURSOR_AHEAD]


class TestClocks:
    """A lane whose time is ahead."""

    def test_what_comes_while_a_pass_is_under_way_is_not_ahead_of_its_clock(self) -> None:
        fabric = healthy()

        def slow(called: str, overall: int, of_name: int) -> Fault | None:
            if called == "ledger.marks" and of_name == 1:
                fabric.clock.advance(2 * limits.CLOCK_AHEAD_SECONDS)
                fabric.put(*named("c1"))
            return None

        ports = fabric.ports()
        assert passed(fabric, replace(ports, ledger=Faults(slow).ledger(ports.ledger))) == []


class TestOwners:
    """Regions that write though their lanes were handed to another one."""

    @pytest.mark.parametrize("late_ms", [0, 1])
    @pytest.mark.parametrize("timeout_seconds", [limits.FUNCTION_TIMEOUT_SECONDS, 900])
    def test_a_former_owner_that_goes_on_beyond_the_grace_is_reported_with_its_successor_and_delay(
        self, late_ms: int, timeout_seconds: int
    ) -> None:
        grace_seconds = GRACE_SECONDS - limits.FUNCTION_TIMEOUT_SECONDS + timeout_seconds
        fabric = healthy(**{"function.timeout_seconds": timeout_seconds})
        away = fabric.in_region(AWAY)
        new_owner = Owner(HOME, AWAY, 1, AWAY, since_ms=fabric.clock.now_ms())
        assert away.ledger.hand_over(LANE_KEY.stream, LANE_KEY.subscription, None, new_owner)
        away.deliver()
        fabric.clock.advance(grace_seconds + late_ms / 1000)
        put_cursor(fabric)
        fabric.cloud.replicate()
        facts = f"{HOME} wrote", f"{grace_seconds} s after", f"{AWAY} took over"
        expected = [finding(FindingKind.STALE_OWNER, 12, *facts, region=AWAY)]
        assert reconcile(away) == (expected if late_ms else [])

    def test_a_state_that_all_regions_share_has_no_former_owner(self) -> None:
        fabric = drained(fabric_of(Failing({}), *named("a1"), durability="quorum"))
        away = fabric.in_region(AWAY)
        new_owner = Owner(HOME, AWAY, 1, AWAY, since_ms=fabric.clock.now_ms())
        assert away.ledger.hand_over(LANE_KEY.stream, LANE_KEY.subscription, None, new_owner)
        fabric.clock.advance(2 * GRACE_SECONDS)
        put_cursor(fabric)
        fabric.cloud.replicate()
        assert reconcile(away) == []


class TestExpiry:
    """Events that expire before they are handled, and missing ones that cannot have expired."""

    def test_a_warning_says_how_many_wait_how_many_keys_are_parked_and_how_long_there_is(self) -> None:
        fabric = aged_fabric()
        fabric.deliver()
        fabric.put(*named("c1", "c2"))
        reconcile(fabric)
        fabric.clock.advance(limits.EXPIRES_SOON_SHARE * DAYS * DAY_SECONDS)
        assert FindingKind.EXPIRES_SOON not in kinds(fabric)
        fabric.clock.advance(MILLISECOND)
        facts = "2 events", "0 keys", "19.2 hours"
        assert reconcile(fabric)[0] == finding(FindingKind.EXPIRES_SOON, 4, *facts)

    def test_a_parked_key_counts_since_it_failed_first(self) -> None:
        fabric = fabric_of(Failing({"a1": 9}), *named("a1"), retention_days=DAYS, **retry(attempts=1))
        fabric.deliver()
        reconcile(fabric)
        fabric.clock.advance(3.5 * DAY_SECONDS)
        fabric.put(*named("b1"))
        warnings = [warning for warning in reconcile(fabric) if warning.kind is FindingKind.EXPIRES_SOON]
        assert warnings == [finding(FindingKind.EXPIRES_SOON, 1, "1 events", "1 keys", "12.0 hours")]

    @pytest.mark.parametrize("on_expired", ["halt", "skip"])
    @pytest.mark.parametrize("repair", [False, True])
    def test_events_that_expired_unread_are_counted_and_skipped_only_where_that_is_wanted(
        self, on_expired: str, repair: bool
    ) -> None:
        fabric = aged_fabric(on_expired=on_expired)
        fabric.clock.advance(2.5 * DAY_SECONDS)
        expire(fabric)
        skips = repair and on_expired == "skip"
        before = len(fabric.queue.bodies)
        facts = "2 events", f"on_expired is {on_expired}"
        assert reconcile(fabric, repair=repair) == [
            finding(FindingKind.EXPIRED_UNREAD, 1, *facts, is_repaired=skips)
        ]
        minute = fabric.clock.now_ms() // 60_000
        bell = Doorbell(StreamName(STREAM), LANE, ANY_TAIL, again=minute)
        assert rung(fabric)[before:] == ([bell] if skips else [])

    @pytest.mark.parametrize(
        ("start", "expected"),
        [("earliest", [FindingKind.EXPIRED_UNREAD]), ("2030-01-01T00:00:00Z", [])],
        ids=["earliest", "later"],
    )
    def test_a_lane_that_never_began_begins_behind_what_expired_and_is_rung_for_the_rest(
        self, start: str, expected: list[FindingKind]
    ) -> None:
        """A new subscription on a stream that is older than its retention."""
        fabric = SubscribedStream(retention_days=1, start=start)
        for name in ("a1", "b1"):
            fabric.put(*named(name))
            fabric.clock.advance(0.7 * DAY_SECONDS)
        expire(fabric)
        fabric.put(*named("c1"))
        findings = reconcile(fabric, repair=True)
        of_expiry = [finding.kind for finding in findings if finding.kind is FindingKind.EXPIRED_UNREAD]
        assert of_expiry == expected
        assert not any(finding.is_alarm for finding in findings if finding.kind in of_expiry)
        if expected:
            fabric.deliver_all()
            assert fabric.recorder.ids() == ["b1", "c1"]

    def test_what_cannot_have_expired_yet_is_a_hole_and_the_next_pass_verifies_all_anew(self) -> None:
        fabric = fabric_of(Failing({}), *named("a1"), retention_days=DAYS, on_expired="skip")
        fabric.deliver()
        for name in ("b1", "c1"):
            fabric.put(*named(name))
        assert reconcile(fabric) == []
        remove(fabric, 1)
        assert reconcile(fabric, repair=True) == [
            finding(FindingKind.HOLE, 1, "before 2", "cannot have expired")
        ]
        assert reconcile(fabric) == [finding(FindingKind.HOLE, 1, "up to 3", subscription=None)]

    def test_what_the_origin_still_has_is_a_hole_in_a_replica(self) -> None:
        fabric = fabric_of(Failing({}), *named("a1", "b1", "c1"), retention_days=DAYS, deliver="everywhere")
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        away.deliver(tail=1)
        put_cursor(away, **cursor_between(away, 1))
        assert reconcile(away) == []
        remove(away, 1)
        fabric.clock.advance(1)
        facts = "before 2", f"{HOME} still has"
        assert reconcile(away) == [finding(FindingKind.HOLE, 1, *facts, region=AWAY)]


def cursor_between(fabric: SubscribedStream, sequence: int) -> dict[str, Any]:
    """The fields of a cursor that stands between two records."""
    tail = fabric.log.tail(LANE, before=SequenceNumber(sequence))
    return {"sequence": tail.sequence, "base": tail.sequence, "chain": tail.chain}
