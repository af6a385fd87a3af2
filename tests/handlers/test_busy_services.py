"""Services that are busy or silent while a stack returns or goes: nobody asks again for what was not declared then."""

import pytest

from eventfabric.errors import LastingError, OutcomeUnknownError, PortError, ThrottledError
from eventfabric.model.catalogue import State
from eventfabric.ports import Log
from eventfabric.resources import DECLARE
from eventfabric.runtime.catalogue import CatalogueRequest
from eventfabric.stream_topology import StreamTopology
from tests.handlers.test_catalogue import PLAIN, WIDE, changed
from tests.support.declaring_stacks import Stacks, stacks_of
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric

BUSY = [ThrottledError("Query", "busy"), OutcomeUnknownError("Query", "no reply")]


@pytest.fixture
def stacks() -> Stacks:
    stacks = Stacks(MemoryFabric(PLAIN))
    stacks.deploy(PLAIN)
    return stacks


def busy_for_a_minute(stacks: Stacks, error: PortError) -> None:
    until_ms = stacks.fabric.clock.now_ms() + 60_000

    def log_of(stream: StreamTopology) -> Log:
        if stacks.fabric.clock.now_ms() < until_ms:
            raise error
        return stacks.fabric.ports().log_of(stream)

    stacks.log_of = log_of


@pytest.mark.parametrize("error", BUSY)
def test_a_stack_that_returns_declares_what_was_before(stacks: Stacks, error: PortError) -> None:
    was = dict(stacks.asked)
    closing = dict(stacks_of(changed(PLAIN, fabric={"closing": (AWAY,)}), HOME))
    assert stacks.ask(DECLARE, "cell", closing["cell"])["Status"] == "SUCCESS"
    busy_for_a_minute(stacks, error)
    stacks.roll_back(was, "cell")
    assert stacks.declared().declaration.stream.closing == ()


@pytest.mark.parametrize("error", BUSY)
def test_a_stack_that_goes_is_declared(stacks: Stacks, error: PortError) -> None:
    busy_for_a_minute(stacks, error)
    assert stacks.delete("billing")["Status"] == "SUCCESS"
    assert stacks.facts().state is State.UNDEPLOYED


def test_what_somebody_can_deploy_again_is_not_waited_for(stacks: Stacks) -> None:
    began_ms = stacks.fabric.clock.now_ms()
    busy_for_a_minute(stacks, BUSY[0])
    asked = dict(stacks_of(PLAIN, HOME))["billing"]
    assert "busy" in stacks.ask(DECLARE, "billing", asked, kind="Update")["Reason"]
    assert stacks.fabric.clock.now_ms() == began_ms


def test_a_stream_that_cannot_be_declared_keeps_back_no_other() -> None:
    stacks = Stacks(MemoryFabric(WIDE))
    stacks.deploy(WIDE)
    was = dict(stacks.asked)
    closing = dict(stacks_of(changed(WIDE, fabric={"closing": (AWAY,)}), HOME))
    assert stacks.ask(DECLARE, "cell", closing["cell"])["Status"] == "SUCCESS"

    def log_of(stream: StreamTopology) -> Log:
        if stream.name == STREAM:
            raise LastingError("Query", "limit exceeded", "quota")
        return stacks.fabric.ports().log_of(stream)

    stacks.log_of = log_of
    stacks.roll_back(was, "cell")
    closed = [stacks.declared(name).declaration.stream.closing for name in (STREAM, "other")]
    assert closed == [(AWAY,), ()]


def test_what_will_not_pass_is_not_waited_for(stacks: Stacks) -> None:
    began_ms = stacks.fabric.clock.now_ms()
    busy_for_a_minute(stacks, LastingError("Query", "no such table", "missing"))
    assert stacks.delete("billing")["Status"] == "SUCCESS"
    assert stacks.fabric.clock.now_ms() == began_ms


def test_a_stack_whose_status_is_not_known_at_first_may_be_one_that_returns(
    stacks: Stacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    was, calls = dict(stacks.asked), 0
    closing = dict(stacks_of(changed(PLAIN, fabric={"closing": (AWAY,)}), HOME))
    assert stacks.ask(DECLARE, "cell", closing["cell"])["Status"] == "SUCCESS"

    def status(request: CatalogueRequest) -> str:
        nonlocal calls
        calls += 1
        if calls < 10:
            raise BUSY[0]
        return stacks.status

    monkeypatch.setattr(CatalogueRequest, "_status", status)
    stacks.roll_back(was, "cell")
    assert stacks.declared().declaration.stream.closing == ()


def test_a_stack_that_returns_asks_nobody_what_may_be_wrong(
    stacks: Stacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its check may not be able to look, such as at another Region, and its own lane is there."""
    was = dict(stacks.asked)
    closing = dict(stacks_of(changed(PLAIN, fabric={"closing": (AWAY,)}), HOME))
    assert stacks.ask(DECLARE, "cell", closing["cell"])["Status"] == "SUCCESS"

    def broken(*_: object) -> None:
        raise LastingError("Query", "wrong", "denied")

    monkeypatch.setattr("eventfabric.services.catalogue.check.newest", broken)
    stacks.roll_back(was, "cell")
    assert stacks.declared().declaration.stream.closing == ()
