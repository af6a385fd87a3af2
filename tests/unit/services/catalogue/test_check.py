"""Checks of a deployment by what is declared: each refusal is one sentence with what, where, and what is allowed."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from eventfabric.errors import LastingError, Problem
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import State, SubscriptionFacts, in_state
from eventfabric.services.catalogue.check import CLOSING_SECONDS, Checker
from eventfabric.services.catalogue.declare import declare
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.topology import Topology
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric, event, lane
from tests.support.messages import missing_from
from tests.support.subscribed_stream import topology

LEFT = Problem("streams.orders.regions", "something", "nothing")


def nothing_left(
    stream: StreamTopology, subscriptions: Sequence[SubscriptionFacts], leaving: Region
) -> Iterable[Problem]:
    return []


def declared(wanted: Topology, *regions: Region) -> MemoryFabric:
    """A fabric in which a definition is declared in these Regions, by default all of them."""
    fabric = MemoryFabric(wanted)
    deploy(fabric, wanted, *regions)
    return fabric


def deploy(fabric: MemoryFabric, wanted: Topology, *regions: Region) -> None:
    for region in regions or (HOME, AWAY):
        declare_all(Deployer(wanted, region, fabric.ports(region), by="stack", request_id=str(id(wanted))))
    fabric.cloud.replicate()


def checker(
    fabric: MemoryFabric, wanted: Topology | None = None, region: Region = HOME, **ports: object
) -> Checker:
    own = replace(fabric.ports(region), **ports)  # type: ignore[arg-type]  # by their names
    return Checker(wanted or fabric.topology, region, own, nothing_left, one_after_another)


def sentence(problems: Iterable[Problem]) -> str:
    [problem] = problems
    return str(problem)


def changed(wanted: Topology, *, fabric: dict[str, object] | None = None, **stream: object) -> Topology:
    """The topology with other settings of the fabric, and of its stream."""
    definition = wanted.definition
    orders = replace(definition.streams[STREAM], **stream)  # type: ignore[arg-type]  # by their names
    section = replace(definition.fabric, **(fabric or {}))  # type: ignore[arg-type]  # by their names
    return Topology(replace(definition, fabric=section, streams={**definition.streams, STREAM: orders}))


PLAIN = topology()
CLOSING = changed(PLAIN, fabric={"closing": (AWAY,)})
WITHOUT = changed(PLAIN, regions=(HOME,))


def test_a_first_deployment_and_the_same_again_are_not_refused() -> None:
    for fabric in (MemoryFabric(PLAIN), declared(PLAIN)):
        check = checker(fabric)
        assert [*check.of_stream(fabric.stream), *check.of_regions(fabric.stream)] == []
        assert list(check.of_subscriptions(fabric.stream, ["billing"])) == []
        assert (check.version(fabric.stream) == "") == (not check.catalogue(fabric.stream, [HOME]))


def test_a_table_that_is_still_to_be_created_declares_nothing() -> None:
    def missing(stream: StreamTopology) -> object:
        def rule(called: str, overall: int, of_name: int) -> Fault | None:
            raise LastingError("Query", "no such table", cause)

        return Faults(rule).log(fabric.ports().log_of(stream))

    fabric, cause = declared(PLAIN), "missing"
    check = replace(checker(fabric, log_of=missing), without_table=[STREAM])
    assert [*check.of_stream(fabric.stream), *check.of_regions(fabric.stream)] == []
    assert check.version(fabric.stream) == ""
    cause = "denied"
    with pytest.raises(LastingError):
        list(check.of_stream(fabric.stream))


def test_a_second_owner_is_refused_by_the_name_of_the_first() -> None:
    fabric = declared(changed(PLAIN, fabric={"owner": "git/shop"}), HOME)
    for region in (HOME, AWAY):
        other = changed(PLAIN, fabric={"owner": "git/other"})
        said = sentence(checker(fabric, other, region).of_stream(other.stream(STREAM)))
        assert missing_from(said, "'git/other'", "'git/shop' has declared stream orders in us-east-1") == []
    assert "fabric.owner: found ''" in sentence(checker(fabric, PLAIN).of_stream(fabric.stream))


def test_a_fabric_is_handed_over_by_the_name_of_its_former_owner() -> None:
    fabric = declared(changed(PLAIN, fabric={"owner": "git/shop"}))
    handed = changed(PLAIN, fabric={"owner": "git/other", "former_owner": "git/shop"})
    assert not list(checker(fabric, handed).of_stream(handed.stream(STREAM)))
    deploy(fabric, handed)
    said = sentence(checker(fabric, changed(PLAIN, fabric={"owner": "git/shop"})).of_stream(fabric.stream))
    assert missing_from(said, "'git/shop', where 'git/other' has declared", "`former_owner`") == []
    stranger = changed(PLAIN, fabric={"owner": "git/third", "former_owner": "git/shop"})
    assert "'git/other' has declared" in sentence(checker(fabric, stranger).of_stream(fabric.stream))


def test_whoever_says_first_who_owns_a_fabric_may() -> None:
    owned = changed(PLAIN, fabric={"owner": "git/shop"})
    assert not list(checker(declared(PLAIN), owned).of_stream(owned.stream(STREAM)))


@pytest.mark.parametrize(("before", "after"), [(4, 2), (2, 8)])
def test_lanes_of_a_stream_in_use_stay_as_they_are(before: int, after: int) -> None:
    fabric, wanted = declared(topology(before)), topology(after)
    assert not list(checker(fabric, wanted).of_stream(wanted.stream(STREAM)))
    fabric.put(event("a"), of=lane(1))
    said = sentence(checker(fabric, wanted).of_stream(wanted.stream(STREAM)))
    words = (f"found {after}, where {before} is declared in us-east-1", "us-east-1/0.1 has events")
    assert missing_from(said, "streams.orders.lanes", *words, "another name") == []


def test_a_lane_whose_records_have_all_expired_is_in_use() -> None:
    fabric, wanted = declared(PLAIN), changed(PLAIN, durability="regional")
    tail = fabric.record(fabric.cloud.log(STREAM, HOME).tail(lane()), event("a")).tail
    fabric.cloud.log(STREAM, HOME).hold_place(lane(), tail)
    said = sentence(checker(fabric, wanted).of_stream(wanted.stream(STREAM)))
    assert missing_from(said, "streams.orders.durability", "found regional", "replicated is declared") == []


def test_lanes_are_read_only_if_something_is_different() -> None:
    fabric, faults = declared(PLAIN), Faults()
    fabric.put(event("a"))
    check = checker(fabric, log_of=lambda stream: faults.log(fabric.cloud.log(stream.name, HOME)))
    assert not list(check.of_stream(fabric.stream))
    assert faults.count("log.tail") == 1


def test_home_is_deployed_before_others() -> None:
    fabric = declared(PLAIN, HOME)
    wanted = changed(PLAIN, lanes=4)
    said = sentence(checker(fabric, wanted, AWAY).of_stream(wanted.stream(STREAM)))
    assert missing_from(said, "found 4, where 2 is declared in us-east-1", "deploy us-east-1 before") == []
    deploy(fabric, wanted, HOME)
    assert not list(checker(fabric, wanted, AWAY).of_stream(wanted.stream(STREAM)))


@pytest.mark.parametrize(("required", "verb"), [("reads_required", "reads"), ("writes_required", "writes")])
def test_a_format_of_a_later_version_is_refused(required: str, verb: str) -> None:
    fabric = declared(PLAIN, HOME)
    deployer = Deployer(PLAIN, HOME, fabric.ports(), by="command", request_id="raise")
    declare(
        fabric.ports().log_of(fabric.stream),
        DeclarationLane.of(HOME, StreamName(STREAM)),
        lambda read: (
            read
            and read.with_stream(
                replace(read.stream, **{required: 2}),  # type: ignore[arg-type]  # by its name
                deployer.change("format raised"),
            )
        ),
        clock=fabric.clock,
        entropy=fabric.entropy,
        source="/shop/orders",
    )
    said = sentence(checker(fabric).of_stream(fabric.stream))
    assert (
        missing_from(
            said,
            f"format 2, where the version that would be deployed {verb} formats up to 1",
            "a later version",
        )
        == []
    )


class TestRegionsThatAreTakenOut:
    """A Region is closing for a while, everywhere, before it goes."""

    def test_it_has_to_be_closing_first(self) -> None:
        said = sentence(checker(declared(PLAIN), WITHOUT).of_regions(WITHOUT.stream(STREAM)))
        words = (
            "eu-west-1 taken out",
            "not declared as closing in us-east-1",
            "in eu-west-1",
            f"{CLOSING_SECONDS} s before",
        )
        assert missing_from(said, *words) == []

    def test_it_has_to_be_closing_in_all_regions(self) -> None:
        fabric = declared(PLAIN)
        deploy(fabric, CLOSING, HOME)
        fabric.clock.advance(seconds=CLOSING_SECONDS)
        said = sentence(checker(fabric, WITHOUT).of_regions(WITHOUT.stream(STREAM)))
        assert missing_from(said, "not declared as closing in eu-west-1") == []
        assert "closing in us-east-1" not in said

    def test_caches_have_to_end_first(self) -> None:
        fabric = declared(PLAIN)
        deploy(fabric, CLOSING)
        fabric.clock.advance(seconds=CLOSING_SECONDS - 0.001)
        said = sentence(checker(fabric, WITHOUT).of_regions(WITHOUT.stream(STREAM)))
        assert missing_from(said, f"closing in us-east-1 for only {CLOSING_SECONDS - 1} s") == []
        fabric.clock.advance(seconds=0.001)
        assert not list(checker(fabric, WITHOUT).of_regions(WITHOUT.stream(STREAM)))

    def test_a_region_that_is_gone_for_good_declares_nothing_any_more(self) -> None:
        fabric = declared(PLAIN)
        deploy(fabric, CLOSING, HOME)
        fabric.clock.advance(seconds=CLOSING_SECONDS)
        gone = changed(WITHOUT, fabric={"lost": (AWAY,)})
        assert not list(checker(fabric, gone).of_regions(gone.stream(STREAM)))

    def test_what_is_left_of_it_is_looked_for_once_it_is_closed(self) -> None:
        asked = list[tuple[str, list[str], Region]]()

        def left(
            stream: StreamTopology, subscriptions: Sequence[SubscriptionFacts], leaving: Region
        ) -> Iterable[Problem]:
            asked.append((stream.name, [facts.name for facts in subscriptions], leaving))
            return [LEFT]

        fabric = declared(PLAIN)
        check = replace(checker(fabric, WITHOUT), leftovers=left)
        assert sentence(check.of_regions(WITHOUT.stream(STREAM))) != str(LEFT)
        deploy(fabric, CLOSING)
        fabric.clock.advance(seconds=CLOSING_SECONDS)
        assert asked == []
        assert list(check.of_regions(WITHOUT.stream(STREAM))) == [LEFT]
        assert asked == [(STREAM, ["billing"], AWAY)]

    def test_what_the_region_itself_declares_counts_though_it_has_not_come_here(self) -> None:
        fabric = declared(PLAIN)
        deploy(fabric, CLOSING)
        fabric.clock.advance(seconds=CLOSING_SECONDS)
        fabric.cloud.cut(AWAY)
        deploy(fabric, changed(PLAIN), AWAY)  # opened again
        said = sentence(checker(fabric, WITHOUT).of_regions(WITHOUT.stream(STREAM)))
        assert missing_from(said, "not declared as closing in eu-west-1") == []
        assert "us-east-1 for" not in said

    @pytest.mark.parametrize("regions", [(HOME, AWAY), (AWAY, HOME)])
    def test_of_a_subscription_that_is_declared_otherwise_what_the_region_says_counts(
        self, regions: tuple[Region, ...]
    ) -> None:
        closing = changed(CLOSING, regions=regions)
        narrower = replace(closing.subscription("billing").definition, types=("shipped",))
        fabric = declared(closing)
        at_home = Topology(replace(closing.definition, subscriptions={"billing": narrower}))
        deploy(fabric, at_home, HOME)
        fabric.clock.advance(seconds=CLOSING_SECONDS)
        assert [facts.types for facts in looked_for(fabric)] == [None]

    def test_every_incarnation_counts_that_is_not_retired_in_some_region(self) -> None:
        fabric = declared(CLOSING)
        fabric.clock.advance(seconds=CLOSING_SECONDS)
        move(fabric, State.RETIRED)
        assert [(facts.incarnation, facts.state) for facts in looked_for(fabric)] == [(0, State.ACTIVE)]
        deploy(fabric, changed(CLOSING), HOME)
        assert sorted(facts.incarnation for facts in looked_for(fabric)) == [0, 1]


def looked_for(fabric: MemoryFabric) -> list[SubscriptionFacts]:
    """Return for which subscriptions leftovers are looked for, where the second Region is taken out."""
    asked = list[SubscriptionFacts]()

    def left(
        stream: StreamTopology, subscriptions: Sequence[SubscriptionFacts], leaving: Region
    ) -> Iterable[Problem]:
        asked.extend(subscriptions)
        return []

    check = replace(checker(fabric, WITHOUT), leftovers=left)
    assert list(check.of_regions(WITHOUT.stream(STREAM))) == []
    return asked


class TestSubscriptionsThatAreGone:
    """Nobody waits any more for what was retired, and for nothing else."""

    @pytest.mark.parametrize("state", [None, State.UNDEPLOYED, State.DRAINING, State.RETIRED])
    def test_a_subscription_goes_once_it_is_retired(self, state: State | None) -> None:
        fabric = declared(PLAIN)
        if state is not None:
            move(fabric, state)
        problems = list(checker(fabric).of_subscriptions(fabric.stream, ["renamed"]))
        if state is State.RETIRED:
            assert problems == []
            return
        words = (
            "subscriptions.billing",
            f"as {state or 'active'} in us-east-1",
            "subscriptions retire billing",
        )
        assert missing_from(sentence(problems), *words) == []

    def test_a_stream_goes_once_its_subscriptions_are_retired_in_all_regions(self) -> None:
        fabric = declared(PLAIN)
        move(fabric, State.RETIRED)
        said = sentence(checker(fabric).of_stream_gone(fabric.stream))
        words = ("streams.orders", "no such stream", "billing as active in eu-west-1", "retire billing")
        assert missing_from(said, *words) == []
        move(fabric, State.RETIRED, AWAY)
        assert not list(checker(fabric).of_stream_gone(fabric.stream))


def move(fabric: MemoryFabric, state: State, region: Region = HOME) -> None:
    """Declare the subscription in another state, as operators and deleted stacks do."""
    deployer = Deployer(fabric.topology, region, fabric.ports(region), by="command", request_id=state)
    change = deployer.change(state, "billing")
    declare(
        fabric.ports(region).log_of(fabric.stream),
        DeclarationLane.of(region, StreamName(STREAM)),
        lambda read: read and in_state(read, "billing", state, change),
        clock=fabric.clock,
        entropy=fabric.entropy,
        source="/shop/orders",
    )
    fabric.cloud.replicate()
