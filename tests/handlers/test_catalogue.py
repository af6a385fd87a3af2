"""Stacks that check and declare: what each deployment of a definition is refused, and what it leaves in the log."""

import json
from dataclasses import replace
from typing import Any

import pytest

from eventfabric.deployment import declarations
from eventfabric.errors import LastingError, OutcomeUnknownError
from eventfabric.formats import OWN_FORMATS, Formats
from eventfabric.model.catalogue import CatalogueVersion, State
from eventfabric.ports import Log
from eventfabric.resources import CHECK, DECLARE
from eventfabric.services.catalogue.check import CLOSING_SECONDS
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import Faults
from eventfabric.topology import Topology
from tests.support.dead_letters import mended_fabric
from tests.support.declaring_stacks import Stacks, stacks_of
from tests.support.formats import LATER, require
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric, event, lane
from tests.support.messages import missing_from
from tests.support.subscribed_stream import topology

OTHERS = '[streams.other]\n[subscriptions.audit]\nstream = "other"\nhandler = "subscribers.audit:note"\n'
PLAIN = topology()
WIDE = topology(others=OTHERS)


@pytest.fixture
def stacks() -> Stacks:
    return Stacks(MemoryFabric(WIDE))


def changed(wanted: Topology, *, fabric: dict[str, Any] | None = None, **stream: Any) -> Topology:
    definition = wanted.definition
    streams = {**definition.streams, STREAM: replace(definition.streams[STREAM], **stream)}
    section = replace(definition.fabric, **(fabric or {}))
    return Topology(replace(definition, fabric=section, streams=streams))


def without(wanted: Topology, name: str) -> Topology:
    """The topology without a stream or a subscription."""
    definition = wanted.definition
    return Topology(
        replace(
            definition,
            streams={own: stream for own, stream in definition.streams.items() if own != name},
            subscriptions={
                own: of for own, of in definition.subscriptions.items() if name not in (own, of.stream)
            },
        )
    )


def renamed(wanted: Topology, **names: str) -> Topology:
    definition = wanted.definition
    own = {
        names.get(name, name): replace(of, name=names.get(name, name))
        for name, of in definition.subscriptions.items()
    }
    return Topology(replace(definition, subscriptions=own))


def test_a_first_deployment_declares_all_and_the_same_again_nothing_else(stacks: Stacks) -> None:
    assert stacks.deploy(WIDE) == ""
    assert stacks.facts().state is State.ACTIVE
    assert stacks.facts("audit", "other").version == stacks.facts().version
    change = stacks.declared().declaration.change
    assert (change.by, change.request_id) == ("stack/billing", f"{DECLARE}billing{stacks.number - 2}")
    before = stacks.declared()
    stacks.asked.clear()
    assert stacks.deploy(WIDE) == ""
    after = stacks.declared().declaration
    assert replace(after, change=before.declaration.change) == before.declaration


def test_a_function_is_told_up_to_where_its_stream_was_declared(stacks: Stacks) -> None:
    asked = dict(stacks_of(WIDE, HOME))
    assert stacks.ask(CHECK, "billing", asked["billing"])["Data"] == {"Version": ""}
    stacks.deploy(WIDE)
    answer = stacks.ask(CHECK, "billing", asked["billing"], kind="Update")
    version = CatalogueVersion.parse(answer["Data"]["Version"])
    assert version == stacks.declared().version


def test_what_is_asked_holds_no_variables_of_users(stacks: Stacks) -> None:
    own = PLAIN.subscription("billing").definition
    secret = replace(own, function=replace(own.function, environment={"TOKEN": "s3cret"}))
    wanted = Topology(replace(PLAIN.definition, subscriptions={"billing": secret}))
    for _, asked in stacks_of(wanted, HOME):
        assert "s3cret" not in asked


def test_a_second_owner_is_refused(stacks: Stacks) -> None:
    assert stacks.deploy(changed(PLAIN, fabric={"owner": "git/shop"})) == ""
    before = stacks.declared()
    said = stacks.deploy(changed(PLAIN, fabric={"owner": "git/other"}))
    assert missing_from(said, "fabric.owner", "'git/other'", "'git/shop' has declared stream orders") == []
    assert stacks.declared() == before


