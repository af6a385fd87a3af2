"""Requests of stacks that come late, again, or run out of time: what is declared since stays as it is."""

from collections.abc import Iterator
from dataclasses import replace
from threading import Event
from threading import enumerate as enumerate_threads
from typing import Any

import pytest

from eventfabric.model import Record
from eventfabric.model.catalogue import State
from eventfabric.ports import Log
from eventfabric.resources import CHECK, DECLARE
from eventfabric.runtime import catalogue
from eventfabric.runtime.catalogue import CatalogueRequest
from eventfabric.services.catalogue.declare import REQUEST_SECONDS_MAX
from eventfabric.services.delivery.side_by_side import one_after_another
from tests.handlers.test_catalogue import PLAIN, changed
from tests.handlers.test_catalogue_answers import Context
from tests.support.declaring_stacks import Stacks, stacks_of
from tests.support.memory_fabric import AWAY, HOME, MemoryFabric

CLOSING = changed(PLAIN, fabric={"closing": (AWAY,)})


def asked(stack: str, wanted: Any = PLAIN) -> str:
    return dict(stacks_of(wanted, HOME))[stack]


@pytest.fixture
def stacks() -> Stacks:
    stacks = Stacks(MemoryFabric(PLAIN))
    stacks.deploy(PLAIN)
    return stacks


@pytest.mark.parametrize("status", ["ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_COMPLETE"])
def test_a_creation_that_was_given_up_declares_nothing(status: str) -> None:
    stacks = Stacks(MemoryFabric(PLAIN))
    for resource in (CHECK, DECLARE):
        assert stacks.ask(resource, "cell", asked("cell"))["Status"] == "SUCCESS"
    stacks.status = status
    stacks.ask(DECLARE, "billing", asked("billing"), kind="Create")
    assert "billing" not in stacks.declared().declaration.subscriptions


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_COMPLETE", "CREATE_COMPLETE"])
def test_an_update_that_was_given_up_declares_nothing(stacks: Stacks, status: str) -> None:
    before = stacks.declared()
    stacks.status = status
    stacks.ask(DECLARE, "cell", asked("cell", CLOSING), kind="Update")
    assert stacks.declared() == before


def test_a_deletion_that_comes_after_the_stack_is_gone_says_nothing_of_the_next_one(stacks: Stacks) -> None:
    for stacks.status in ("DELETE_COMPLETE", "UPDATE_IN_PROGRESS"):
        assert stacks.ask(DECLARE, "billing", asked("billing"), kind="Delete")["Status"] == "SUCCESS"
    assert stacks.facts().state is State.ACTIVE


@pytest.mark.parametrize("others", [0, 30])
def test_a_request_that_comes_again_undoes_nothing_however_much_was_declared_since(
    stacks: Stacks, others: int
) -> None:
    assert stacks.ask(DECLARE, "cell", asked("cell", CLOSING))["Status"] == "SUCCESS"
    number = stacks.number
    for days in range(1, 1 + others):
        stacks.ask(DECLARE, "cell", asked("cell", changed(CLOSING, retention_days=days)))
    assert stacks.ask(DECLARE, "cell", asked("cell"))["Status"] == "SUCCESS"
    stacks.number = number - 1
    assert stacks.ask(DECLARE, "cell", asked("cell", CLOSING), kind="Update")["Status"] == "SUCCESS"
    assert stacks.declared().declaration.stream.closing == ()
    stacks.fabric.clock.advance(2 * REQUEST_SECONDS_MAX)  # nobody looks back any further
    stacks.number = number - 1
    assert stacks.ask(DECLARE, "cell", asked("cell", CLOSING), kind="Update")["Status"] == "SUCCESS"
    assert stacks.declared().declaration.stream.closing == (AWAY,)


class HeldLog:
    """A log whose next put waits, as in a function that is frozen. `reached`: it waits. `goes`: it goes on."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.reached, self.goes = Event(), Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, record: Record) -> Record | None:
        self.reached.set()
        assert self.goes.wait(20)
        return self._log.append(record)


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Iterator["Late"]:
    late = Late(monkeypatch)
    yield late
    late.log.goes.set()


class Late:
    """Requests to a function that runs out of time while it puts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stacks = Stacks(MemoryFabric(PLAIN))
        for resource in (CHECK, DECLARE):
            assert self.stacks.ask(resource, "cell", asked("cell"))["Status"] == "SUCCESS"
        ports = self.stacks.fabric.ports(HOME)
        self.log = HeldLog(ports.log_of(self.stacks.fabric.stream))
        self._ports = replace(ports, log_of=lambda stream: self.log)
        self.answers: list[dict[str, Any]] = []
        monkeypatch.setattr(catalogue, "_answer", self._answer)
        monkeypatch.setattr(catalogue, "_status_of", self._status_of)
        monkeypatch.setattr(catalogue, "respond", lambda event, answer: self.answers.append(answer))

    def _answer(self, event: dict[str, Any], is_over: Any) -> dict[str, Any]:
        return CatalogueRequest(
            event,
            HOME,
            lambda topology: self._ports,
            self._ports.clock,
            one_after_another,
            self._status_of,
            is_over,
        ).answer()

    def _status_of(self, stack_id: str) -> str:
        return self.stacks.status

    def handle(self, kind: str, stack: str, wanted: str) -> str:
        """Return the status of the answer that a request gets that has a tenth of a second."""
        event = {
            "RequestType": kind,
            "ResourceType": DECLARE,
            "StackId": f"stack/{stack}",
            "RequestId": "late",
            "LogicalResourceId": "Declared",
            "ResourceProperties": {"Asked": wanted},
        }
        catalogue.handle(event, Context(20_100))  # type: ignore[arg-type]  # a part of it
        assert self.log.reached.wait(20)
        return str(self.answers.pop()["Status"])

    def go_on(self) -> None:
        """Let the function go on as it does with the next request, and wait until it has ended."""
        self.log.goes.set()
        for thread in [own for own in enumerate_threads() if own.name.startswith(catalogue.THREAD)]:
            thread.join(20)
            assert not thread.is_alive()


def test_a_creation_without_time_declares_nothing_after_its_stack_is_gone(late: Late) -> None:
    late.stacks.status = "CREATE_IN_PROGRESS"
    assert late.handle("Create", "billing", asked("billing")) == "FAILED"
    late.stacks.status = "ROLLBACK_IN_PROGRESS"
    assert late.stacks.ask(DECLARE, "billing", asked("billing"), kind="Delete")["Status"] == "SUCCESS"
    late.go_on()
    assert "billing" not in late.stacks.declared().declaration.subscriptions


def test_an_update_without_time_declares_nothing_after_its_rollback(late: Late) -> None:
    late.stacks.status = "UPDATE_IN_PROGRESS"
    assert late.handle("Update", "cell", asked("cell", CLOSING)) == "FAILED"
    late.stacks.status = "UPDATE_ROLLBACK_IN_PROGRESS"
    assert late.stacks.ask(DECLARE, "cell", asked("cell"), kind="Update")["Status"] == "SUCCESS"
    late.go_on()
    assert late.stacks.declared().declaration.stream.closing == ()


def test_a_rollback_without_time_is_no_failure(late: Late) -> None:
    late.stacks.status = "UPDATE_ROLLBACK_IN_PROGRESS"
    assert late.handle("Update", "cell", asked("cell", CLOSING)) == "SUCCESS"
