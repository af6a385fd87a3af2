"""Shrinking: what is not needed goes, what is left shows the same, and every plan that is tried can be run."""

from collections.abc import Callable
from zlib import crc32

import msgspec
import pytest
from msgspec.structs import replace

from eventfabric.definition.file import parse_definition
from eventfabric.definition.guarantee import Guarantee
from eventfabric.testing.simulation.plainer import ALL, plainer
from eventfabric.testing.simulation.plan import (
    FINE,
    Conduct,
    Happening,
    Plan,
    PlannedEvent,
    PlannedSubscription,
    Publish,
)
from eventfabric.testing.simulation.shrink import NotShownError, Shrunk, shrink
from eventfabric.testing.simulation.world import definition_of
from eventfabric.topology import Topology
from tests.simulation.profiles import PROFILES
from tests.simulation.trials import tried

REGIONS = ("us-east-1", "eu-west-1", "ap-south-1")
PLAN = Plan(
    seed=7,
    profile="default",
    regions=REGIONS,
    lanes=4,
    durability="replicated",
    subscriptions=(
        PlannedSubscription("billing", guarantee=Guarantee.EXACTLY_ONCE, order="none", consumers=3, batch=3),
        PlannedSubscription("shipping", deliver="everywhere", types=("paid",)),
    ),
    producers=("us-east-1", "ap-south-1"),
    publishes=tuple(
        Publish(
            10.123 * number,
            number % 2,
            (
                PlannedEvent(
                    f"e{number}", "ab"[number % 2], conduct=Conduct(fails=3) if number == 3 else FINE
                ),
                PlannedEvent(f"f{number}", "c", "paid"),
            ),
            ("acks2", "once", "transaction")[number % 3],
        )
        for number in range(6)
    ),
    happenings=(
        Happening(1.0, "deploy", "us-east-1", "eu-west-1"),
        Happening(20.5, "failover", "eu-west-1", "us-east-1", 10.0, 1),
        Happening(30.5, "region_loss", "ap-south-1", "us-east-1", 10.0),
        Happening(40.5, "days_pass", "us-east-1", number=1),
    ),
    rates={"crash": 0.1, "slow": 0.05, "stall": 0.01},
    retention_days=1,
    failover=True,
    shards=2,
    slowness=20.0,
)


def test_only_what_is_needed_is_left() -> None:
    def shows(plan: Plan) -> bool:
        happened = any(
            (happening.what, happening.region) == ("failover", "eu-west-1") for happening in plan.happenings
        )
        return happened and "e3" in plan.events and "slow" in plan.rates

    shrunk = shrink(PLAN, shows)
    assert shrunk.is_minimal
    assert shrunk.plan == Plan(
        seed=7,
        profile="default",
        regions=("eu-west-1",),
        lanes=1,
        durability="regional",
        subscriptions=(PlannedSubscription("shipping"),),
        producers=("eu-west-1",),
        publishes=(Publish(30.0, 0, (PlannedEvent("e3", "b"),)),),
        happenings=(Happening(20.0, "failover", "eu-west-1", "", 10.0),),
        rates={"slow": 0.05},
    )


@pytest.mark.parametrize(
    ("keeps", "expected"),
    [
        (lambda plan: any(subscription.consumers > 1 for subscription in plan.subscriptions), ("billing", 2)),
        (
            lambda plan: any(subscription.name == "billing" for subscription in plan.subscriptions),
            ("billing", 1),
        ),
    ],
    ids=["consumers", "none"],
)
def test_consumers_go_one_by_one(keeps: Callable[[Plan], bool], expected: tuple[str, int]) -> None:
    (left,) = shrink(PLAN, keeps).plan.subscriptions
    assert (left.name, left.consumers) == expected


@pytest.mark.parametrize("least", [1, 2, 3, 4])
def test_lanes_stay_powers_of_two(least: int) -> None:
    assert shrink(PLAN, lambda plan: plan.lanes >= least).plan.lanes == (1, 2, 4, 4)[least - 1]


def test_a_conduct_that_is_needed_is_made_as_small_as_it_can_be() -> None:
    (event,) = shrink(
        PLAN, lambda plan: any(planned_event.conduct.fails for planned_event in plan.events.values())
    ).plan.events.values()
    assert (event.id, event.conduct) == ("e3", Conduct(fails=1))


