"""Declarations that a function cannot read: all of the newest one, or what a later version says of one subscription."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

import eventfabric.handlers.reconcile
from eventfabric import limits
from eventfabric.formats import OWN_FORMATS
from eventfabric.model import Region, SequenceNumber
from eventfabric.model.catalogue import State, SubscriptionFacts
from eventfabric.runtime.wiring import using
from eventfabric.services.catalogue.deployment import declare_all
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS
from eventfabric.services.catalogue.lane import newest
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.queue import MemoryQueue
from eventfabric.wire.keys import record_key
from eventfabric.wire.payload_codec import unpack
from tests.handlers.test_declared import BELL, LANE, DeclaredFunctions
from tests.handlers.test_functions import US, Context
from tests.support.later_declarations import append_content, append_later

Edit = Callable[[dict[str, Any]], None]


def spoil(functions: DeclaredFunctions) -> None:
    """Replace the payload of the newest declaration by what nobody can read, and let a minute go by."""
    table = functions.cloud.log_table("orders", US)
    item = max(
        (item for item in table.items if item["pk"] == {"S": str(LANE)}),
        key=lambda item: int(item["sk"]["N"]),
    )
    table.write("Put", {"Item": {**item, "d": {"B": b"?"}}})
    functions.clock.advance(CATALOGUE_SECONDS)


def declare_as_a_later_version(functions: DeclaredFunctions, edit: Edit) -> None:
    """Declare the same JSON with an edit, and let a minute go by."""
    append_later(functions.ports().log_of(functions.stream), LANE, functions.clock, edit)
    functions.clock.advance(CATALOGUE_SECONDS)


def of_another(**members: object) -> Edit:
    def edit(declaration: dict[str, Any]) -> None:
        declaration["subscriptions"]["other"] = {"handler": "a:b", **members}

    return edit


def restarted(functions: DeclaredFunctions) -> None:
    """Let the processes of all functions begin anew."""
    functions._runtimes.clear()


def findings_of_a_pass(functions: DeclaredFunctions) -> dict[str, int]:
    functions.clock.advance(limits.UNRUNG_SECONDS)
    with using(functions.runtime(None)):
        answer = eventfabric.handlers.reconcile.handle({"full": True}, Context(900_000))
    return answer["findings"]["orders"]  # type: ignore[no-any-return]  # as handle documents


def twice_declared(**settings: Any) -> DeclaredFunctions:
    """Functions of which the newest declaration says the same as the one before, but for its contact."""
    functions = DeclaredFunctions(**settings)
    declare_all(functions.deployer())
    change = functions.deployer("r2").change("deployed", "all")
    functions.change(
        lambda read: read.with_subscription(replace(read.subscriptions["all"], contact="x"), change)
    )
    return functions


class TestSpoilt:
    """The newest declaration cannot be read at all."""

    @pytest.mark.parametrize("is_cold", [False, True])
    def test_functions_go_on_by_what_they_know_or_by_the_declaration_before(
        self, is_cold: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        functions = twice_declared()
        functions.publish("1")
        assert functions.deliver() == []
        spoil(functions)
        if is_cold:
            restarted(functions)
        functions.publish("2")
        assert functions.deliver() == []
        assert functions.seen == ["1", "2"]
        assert "docs/runbook.md, A declaration that cannot be read" in caplog.text

    def test_one_that_was_deployed_with_it_goes_on_and_one_that_lacks_more_does_not(self) -> None:
        functions = twice_declared()
        known = newest(functions.ports().log_of(functions.stream), LANE)
        assert known is not None
        functions.deploy(str(known.version))
        spoil(functions)
        functions.publish("1")
        assert functions.deliver() == []
        functions.deploy(str(replace(known.version, sequence=SequenceNumber(known.version.sequence + 1))))
        assert functions.deliver(bodies=(BELL,)) == [BELL]
        assert functions.seen == ["1"]

    def test_a_function_that_delivers_in_a_new_life_does_not_go_back_to_the_one_before(self) -> None:
        functions = DeclaredFunctions()
        declare_all(functions.deployer())
        functions.retire()
        functions.deployer("again").declare_subscription(functions.stream.subscriptions[0])
        functions.clock.advance(CATALOGUE_SECONDS)
        functions.publish("1")
        assert functions.deliver() == []
        spoil(functions)
        functions.publish("2")
        assert functions.deliver() == []
        restarted(functions)
        functions.publish("3")
        assert functions.deliver() == []  # retired, by what can be read: its events wait
        assert functions.seen == ["1", "2"]

    def test_no_function_starts_where_two_declarations_in_a_row_cannot_be_read(self) -> None:
        functions = twice_declared()
        table = functions.cloud.log_table("orders", US)
        for item in [item for item in table.items if item["pk"] == {"S": str(LANE)}]:
            table.write("Put", {"Item": {**item, "d": {"B": b"?"}}})
        assert functions.deliver(bodies=(BELL,)) == [BELL]
        assert functions.counted.totals[Metric.DELIVERIES_BLOCKED] == 1

    def test_nor_where_the_one_before_it_is_missing(self) -> None:
        functions = twice_declared()
        change = functions.deployer("r3").change("deployed", "all")
        functions.change(lambda read: read.with_stream(replace(read.stream, express=False), change))
        spoil(functions)
        functions.cloud.log_table("orders", US).write("Delete", {"Key": record_key(LANE, SequenceNumber(1))})
        assert functions.deliver(bodies=(BELL,)) == [BELL]

    @pytest.mark.parametrize("is_only", [False, True])
    def test_passes_verify_the_stream_and_raise_the_alarm(self, is_only: bool) -> None:
        functions = DeclaredFunctions() if is_only else twice_declared()
        if is_only:
            declare_all(functions.deployer())
        functions.fabric.publish("orders", key="a", type="Placed", id="1")
        spoil(functions)
        restarted(functions)
        findings = findings_of_a_pass(functions)
        assert findings["unreadable"] >= 1
        assert findings["unrung"] == 1
        assert functions.counted.gauges[Metric.FINDINGS_ALARMED, "orders"] >= 1


class TestLaterValues:
    """A later version has declared one subscription, or the stream, with what this one does not know."""

    EDITS = (
        of_another(guarantee="exactly_thrice"),
        of_another(state="resting"),
        of_another(deliver="nearest"),
        of_another(types={"all": ["a"]}),
        of_another(start=5),
        of_another(incarnation=-1),
        of_another(since_ms=10**18),
    )

    @pytest.mark.parametrize("edit", EDITS)
    def test_what_is_said_of_one_subscription_concerns_no_other(
        self, edit: Edit, caplog: pytest.LogCaptureFixture
    ) -> None:
        functions = DeclaredFunctions()
        declare_all(functions.deployer())
        declare_as_a_later_version(functions, edit)
        functions.publish("1")
        assert functions.deliver() == []
        assert functions.seen == ["1"]
        assert "subscription other is declared as this version cannot read it" in caplog.text
        assert findings_of_a_pass(functions) == {"unreadable": 1}

    def test_the_others_that_are_declared_are_rung(self) -> None:
        functions = DeclaredFunctions()
        declare_all(functions.deployer())
        queue = MemoryQueue("shop-beside.fifo", clock=functions.clock)
        functions.cloud.regions[Region(US)].queues[queue.name] = queue
        change = functions.deployer("r2").change("deployed", "beside")
        beside = SubscriptionFacts(name="beside", handler="a:b")
        functions.change(lambda read: read.with_subscription(beside, change))
        declare_as_a_later_version(functions, of_another(guarantee="exactly_thrice"))
        functions.publish("1")
        assert (len(queue.bodies), len(functions.queue.bodies)) == (1, 1)

    def test_the_subscription_itself_stops(self) -> None:
        functions = DeclaredFunctions()
        declare_all(functions.deployer())
        declare_as_a_later_version(
            functions,
            lambda declaration: declaration["subscriptions"]["all"].update(guarantee="exactly_thrice"),
        )
        assert functions.deliver(bodies=(BELL,)) == [BELL]
        assert functions.counted.totals[Metric.DELIVERIES_BLOCKED] == 1
        functions.publish("1")
        assert len(functions.queue.bodies) == 1  # it is rung for, as its function may be of that version

    def test_it_stays_as_it_is_and_nobody_changes_it_who_cannot_read_it(self) -> None:
        functions = DeclaredFunctions()
        declare_all(functions.deployer())
        declare_as_a_later_version(functions, of_another(guarantee="exactly_thrice", weight=3))
        functions.deployer("r3").declare_state(functions.stream, "all", State.DRAINING)
        log = functions.ports().log_of(functions.stream)
        [event] = unpack(log.recent(LANE, records_max=1).records[0])
        members = msgspec.json.decode(event.payload.content)["subscriptions"]
        assert members["other"] == {"handler": "a:b", "guarantee": "exactly_thrice", "weight": 3}
        assert members["all"]["state"] == "draining"
        with pytest.raises(Exception, match="subscription other is declared as this version cannot read it"):
            functions.deployer("r4").declare_state(functions.stream, "other", State.RETIRED)

    def test_a_version_that_is_too_old_for_the_stream_hears_that_whatever_else_it_does_not_know(self) -> None:
        functions = twice_declared()

        def later(declaration: dict[str, Any]) -> None:
            declaration["stream"] |= {"durability": "archived", "reads_required": OWN_FORMATS.reads + 1}

        functions.publish("1")
        assert functions.deliver() == []
        declare_as_a_later_version(functions, later)
        for _ in range(2):
            assert functions.deliver(bodies=(BELL,)) == [BELL]
            restarted(functions)
        assert f"knows formats up to {OWN_FORMATS.reads}" in functions.logs.getvalue()


@pytest.mark.parametrize("is_cold", [True, False])
def test_functions_go_on_beside_content_that_is_nested_too_deeply_for_any_reader(is_cold: bool) -> None:
    functions, nested = twice_declared(), b"[" * 1_500 + b"]" * 1_500
    functions.publish("1")
    assert functions.deliver() == []
    log = functions.ports().log_of(functions.stream)
    append_content(log, LANE, functions.clock, lambda content: content[:-1] + b',"later":' + nested + b"}")
    functions.clock.advance(CATALOGUE_SECONDS)
    if is_cold:
        restarted(functions)
    functions.fabric.publish("orders", key="a", type="Placed", id="2")
    functions.relay()
    assert functions.deliver() == []
    assert functions.seen == ["1", "2"]
    assert findings_of_a_pass(functions)["unreadable"] == 1
