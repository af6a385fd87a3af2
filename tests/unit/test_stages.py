"""Stages: all names of a fabric's resources carry its stage, and no two fabrics and stages share a name."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from eventfabric import limits
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition, FabricSection
from eventfabric.deployment.alarms import alarms_of, objectives_of
from eventfabric.topology import Topology
from tests.support.refused_definitions import refusal

REGIONS = ("us-east-1", "us-gov-west-1")
KINDS = ("keys", "log", "cell", "watch")
PARTS = st.sampled_from(
    ["shop", "dev", "x", "a", "1", "keys", "log", "us", "east", "ledger", "relay", "dead"]
)
NAMES = st.lists(PARTS, min_size=1, max_size=3).map("-".join).filter(lambda name: name[0].isalpha())
STAGES = st.none() | st.sampled_from(["dev", "x", "devx", "prod1", "keys", "a1"])
DEFINITION = """
[fabric]
name = "{fabric}"
regions = ["us-east-1", "us-gov-west-1"]
[streams.{stream}]
[streams.money]
durability = "regional"
regions = ["us-east-1"]
[subscriptions.{subscription}]
stream = "{stream}"
handler = "a.b:c"
slo.latency_ms = 1000
"""


def definition_of(fabric: str, stream: str, subscription: str) -> Definition:
    return parse_definition(DEFINITION.format(fabric=fabric, stream=stream, subscription=subscription))


def with_stage(definition: Definition, stage: str | None) -> Topology:
    return Topology(replace(definition, fabric=replace(definition.fabric, stage=stage)))


def names_of(topology: Topology) -> Iterator[tuple[str, str]]:
    """Yield kind and name of everything in an account that has a name."""
    for table in topology.tables:
        yield "table", table.name
        yield "policy", f"{table.name}-publisher"
        yield "policy", f"{table.name}-operator"
    for subscription in topology.subscriptions.values():
        for queue in (subscription.queue, subscription.timers):
            yield "queue", queue.name
            yield "queue", queue.dead_letter_name
    yield "queue", topology.relay_dead_name
    yield "queue", topology.reconcile_dead_name
    for region in topology.regions:
        for function in topology.functions(region):
            yield "function", function.name
        for alarm in alarms_of(topology, region):
            yield "alarm", alarm.name
        for objective in objectives_of(topology, region):
            yield "objective", objective.name
        for kind in KINDS:
            yield "stack", topology.stack_name(kind, region)
        for name in topology.subscriptions:
            for kind in ("subscription", "watch"):
                yield "stack", topology.stack_name(kind, region, subscription=name)
    yield "function", topology.lookup_name
    for of_log in (False, True):
        yield "function", topology.catalogue_function(topology.home, of_log=of_log).name
    yield "alias", topology.key_alias
    yield "machine", topology.backfill_machine_name
    yield "schedule", topology.reconcile_schedule_name
    yield "dashboard", topology.fabric


@given(
    fabrics=st.tuples(NAMES, NAMES),
    stages=st.tuples(STAGES, STAGES),
    streams=st.tuples(NAMES, NAMES),
)
@example(fabrics=("shop", "shop-dev"), stages=("dev", "x"), streams=("orders", "orders"))
@example(fabrics=("shop", "shop-dev"), stages=("dev", None), streams=("orders", "orders"))
@example(fabrics=("shop", "shop"), stages=("dev", None), streams=("orders", "dev-orders"))
@example(fabrics=("shop", "shop-keys-us-east-1"), stages=("log", None), streams=("orders", "orders"))
def test_no_two_fabrics_and_stages_share_a_name(
    fabrics: tuple[str, str], stages: tuple[str | None, str | None], streams: tuple[str, str]
) -> None:
    assume((fabrics[0], stages[0]) != (fabrics[1], stages[1]) and stages != (None, None))
    assume(not any(name.endswith("ledger") for name in streams))
    names = [
        set(names_of(with_stage(definition_of(fabric, stream, "audit"), stage)))
        for fabric, stage, stream in zip(fabrics, stages, streams, strict=True)
    ]
    assert not names[0] & names[1]


def test_every_name_carries_the_stage() -> None:
    for kind, name in names_of(with_stage(definition_of("shop", "orders", "billing"), "dev")):
        assert name.endswith("-dev") if kind == "stack" else name.startswith(("shop_dev", "alias/shop_dev"))


def test_without_a_stage_all_names_are_those_of_the_fabric() -> None:
    topology = with_stage(definition_of("shop", "orders", "billing"), None)
    assert [table.name for table in topology.tables] == ["shop-orders", "shop-money", "shop-ledger"]
    assert topology.stack_name("cell", "us-east-1") == "shop-cell-us-east-1"
    assert all(name.startswith(("shop", "alias/shop")) and "_" not in name for _, name in names_of(topology))


def test_the_longest_names_are_names_for_aws() -> None:
    longest = "n" * limits.NAME_CHARACTERS_MAX
    fabric = "f" * (limits.FABRIC_CHARACTERS_MAX - 1 - limits.STAGE_CHARACTERS_MAX)
    topology = with_stage(definition_of(fabric, longest, longest), "s" * limits.STAGE_CHARACTERS_MAX)
    assert len(topology.fabric) == limits.FABRIC_CHARACTERS_MAX
    most = {"function": 64, "schedule": 64, "queue": 80, "machine": 80}
    for kind, name in names_of(topology):
        assert len(name) <= most.get(kind, 128)


@pytest.mark.parametrize("stage", ["dev-x", "dev_x", "Dev", "1dev", "", "s" * 13, "dev\n", "é"])
def test_a_stage_of_other_characters_is_refused(stage: str) -> None:
    section = f'[fabric]\nname = "shop"\nstage = {stage!r}\nregions = ["us-east-1"]\n[streams.orders]'
    section = section.replace("'", '"')
    assert refusal(section).path == "fabric.stage"


def test_name_and_stage_fit_into_the_name_of_a_function_together() -> None:
    text = '[fabric]\nname = "{}"\nstage = "production"\nregions = ["us-east-1"]\n[streams.orders]'
    most = limits.FABRIC_CHARACTERS_MAX - len("_production")
    assert parse_definition(text.format("f" * most)).fabric == FabricSection(
        name="f" * most, stage="production", regions=("us-east-1",)
    )
    problem = refusal(text.format("f" * (most + 1)))
    assert (problem.path, "34" in problem.allowed) == ("fabric.stage", True)
