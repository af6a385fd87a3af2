"""Lanes are split in the middle of load: each key's events are handled in order all the same, and none is missed."""

from typing import Any

import pytest

from eventfabric.model import Region
from tests.simulation.split_load import SplitLoad, passed_lanes
from tests.support.memory_fabric import AWAY, HOME

SETTINGS: list[dict[str, Any]] = [
    {},
    {"fault_rate": 0.05},
    {"fault_rate": 0.05, "guarantee": "exactly_once"},
    {"fault_rate": 0.05, "guarantee": "at_most_once"},
    {"deliver": "everywhere"},
    {"hands_over": True},
    {"hands_over": True, "fault_rate": 0.05},
    {"loses": True},
    {"loses": True, "fault_rate": 0.05},
]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_whatever_is_split_meanwhile_nothing_is_lost_and_no_key_loses_its_order(
    settings: dict[str, Any], seed: int
) -> None:
    load = SplitLoad(seed, **settings)
    load.run(120)
    load.check()


def test_lanes_are_passed_and_handed_over_in_that_load() -> None:
    loads = [SplitLoad(seed, hands_over=True) for seed in range(12)]
    for load in loads:
        load.run(120)
    owners: set[Region] = {load.owner for load in loads}
    assert owners == {HOME, AWAY}
    assert sum(passed_lanes(load.home) for load in loads) > 20