def test_a_declaration_is_compared_again_with_what_was_declared_since_its_check(stacks: Stacks) -> None:
    stacks.deploy(PLAIN)
    asked = dict(stacks_of(changed(PLAIN, fabric={"owner": "git/shop"}), HOME))["cell"]
    assert stacks.ask(CHECK, "cell", asked)["Status"] == "SUCCESS"
    others = dict(stacks_of(changed(PLAIN, fabric={"owner": "git/other"}), HOME))["cell"]
    assert Stacks(stacks.fabric).ask(DECLARE, "cell", others)["Status"] == "SUCCESS"
    assert missing_from(stacks.ask(DECLARE, "cell", asked)["Reason"], "'git/other' has declared") == []


@pytest.mark.parametrize("lanes", [1, 8])
def test_lanes_of_a_stream_in_use_are_refused(stacks: Stacks, lanes: int) -> None:
    stacks.deploy(PLAIN)
    stacks.fabric.put(event("a"), of=lane(1))
    said = stacks.deploy(topology(lanes))
    assert (
        missing_from(said, f"streams.orders.lanes: found {lanes}, where 2 is declared", "us-east-1/0.1") == []
    )
    assert stacks.declared().declaration.stream.lanes == 2


def test_a_subscription_that_is_renamed_is_refused_until_the_old_one_is_retired(stacks: Stacks) -> None:
    stacks.deploy(PLAIN)
    wanted = renamed(PLAIN, billing="invoices")
    said = stacks.deploy(wanted)
    assert (
        missing_from(said, "subscriptions.billing", "no such subscription", "subscriptions retire billing")
        == []
    )
    stacks.retire()
    assert stacks.deploy(wanted) == ""
    assert (stacks.facts().state, stacks.facts("invoices").state) == (State.RETIRED, State.ACTIVE)


def test_a_subscription_that_comes_back_goes_on_or_begins_anew_once_it_was_retired(stacks: Stacks) -> None:
    stacks.deploy(PLAIN)
    assert stacks.delete("billing")["Status"] == "SUCCESS"
    assert stacks.facts().state is State.UNDEPLOYED
    assert stacks.deploy(PLAIN) == ""
    assert (stacks.facts().state, stacks.facts().incarnation) == (State.ACTIVE, 0)
    stacks.retire()
    stacks.delete("billing")
    assert stacks.facts().state is State.RETIRED
    assert stacks.deploy(without(PLAIN, "billing")) == ""
    assert stacks.deploy(PLAIN) == ""
    assert (stacks.facts().state, stacks.facts().incarnation) == (State.ACTIVE, 1)


def test_a_drain_is_called_off_by_a_deployment_that_asks_anew_and_a_retirement_is_not(stacks: Stacks) -> None:
    stacks.deploy(PLAIN)
    own, ports = PLAIN.subscription("billing"), stacks.fabric.ports(HOME)
    deployer = Deployer(PLAIN, HOME, ports, by="cli", request_id="drain")
    deployer.declare_state(stacks.fabric.stream, "billing", State.DRAINING)
    assert (stacks.deploy(PLAIN), stacks.facts().state) == ("", State.DRAINING)
    for again, state in (("1", State.ACTIVE), ("2", State.RETIRED)):
        if state is State.RETIRED:
            stacks.retire()
        asked = declarations.asked_of_subscription(PLAIN, own, again=again)
        assert stacks.ask(DECLARE, "billing", asked)["Status"] == "SUCCESS"
        assert (stacks.facts().state, stacks.facts().incarnation) == (state, 0)


def test_a_stream_goes_once_nobody_waits_for_it(stacks: Stacks) -> None:
    stacks.deploy(WIDE)
    wanted = without(WIDE, "other")
    said = stacks.deploy(wanted)
    assert missing_from(said, "streams.other: found no such stream", "audit as active in us-east-1") == []
    assert stacks.declared("other").declaration.stream.is_deployed
    stacks.retire("audit", "other")
    assert stacks.deploy(wanted) == ""
    assert not stacks.declared("other").declaration.stream.is_deployed


