"""The hunt: outcomes depend on seeds alone, whatever breaks is told, and no process outlives it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from itertools import count
from pathlib import Path
from typing import NoReturn

import pytest

from eventfabric.testing.simulation import trial
from eventfabric.testing.simulation.hunt import hunt
from eventfabric.testing.simulation.outcome import SeedOutcome, Tally
from tests.simulation.trials import try_seed

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = partial(try_seed, "default")


def plain(seed: int) -> SeedOutcome:
    return SeedOutcome(seed)


def dies_at_one(seed: int) -> SeedOutcome:
    if seed == 1:
        os._exit(7)
    return SeedOutcome(seed, tally=Tally({"process": os.getpid()}, {}, {}))


def never_ends(seed: int) -> SeedOutcome:
    threading.Event().wait()
    return SeedOutcome(seed)


def no_process_is_left() -> bool:
    return not multiprocessing.active_children()


def test_outcomes_are_the_same_whatever_the_number_of_processes() -> None:
    seeds = range(40, 52)
    alone = {outcome.seed: outcome for outcome in hunt(seeds, DEFAULT, jobs=1)}
    together = {outcome.seed: outcome for outcome in hunt(seeds, DEFAULT, jobs=3)}
    assert alone == together == {seed: DEFAULT(seed) for seed in seeds}
    assert no_process_is_left()


def test_seeds_without_end_end_when_it_is_time() -> None:
    asked: list[bool] = []

    def stop() -> bool:
        asked.append(len(asked) >= 5)
        return asked[-1]

    outcomes = list(hunt(count(), plain, jobs=2, stop=stop))
    assert len(outcomes) == 5
    assert no_process_is_left()


def test_there_may_be_fewer_seeds_than_processes_and_none_at_all() -> None:
    assert [outcome.seed for outcome in hunt([9], plain, jobs=4)] == [9]
    assert not list(hunt([], plain, jobs=2))


def test_a_process_that_dies_fails_its_seed_and_is_replaced() -> None:
    outcomes = {outcome.seed: outcome for outcome in hunt(range(4), dies_at_one, jobs=1)}
    assert sorted(outcomes) == [0, 1, 2, 3]
    assert (outcomes[1].broke, outcomes[1].ended) == ("process died", False)
    assert "exit code 7" in outcomes[1].error
    processes = [outcomes[seed].tally.faults["process"] for seed in (0, 2, 3)]
    assert processes[0] != processes[1] == processes[2]


def test_a_seed_without_end_is_given_up() -> None:
    (outcome,) = hunt([1], never_ends, jobs=1, seed_seconds_max=0.2)
    assert (outcome.broke, outcome.ended) == ("no end", False)
    assert "0.2 s" in outcome.error
    assert no_process_is_left()


def test_who_stops_listening_leaves_no_process_behind() -> None:
    outcomes = hunt(count(), plain, jobs=2)
    next(outcomes)
    assert not no_process_is_left()
    outcomes.close()
    assert no_process_is_left()


def test_a_simulator_that_fails_fails_its_seed_with_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(world: object) -> NoReturn:
        raise KeyError("a bug")

    monkeypatch.setattr(trial, "simulate_in", broken)
    outcome = try_seed("default", 3)
    assert outcome.signature == {"KeyError in broken"}
    assert "Traceback" in outcome.error
    assert "a bug" in outcome.error
    assert not outcome.verdicts
    assert outcome.ended


def test_a_profile_that_draws_no_plan_fails_its_seed() -> None:
    outcome = try_seed("no such profile", 3)
    assert (outcome.seed, outcome.broke) == (3, "KeyError in try_seed")


def test_ctrl_c_leaves_no_process_behind() -> None:
    """A terminal sends it to all processes at once."""
    code = "from tests.simulation.test_hunt import print_workers; print_workers()"
    hunter = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert hunter.stdout is not None
    workers = {int(hunter.stdout.readline())}
    while len(workers) < 2:
        workers.add(int(hunter.stdout.readline()))
    os.killpg(hunter.pid, signal.SIGINT)
    _, errors = hunter.communicate(timeout=60)
    assert errors.count("KeyboardInterrupt") == 1
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def print_workers() -> None:
    for outcome in hunt(count(2), dies_at_one, jobs=2):
        print(outcome.tally.faults["process"], flush=True)
