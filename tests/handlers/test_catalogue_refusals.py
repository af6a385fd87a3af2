"""Refusals of what a deployment would lose, or mix up, and one stack alone cannot tell from its definition."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.errors import LastingError
from eventfabric.model import Region
from eventfabric.model.catalogue import State
from eventfabric.ports import Log, Ports
from eventfabric.resources import CHECK, DECLARE
from eventfabric.services.catalogue.check import CLOSING_SECONDS
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.topology import Topology
from tests.handlers.test_catalogue import OTHERS, PLAIN, WIDE, changed, without
from tests.support.declaring_stacks import Stacks, stacks_of
from tests.support.formats import LATER, require
from tests.support.memory_fabric import AWAY, FAR, HOME, STREAM, MemoryFabric, event, lane
from tests.support.messages import missing_from
from tests.support.subscribed_stream import topology

CLOSING = changed(WIDE, fabric={"closing": (AWAY,)})
ONLY_HOME = changed(WIDE, regions=(HOME,))


def both(wanted: Topology = WIDE) -> tuple[Stacks, Stacks]:
    """Stacks of both Regions, in which this is deployed."""
    fabric = MemoryFabric(wanted)
    home, away = Stacks(fabric), Stacks(fabric, AWAY)
    assert [home.deploy(wanted), away.deploy(wanted)] == ["", ""]
    return home, away


def closed() -> tuple[Stacks, Stacks]:
    """Stacks of both Regions, once the second Region has been closing for long enough."""
    home, away = both()
    assert [home.deploy(CLOSING), away.deploy(CLOSING)] == ["", ""]
    home.fabric.clock.advance(CLOSING_SECONDS)
    return home, away


def lacking(stacks: Stacks, *streams: str) -> Callable[[StreamTopology], Log]:
    """Have DynamoDB say that tables of these streams are missing, as it also does while one is not active."""

    def log_of(stream: StreamTopology) -> Log:
        if stream.name in streams:
            raise LastingError("Query", "ResourceNotFoundException: Requested resource not found", "missing")
        return stacks.fabric.ports(stacks.region).log_of(stream)

    return log_of


def silent(region: Region) -> Ports:
    """Ports of another Region that gives no answer."""
    return Faults(lambda *_: Fault.LOST_REQUEST).ports(MemoryFabric(WIDE).ports(region))


class TestLives:
    """A name begins anew once its former incarnation is retired in every Region."""

    def test_a_new_stack_is_refused_while_an_earlier_incarnation_lives_elsewhere(self) -> None:
        home, away = both(PLAIN)
        home.retire()  # and the other Region gave no answer
        assert home.delete("billing")["Status"] == "SUCCESS"
        home.asked.pop((CHECK, "billing"))
        said = home.deploy(PLAIN)
        words = ("subscriptions.billing", "is active in eu-west-1", "subscriptions retire billing")
        assert missing_from(said, *words) == []
        assert home.facts().state is State.RETIRED
        away.retire()
        assert home.deploy(PLAIN) == ""
        assert home.facts().incarnation == 1
        assert away.facts().incarnation == 0

    def test_whatever_else_is_deployed_is_not_refused(self) -> None:
        home, away = both(PLAIN)
        home.retire()
        other = changed(PLAIN, express=False)
        assert [home.deploy(other), away.deploy(other)] == ["", ""]
        assert (home.facts().state, away.facts().state) == (State.RETIRED, State.ACTIVE)

    def test_a_region_that_comes_later_joins_the_incarnation_of_the_others(self) -> None:
        home, away = both(PLAIN)
        for stacks in (home, away):
            stacks.retire()
            stacks.delete("billing")
            stacks.asked.pop((CHECK, "billing"))
        assert [home.deploy(PLAIN), away.deploy(PLAIN)] == ["", ""]
        assert (home.facts().incarnation, away.facts().incarnation) == (1, 1)

    def test_a_region_that_comes_back_begins_with_the_others_once_its_former_life_is_retired(self) -> None:
        home, away = both(PLAIN)
        away.delete("billing")  # and the Region was taken out
        home.retire()
        home.delete("billing")
        anew = dict(stacks_of(changed(PLAIN, regions=(HOME,)), HOME))["billing"]
        assert home.ask(DECLARE, "billing", anew, kind="Create")["Status"] == "SUCCESS"
        home.fabric.cloud.replicate()
        away.asked.pop((CHECK, "billing"))
        assert "is undeployed in eu-west-1" in away.deploy(PLAIN)
        away.retire()
        assert away.deploy(PLAIN) == ""
        assert (home.facts().incarnation, away.facts().incarnation) == (1, 1)


class TestRegionsOutOfAStream:
    """A Region goes in steps, whichever stacks are deployed."""

    @pytest.mark.parametrize("stack", ["log", "cell"])
    def test_no_stack_takes_out_a_region_that_is_not_closing(self, stack: str) -> None:
        home, _ = both()
        asked = dict(stacks_of(ONLY_HOME, HOME))[stack]
        said = home.ask(CHECK, stack, asked)["Reason"]
        assert missing_from(said, "eu-west-1 taken out", "not declared as closing in us-east-1") == []

    def test_what_a_cell_has_declared_alone_keeps_nothing_from_the_check_of_the_tables(self) -> None:
        home, _ = closed()
        home.fabric.put(event("a"), of=lane(origin=AWAY))  # nobody has delivered it
        wanted = dict(stacks_of(ONLY_HOME, HOME))
        home.elsewhere = silent  # it has no rights there
        for resource in (CHECK, DECLARE):
            assert home.ask(resource, "cell", wanted["cell"])["Status"] == "SUCCESS"
        home.elsewhere = None
        assert home.declared().declaration.stream.regions == (HOME,)
        assert "eu-west-1 taken out" in home.ask(CHECK, "log", wanted["log"])["Reason"]

    def test_a_region_that_only_has_the_table_yet_is_taken_out_again(self) -> None:
        narrow = changed(WIDE, regions=(HOME,))
        fabric = MemoryFabric(WIDE)
        home = Stacks(fabric)
        assert home.deploy(narrow) == ""
        assert home.ask(CHECK, "log", dict(stacks_of(WIDE, HOME))["log"])["Status"] == "SUCCESS"
        assert home.deploy(narrow) == ""  # the cell was not deployed, or failed

    def test_a_region_leaves_one_stream_and_stays_in_another(self) -> None:
        home, away = closed()
        assert home.deploy(ONLY_HOME) == ""  # and the replica is removed
        away.log_of = lacking(away, STREAM)
        assert away.deploy(ONLY_HOME) == ""

    def test_a_region_that_is_gone_for_good_is_asked_nothing(self) -> None:
        home, _ = both()
        assert home.deploy(CLOSING) == ""
        home.fabric.clock.advance(CLOSING_SECONDS)
        home.elsewhere = silent
        asked = dict(stacks_of(ONLY_HOME, HOME))["log"]
        assert "not known if something is left of it" in home.ask(CHECK, "log", asked)["Reason"]
        gone = changed(ONLY_HOME, fabric={"lost": (AWAY,)})
        assert home.ask(CHECK, "log", dict(stacks_of(gone, HOME))["log"])["Status"] == "SUCCESS"


class TestTablesThatAreNotActive:
    """DynamoDB calls them missing. Only a stream that is new to a stack may have no table."""

    @pytest.mark.parametrize("stack", ["log", "cell", "billing"])
    def test_a_change_is_refused_while_nobody_knows_what_it_would_lose(self, stack: str) -> None:
        home, _ = both(PLAIN)
        home.log_of = lacking(home, STREAM)
        answer = home.ask(CHECK, stack, dict(stacks_of(changed(PLAIN, lanes=8), HOME))[stack])
        assert missing_from(answer["Reason"], "streams.orders", "no table shop-orders in us-east-1") == []

    def test_a_stream_that_is_new_has_no_table_yet(self) -> None:
        home, _ = both(PLAIN)
        home.log_of = lacking(home, "other")
        assert home.ask(CHECK, "log", dict(stacks_of(WIDE, HOME))["log"])["Status"] == "SUCCESS"

    def test_a_stream_that_goes_is_looked_at(self) -> None:
        home, _ = both()
        home.log_of = lacking(home, "other")
        for stack in ("log", "cell"):
            asked = dict(stacks_of(without(WIDE, "other"), HOME))[stack]
            assert "no table shop-other" in home.ask(CHECK, stack, asked)["Reason"]


def test_the_stack_of_the_tables_keeps_a_stream_that_somebody_waits_for() -> None:
    home, _ = both()
    said = home.ask(CHECK, "log", dict(stacks_of(without(WIDE, "other"), HOME))["log"])["Reason"]
    assert (
        missing_from(said, "streams.other", "audit as active in us-east-1", "audit as active in eu-west-1")
        == []
    )


def moved(wanted: Topology, name: str, stream: str) -> Topology:
    own = wanted.definition.subscriptions
    subscriptions = {**own, name: replace(own[name], stream=stream)}
    return Topology(replace(wanted.definition, subscriptions=subscriptions))


class TestAnotherStreamForASubscription:
    """It is another subscription, of the same name."""

    def test_it_is_refused_until_the_former_one_is_retired(self) -> None:
        home, away = both()
        wanted = moved(WIDE, "billing", "other")
        said = home.deploy(wanted)
        assert (
            missing_from(said, "subscriptions.billing", "stream orders has it as active in us-east-1") == []
        )
        home.retire()
        assert home.deploy(wanted) == ""
        assert home.facts("billing", "other").state is State.ACTIVE
        for stacks, stream in ((away, STREAM), (home, "other")):
            stacks.retire("billing", stream)
        assert home.deploy(WIDE) == ""
        assert (home.facts().state, home.facts().incarnation) == (State.ACTIVE, 1)

    def test_after_a_rollback_nothing_rings_for_it_in_the_other_stream(self) -> None:
        home, _ = both()
        home.retire()
        before = home.facts()
        assert home.deploy(moved(WIDE, "billing", "other"), until="billing") != ""
        assert home.facts("billing", "other").state is State.UNDEPLOYED
        assert home.facts() == before


@pytest.mark.parametrize("kind", [CHECK, DECLARE])
def test_a_handler_whose_target_requires_a_later_format_is_refused(kind: str) -> None:
    wanted = topology(others=OTHERS + 'publishes = ["orders"]\n')
    home = Stacks(MemoryFabric(wanted))
    asked = dict(stacks_of(wanted, HOME))
    for stack in ("log", "cell"):
        for resource in (CHECK,) if stack == "log" else (CHECK, DECLARE):
            assert home.ask(resource, stack, asked[stack])["Status"] == "SUCCESS"
    require(home.fabric, LATER)
    reason = home.ask(kind, "audit", asked["audit"])["Reason"]
    assert missing_from(reason, "streams.orders", "format 2", "eventfabric-aws 9.0 or later") == []
    home.log_of = lacking(home, STREAM)  # not every Region has all streams
    assert home.ask(kind, "audit", asked["audit"])["Status"] == "SUCCESS"


def test_a_declaration_compares_again() -> None:
    home, _ = both(PLAIN)
    asked = dict(stacks_of(changed(PLAIN, lanes=8), HOME))["cell"]
    assert home.ask(CHECK, "cell", asked)["Status"] == "SUCCESS"
    home.fabric.put(event("a"))
    assert "lane us-east-1/0.0 has events" in home.ask(DECLARE, "cell", asked)["Reason"]
    assert home.declared().declaration.stream.lanes == 2


class TestOrderOfRegions:
    """A stream's first Region is that of the fabric's order, whatever the stream's own order."""

    @staticmethod
    def of(lanes: int, *regions: Region) -> Topology:
        named = ", ".join(f'"{region}"' for region in regions)
        text = f"""
            [fabric]
            name = "shop"
            regions = ["{HOME}", "{FAR}", "{AWAY}"]
            [streams.base]
            [streams.orders]
            regions = [{named}]
            lanes = {lanes}
        """
        return Topology(parse_definition(text))

    @pytest.mark.parametrize("regions", [(AWAY, FAR), (AWAY, HOME)])
    def test_lanes_of_an_unused_stream_are_changed_in_the_order_of_a_deployment(
        self, regions: tuple[Region, Region]
    ) -> None:
        wanted = [self.of(lanes, *regions) for lanes in (2, 8)]
        fabric = MemoryFabric(wanted[0])
        first = Region(wanted[0].first_of(fabric.stream))
        assert first != AWAY
        own = {region: Stacks(fabric, region) for region in (first, AWAY)}
        assert [own[region].deploy(wanted[0]) for region in own] == ["", ""]
        assert "deploy" in own[AWAY].deploy(wanted[1])
        assert [own[region].deploy(wanted[1]) for region in own] == ["", ""]

    def test_whoever_is_first_and_comes_later_is_compared_with_the_others(self) -> None:
        fabric = MemoryFabric(PLAIN)
        home, away = Stacks(fabric), Stacks(fabric, AWAY)
        assert away.deploy(PLAIN) == ""
        said = home.deploy(topology(8))
        words = ("streams.orders.lanes: found 8", "2 is declared in eu-west-1", "deploy eu-west-1 before")
        assert missing_from(said, *words) == []
        assert home.deploy(PLAIN) == ""