def test_a_region_with_dead_letters_is_not_taken_out() -> None:
    fabric = mended_fabric("a", "b", "c")
    home, away = Stacks(fabric), Stacks(fabric, AWAY)
    home_last = changed(
        fabric.topology, fabric={"regions": (AWAY, HOME), "closing": (HOME,)}, regions=(AWAY, HOME)
    )
    for wanted in (fabric.topology, home_last):
        assert [home.deploy(wanted), away.deploy(wanted)] == ["", ""]
    without_home = changed(home_last, fabric={"regions": (AWAY,), "closing": ()}, regions=(AWAY,))
    asked = declarations.asked_of_log(without_home, without_home.tables)
    assert "for only 0 s" in away.ask(CHECK, "log", asked)["Reason"]
    fabric.clock.advance(seconds=CLOSING_SECONDS)
    said = away.ask(CHECK, "log", asked)["Reason"]
    assert missing_from(said, "us-east-1 taken out", "billing has 3 dead letters left of it") == []


def test_stages_are_fabrics_of_their_own(stacks: Stacks) -> None:
    """Two deployments at the same time have no table, no lane and no stack in common."""
    stacks.deploy(PLAIN)
    before = stacks.declared()
    staged = Stacks(MemoryFabric(changed(PLAIN, fabric={"stage": "dev"}, lanes=8)))
    assert staged.deploy(staged.fabric.topology) == ""
    assert stacks.declared() == before


def test_a_deployment_that_fails_after_it_has_declared_leaves_what_was_declared_before(
    stacks: Stacks,
) -> None:
    stacks.deploy(PLAIN)
    before = stacks.facts()
    own = PLAIN.subscription("billing").definition
    wanted = Topology(replace(PLAIN.definition, subscriptions={"billing": replace(own, types=("shipped",))}))
    assert stacks.deploy(wanted, until="billing") != ""
    assert stacks.facts() == before
    assert stacks.declared().declaration.change.kind == "rolled back"
    assert stacks.deploy(changed(PLAIN, express=False), until="cell") != ""
    assert stacks.declared().declaration.stream.express


def test_a_creation_that_fails_after_it_has_declared_leaves_nothing_that_is_rung_for(stacks: Stacks) -> None:
    assert stacks.deploy(PLAIN, until="billing") != ""
    assert stacks.facts().state is State.UNDEPLOYED
    assert stacks.deploy(PLAIN) == ""
    assert (stacks.facts().state, stacks.facts().incarnation) == (State.ACTIVE, 0)


@pytest.mark.parametrize(
    "status", ["UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"]
)
def test_a_stack_that_returns_to_an_earlier_version_has_not_gone(stacks: Stacks, status: str) -> None:
    stacks.deploy(PLAIN)
    stacks.status = status
    assert (
        stacks.ask(DECLARE, "billing", stacks.asked[DECLARE, "billing"], kind="Delete")["Status"] == "SUCCESS"
    )
    assert stacks.facts().state is State.ACTIVE


def test_a_rollback_is_refused_nothing_whatever_is_wrong(stacks: Stacks) -> None:
    stacks.deploy(changed(PLAIN, fabric={"owner": "git/shop"}))
    asked = dict(stacks_of(changed(PLAIN, fabric={"owner": "git/other"}), HOME))
    stacks.status = "UPDATE_ROLLBACK_IN_PROGRESS"
    answer = stacks.ask(CHECK, "cell", asked["cell"])
    assert (answer["Status"], answer["Data"]) == ("SUCCESS", {"Version": ""})
    stacks.log_of = silent
    for resource in (CHECK, DECLARE):
        assert stacks.ask(resource, "billing", asked["billing"])["Status"] == "SUCCESS"
    stacks.status = "UPDATE_IN_PROGRESS"
    answer = stacks.ask(CHECK, "billing", asked["billing"], kind="Update")
    assert missing_from(answer["Reason"], "no reply") == []


def silent(stream: StreamTopology) -> Log:
    raise OutcomeUnknownError("Query", "no reply")


def test_a_deletion_never_fails(stacks: Stacks) -> None:
    stacks.deploy(PLAIN)
    stacks.log_of = silent
    assert stacks.delete("billing")["Status"] == "SUCCESS"
    assert stacks.delete("cell")["Status"] == "SUCCESS"


def test_a_cell_that_goes_is_declared(stacks: Stacks) -> None:
    stacks.deploy(PLAIN)
    stacks.delete("cell")
    assert not stacks.declared().declaration.stream.is_deployed