def test_the_same_plan_is_shrunk_the_same_way_and_nothing_is_asked_twice() -> None:
    asked: list[bytes] = []

    def shows(plan: Plan) -> bool:
        asked.append(msgspec.json.encode(plan))
        return len(plan.events) >= 3

    first = shrink(PLAN, shows)
    assert len(asked) == len(set(asked)) == first.runs
    assert shrink(PLAN, shows) == first


def test_nothing_more_can_go_from_a_minimal_plan() -> None:
    def shows(plan: Plan) -> bool:
        return len({event.key for event in plan.events.values()}) >= 2 and len(plan.regions) >= 2

    left = shrink(PLAN, shows).plan
    smaller = [
        part.without(left, range(number, number + 1))
        for part in ALL.parts
        for number in range(part.count(left))
    ]
    assert not [plan for plan in (*smaller, *plainer(left)) if plan is not None and shows(plan)]
    assert len(left.events) == 2


def test_another_schedule_is_tried_where_the_own_one_shows_it_no_more() -> None:
    def shows(plan: Plan) -> bool:
        return len(plan.publishes) == len(PLAN.publishes) or (plan.seed == 3 and bool(plan.events))

    shrunk = shrink(PLAN, shows, other_seeds=(1, 3))
    assert (shrunk.plan.seed, len(shrunk.plan.events)) == (3, 1)
    stayed = shrink(PLAN, shows, other_seeds=())
    assert (stayed.plan.seed, len(stayed.plan.publishes)) == (7, 6)


def test_the_number_of_runs_is_bounded_and_what_was_reached_by_then_is_kept() -> None:
    sizes: list[int] = []
    shrunk = shrink(
        PLAN, lambda plan: "e3" in plan.events, runs_max=9, tell=lambda plan, runs: sizes.append(runs)
    )
    assert (shrunk.runs, shrunk.is_minimal) == (9, False)
    assert shrunk.plan.size < PLAN.size
    assert "e3" in shrunk.plan.events
    assert sizes == sorted(set(sizes))


def test_it_ends_when_it_is_time_but_never_before_it_knows_that_the_plan_shows_it() -> None:
    shrunk = shrink(PLAN, lambda plan: "e3" in plan.events, stop=lambda: True)
    assert shrunk == Shrunk(PLAN, 1, is_minimal=False)
    with pytest.raises(NotShownError):
        shrink(PLAN, lambda plan: False, stop=lambda: True)


def test_a_plan_that_does_not_show_it_is_refused() -> None:
    with pytest.raises(ValueError, match="seed 7 of profile default does not show it"):
        shrink(PLAN, lambda plan: False)


@pytest.mark.parametrize("salt", range(6))
@pytest.mark.parametrize("durability", ["replicated", "quorum"])
def test_every_plan_that_is_tried_can_be_run(durability: str, salt: int) -> None:
    """Whatever goes, and in whichever order."""
    begin = PLAN
    if durability == "quorum":
        plain = tuple(
            replace(subscription, guarantee=Guarantee.AT_LEAST_ONCE) for subscription in PLAN.subscriptions
        )
        publishes = tuple(replace(publish, how="many") for publish in PLAN.publishes)
        begin = replace(PLAN, durability="quorum", subscriptions=plain, publishes=publishes, retention_days=0)

    def shows(plan: Plan) -> bool:
        Topology(parse_definition(definition_of(plan)))
        assert all(publish.producer < len(plan.producers) and publish.events for publish in plan.publishes)
        assert set(plan.producers) <= set(plan.regions)
        assert {happening.region for happening in plan.happenings} | {
            happening.other for happening in plan.happenings
        } <= {
            "",
            *plan.regions,
        }
        assert plan.durability == "replicated" or all(publish.how != "acks2" for publish in plan.publishes)
        return plan is begin or crc32(msgspec.json.encode(plan), salt) % 3 > 0

    assert shrink(begin, shows, runs_max=150).plan.size < begin.size


@pytest.mark.parametrize("seed", range(4))
def test_a_simulated_plan_is_shrunk_to_one_that_does_the_same(seed: int) -> None:
    def shows(plan: Plan) -> bool:
        outcome, _ = tried(plan)
        return not outcome.broke and outcome.entries > 20

    plan = PROFILES["default"].plan(seed)
    shrunk = shrink(plan, shows, runs_max=40)
    assert shows(shrunk.plan)
    assert shrunk.plan.size < plan.size
