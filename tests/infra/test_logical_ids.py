"""Logical ids of what holds data never change by themselves: CloudFormation replaces what gets another."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventfabric.definition.file import parse_definition
from tests.infra.logical_ids import QUEUES, RENEW, SNAPSHOT, STATEFUL, ids_of, recorded
from tests.infra.synthesis import Synthesised, synthesise
from tests.support.messages import TextWith

FABRIC = '[fabric]\nname = "grown"\nregions = [{}]\n'
REGIONS = '"eu-west-1", "us-east-1"'
STREAMS = ("[streams.orders]\n", "[streams.parcels]\n")
SUBSCRIPTIONS = tuple(
    f'[subscriptions.{name}]\nstream = "{stream}"\nhandler = "subscribers.analytics:record"\n'
    for name, stream in (("billing", "orders"), ("labels", "parcels"))
)
BEFORE = FABRIC.format(REGIONS) + "".join(STREAMS + SUBSCRIPTIONS)
ANOTHER_STREAM = "[streams.aaa]\n"
ANOTHER_SUBSCRIPTION = '[subscriptions.aaa]\nstream = "orders"\nhandler = "subscribers.analytics:record"\n'
GROWN = {
    "a stream, before the others": FABRIC.format(REGIONS) + ANOTHER_STREAM + "".join(STREAMS + SUBSCRIPTIONS),
    "a quorum stream, in Regions that come along": FABRIC.format(f'{REGIONS}, "us-east-2", "us-west-2"')
    + "".join(STREAMS + SUBSCRIPTIONS)
    + '[streams.money]\ndurability = "quorum"\nregions = ["us-east-1", "us-east-2", "us-west-2"]\n',
    "a subscription, before the others": FABRIC.format(REGIONS)
    + "".join(STREAMS)
    + ANOTHER_SUBSCRIPTION
    + "".join(SUBSCRIPTIONS),
    "a Region": FABRIC.format(f'{REGIONS}, "ap-southeast-2"') + "".join(STREAMS + SUBSCRIPTIONS),
    "another order": FABRIC.format(REGIONS) + "".join([*reversed(SUBSCRIPTIONS), *reversed(STREAMS)]),
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    return synthesise(parse_definition(BEFORE), Path(tmp_path_factory.mktemp("before")))


def changed(before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    """Yield the resources that CloudFormation would delete, or replace by another."""
    for place, resource in before.items():
        if after.get(place) != resource:
            elsewhere = [other for other, same in after.items() if same == resource and other not in before]
            yield f"{place} ({resource}) is now {', '.join(elsewhere) or after.get(place, 'gone')}"


def test_the_logical_ids_of_the_samples_tables_and_keys_are_those_that_were_deployed(
    shop: Synthesised,
) -> None:
    ids, deployed = ids_of(shop, STATEFUL), recorded()
    message = "\n  ".join(changed(deployed, ids))
    assert not message, (
        f"Logical ids have changed:\n  {message}\n"
        "A deployment would take each for another resource: it would try to make the table or key anew beside the one "
        "that is there and fail, since the name is taken; the old one is retained, and no stack has it any more.\n"
        "Give the construct its old id, or refactor with `cdk refactor`. If nobody has deployed it, or a migration is "
        f"written down, write {SNAPSHOT.name} anew: {RENEW}"
    )
    assert ids == deployed, f"What is new is not in {SNAPSHOT.name}; write it anew: {RENEW}"


@pytest.mark.parametrize("grown", GROWN)
def test_what_there_is_keeps_its_logical_id_when_a_definition_grows(
    before: Synthesised, grown: str, tmp_path: Path
) -> None:
    after = synthesise(parse_definition(GROWN[grown]), tmp_path)
    for kinds in (STATEFUL, QUEUES):
        there = ids_of(before, kinds)
        assert there
        assert list(changed(there, ids_of(after, kinds))) == []


def test_an_id_that_changed_is_distinguished_from_one_that_is_gone() -> None:
    changes = list(changed({"log/A": "table a", "log/B": "table b"}, {"log/C": "table a"}))
    assert changes == [TextWith("log/A", "table a", "log/C"), TextWith("log/B", "table b", "gone")]