def test_rights_that_are_new_are_waited_for(stacks: Stacks) -> None:
    asked, calls = dict(stacks_of(PLAIN, HOME)), 0

    def denied(stream: StreamTopology) -> Log:
        nonlocal calls
        calls += 1
        if calls < 5:
            raise LastingError("Query", "not authorized", "denied")
        return stacks.fabric.ports().log_of(stream)

    stacks.log_of = denied
    assert stacks.ask(CHECK, "cell", asked["cell"])["Status"] == "SUCCESS"
    calls = -1000
    assert "not authorized" in stacks.ask(CHECK, "cell", asked["cell"], kind="Update")["Reason"]


def with_formats(wanted: Topology, formats: Formats) -> list[tuple[str, str]]:
    """Return what stacks ask that deploy a version that knows these formats."""
    own = {"reads_max": formats.reads, "writes": formats.writes, "version": f"of {formats.reads}"}
    return [(stack, json.dumps({**json.loads(asked), **own})) for stack, asked in stacks_of(wanted, HOME)]


def test_what_counts_are_the_formats_of_what_is_deployed_not_those_of_the_function_that_looks(
    stacks: Stacks,
) -> None:
    stacks.deploy(PLAIN)
    require(stacks.fabric, Formats(reads=LATER.reads))
    for stack, asked in with_formats(PLAIN, LATER):
        assert stacks.ask(CHECK, stack, asked)["Status"] == "SUCCESS"
        assert stack == "log" or stacks.ask(DECLARE, stack, asked)["Status"] == "SUCCESS"
    assert stacks.facts().formats == stacks.declared().declaration.stream.formats == LATER
    for stack, asked in stacks_of(PLAIN, HOME):
        answer = stacks.ask(CHECK, stack, asked)
        assert missing_from(answer["Reason"], "format 2", "up to 1", "eventfabric-aws 9.0 or later") == []


@pytest.mark.parametrize("stack", ["billing", "cell"])
def test_formats_that_are_raised_while_a_stack_is_deployed_refuse_its_declaration(
    stacks: Stacks, stack: str
) -> None:
    stacks.deploy(PLAIN)
    asked = dict(with_formats(PLAIN, Formats(1, 2)))[stack]

    def raised(called: str, overall: int, of_name: int) -> None:
        if called == "log.append" and of_name == 1:
            require(stacks.fabric, LATER)

    faults = Faults(raised)
    stacks.log_of = lambda stream: faults.log(stacks.fabric.ports().log_of(stream))
    assert stacks.ask(CHECK, stack, asked)["Status"] == "SUCCESS"
    reason = stacks.ask(DECLARE, stack, asked)["Reason"]
    assert missing_from(reason, "format 2", "up to 1", "eventfabric-aws 9.0 or later") == []
    assert faults.count("log.append") == 1
    assert stacks.facts().formats == stacks.declared().declaration.stream.formats == OWN_FORMATS


def test_a_stack_that_returns_to_an_earlier_version_is_declared_with_what_that_one_knows(
    stacks: Stacks,
) -> None:
    stacks.deploy(PLAIN)
    before, asked = stacks.facts(), dict(with_formats(PLAIN, LATER))["billing"]
    was = dict(stacks.asked)
    assert stacks.ask(DECLARE, "billing", asked)["Status"] == "SUCCESS"
    require(stacks.fabric, Formats(reads=LATER.reads))
    stacks.roll_back(was, "billing")
    assert stacks.facts() == before
    assert stacks.facts().formats == OWN_FORMATS
    assert stacks.declared().declaration.stream.required.reads == LATER.reads


def test_a_table_restored_from_yesterday_is_declared_anew_where_somebody_says_so() -> None:
    fabric = MemoryFabric(PLAIN)
    stacks = Stacks(fabric)
    stacks.deploy(PLAIN)
    restored = Stacks(MemoryFabric(PLAIN), asked=dict(stacks.asked))
    assert restored.deploy(PLAIN) == ""  # CloudFormation asks nothing
    again = declarations.asked_of_cell(PLAIN, HOME, again="1")
    assert restored.ask(DECLARE, "cell", again)["Status"] == "SUCCESS"
    assert stacks.declared().version.is_after(restored.declared().tail)
    asked = declarations.asked_of_subscription(PLAIN, PLAIN.subscription("billing"), again="1")
    answer = restored.ask(CHECK, "billing", asked)
    assert CatalogueVersion.parse(answer["Data"]["Version"]) == restored.declared().version
    assert restored.ask(DECLARE, "billing", asked)["Status"] == "SUCCESS"
    assert restored.facts().state is State.ACTIVE
