"""A subscription that is retired while it is in the definition: what is deployed beside it gives it no new life."""

import json

from eventfabric.model.catalogue import State
from eventfabric.resources import CHECK, DECLARE
from tests.handlers.test_catalogue import PLAIN, changed
from tests.support.declaring_stacks import Stacks, stacks_of
from tests.support.memory_fabric import HOME, MemoryFabric


def test_a_deployment_of_something_else_brings_nothing_back() -> None:
    stacks = Stacks(MemoryFabric(PLAIN))
    stacks.deploy(PLAIN)
    stacks.retire()
    assert stacks.deploy(changed(PLAIN, fabric={"account_concurrency": 900})) == ""
    assert (stacks.facts().state, stacks.facts().incarnation) == (State.RETIRED, 0)


def test_a_deployment_that_is_under_way_undoes_no_retirement() -> None:
    stacks = Stacks(MemoryFabric(PLAIN))
    stacks.deploy(PLAIN)
    asked = json.loads(dict(stacks_of(PLAIN, HOME))["billing"])
    later = json.dumps({**asked, "version": "9.0"})
    assert stacks.ask(CHECK, "billing", later)["Status"] == "SUCCESS"
    stacks.retire()
    assert stacks.ask(DECLARE, "billing", later)["Status"] == "SUCCESS"
    assert (stacks.facts().state, stacks.facts().incarnation) == (State.RETIRED, 0)


def test_a_new_stack_begins_anew() -> None:
    stacks = Stacks(MemoryFabric(PLAIN))
    stacks.deploy(PLAIN)
    stacks.retire()
    stacks.delete("billing")
    assert stacks.deploy(PLAIN) == ""
    assert (stacks.facts().state, stacks.facts().incarnation) == (State.ACTIVE, 1)
