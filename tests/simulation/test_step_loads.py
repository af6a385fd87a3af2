"""Loads that rise to twenty times and fall again, a hot key, a hot lane, a slow and a dead downstream, simulated."""

from dataclasses import replace

import pytest

from scripts.flow_loads.step_loads import LOADS, Load, simulated

BEGIN, END = 60.0, 240.0
"""Seconds between which each load is changed."""
SEEDS = range(3)


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_backlog_drains_within_twice_the_time_that_the_bound_allows(load: Load, seed: int) -> None:
    by_bound = simulated(replace(load, fixed=load.most), seed=seed).drained_after(BEGIN)
    assert 0 < by_bound < load.seconds - BEGIN - 10, "the load is one that even the bound needs time for"
    assert simulated(load, seed=seed).drained_after(BEGIN) <= 2 * by_bound


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_limit_changes_its_direction_twice_at_most_in_each_step(load: Load, seed: int) -> None:
    run = simulated(load, seed=seed)
    for begin, end in ((0, BEGIN), (BEGIN, END), (END, load.seconds)):
        assert run.turns(begin, end) <= 2


@pytest.mark.parametrize("load", [load for load in LOADS if "dead" in load.name], ids=lambda load: load.name)
def test_while_the_circuit_is_open_nothing_scales(load: Load) -> None:
    run = simulated(load)
    opened = [limit for limit, is_open in zip(run.limit, run.open, strict=True) if is_open]
    assert opened
    assert len(set(opened)) == 1


@pytest.mark.parametrize("places", [2, 5])
def test_a_slow_downstream_gets_fewer_calls_than_the_bound_and_is_used_fully(places: int) -> None:
    load = Load("slow", rate=lambda now: 200, places=lambda now: places, seconds=200)
    limited, fixed = simulated(load), simulated(replace(load, fixed=16))
    assert max(limited.limit[-500:]) <= 3 * places < 16 + places
    assert limited.waiting[-1] <= fixed.waiting[-1] * 1.05


def test_functions_that_are_refused_by_what_they_share_each_keep_few_calls_there() -> None:
    load = Load("refused", rate=lambda now: 400, places=lambda now: 8, lanes=4, functions=4, refuses=True)
    limited, fixed = simulated(load), simulated(replace(load, fixed=16))
    assert limited.limit[-1] <= 16
    assert limited.failed < fixed.failed / 4
