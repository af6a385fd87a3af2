"""Many seeds of somebody's handlers: what is reported when all goes well, and when it does not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.model import Event
from eventfabric.testing.idempotency.hunting import run_here, worth_keeping
from eventfabric.testing.idempotency.outside import Outside
from eventfabric.testing.idempotency.report import HandlersReport
from eventfabric.testing.idempotency.trials import HandlerTrials
from eventfabric.testing.idempotency.workload import WAYS
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.hunt import lost_outcome
from eventfabric.testing.simulation.kept import keep
from eventfabric.testing.simulation.outcome import SeedOutcome
from eventfabric.testing.simulation.plan import Plan
from eventfabric.testing.simulation.summary import Summary
from eventfabric.testing.simulation.verdict import Anomaly, Result, Verdict
from eventfabric.testing.simulation.worker import LostWorkerError
from tests.simulation import wrong_handlers

EVENTS = [Event(id=f"s{n}", key=f"k{n % 5}", type="placed", data={"n": n}) for n in range(30)]


EFFECT = "taker: dynamodb rows: n"


def plan_that_shows(wanted: HandlerTrials) -> tuple[SeedOutcome, Plan]:
    for seed in range(50):
        outcome = wanted.try_seed(seed)
        if EFFECT in outcome.signature:
            return outcome, wanted.plan(seed)
    raise AssertionError("no seed shows it")


def trials(handler: Callable[..., Any], *, setup: Callable[[Outside], object] | None = None) -> HandlerTrials:
    names = json.dumps(["us-east-1", "eu-west-1"])
    definition = parse_definition(f"""
        [fabric]
        name = "own"
        regions = {names}
        [streams.orders]
        durability = "replicated"
        [subscriptions.taker]
        stream = "orders"
        handler = "nowhere:function"
    """)
    return HandlerTrials(
        definition, events=EVENTS, handlers={"taker": handler}, setup=setup or wrong_handlers.make
    )


def test_ctrl_c_in_a_test_ends_the_test(tmp_path: Path) -> None:
    runs = 0

    def make(outside: Outside) -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            raise KeyboardInterrupt
        wrong_handlers.make(outside)

    with pytest.raises(KeyboardInterrupt):
        run_here(trials(wrong_handlers.puts_by_the_events_id, setup=make), range(50), out=tmp_path)


def test_what_was_interrupted_does_not_pass() -> None:
    report = HandlersReport(Summary("handlers", seeds=3), ("taker",), interrupted=True)
    with pytest.raises(AssertionError, match="interrupted after 3 seeds"):
        report.check()


def test_no_seed_tried_does_not_pass(tmp_path: Path) -> None:
    report = run_here(trials(wrong_handlers.puts_by_the_events_id), [], out=tmp_path)
    with pytest.raises(AssertionError, match="no seed was tried"):
        report.check()


def test_a_plan_is_written_down_before_it_is_shrunk(tmp_path: Path) -> None:
    def interrupted(plan: Plan) -> tuple[SeedOutcome, History]:
        raise KeyboardInterrupt

    outcome, plan = plan_that_shows(trials(wrong_handlers.adds_up))
    with pytest.raises(KeyboardInterrupt):
        keep(outcome, plan, tmp_path / "kept", shrinks=True, trial=interrupted, ways=WAYS)
    assert msgspec.json.decode((tmp_path / "kept/plan.json").read_bytes(), type=Plan) == plan


def test_a_plan_that_was_given_up_does_not_show_what_is_wrong(tmp_path: Path) -> None:
    of = trials(wrong_handlers.adds_up)
    given_up: list[Plan] = []

    def hangs_with_few_events(plan: Plan) -> tuple[SeedOutcome, History]:
        if len(plan.events) < 3:
            given_up.append(plan)
            return lost_outcome(plan.seed, LostWorkerError("no end", "did not end within 1 s")), History(
                plan, []
            )
        return of.tried(plan)

    outcome, plan = next(
        (outcome, plan)
        for outcome, plan in ((of.try_seed(seed), of.plan(seed)) for seed in range(50))
        if outcome.signature and len(plan.events) > 3
    )
    kept_failure = keep(
        outcome, plan, tmp_path, shrinks=True, trial=hangs_with_few_events, ways=WAYS, runs_max=120
    )
    assert given_up
    assert kept_failure.history is not None
    assert len(kept_failure.history.plan.events) == 3
    assert EFFECT in {verdict.checker for verdict in kept_failure.verdicts}


def test_a_plan_that_hangs_once_it_is_to_be_drawn_is_kept_all_the_same(tmp_path: Path) -> None:
    outcome, plan = plan_that_shows(trials(wrong_handlers.adds_up))
    lost = lost_outcome(plan.seed, LostWorkerError("no end", "did not end within 1 s")), History(plan, [])
    kept_failure = keep(outcome, plan, tmp_path, shrinks=True, trial=lambda plan: lost, ways=WAYS)
    assert (kept_failure.size, kept_failure.runs, kept_failure.history) == (plan.size, 0, None)
    assert not kept_failure.picture.exists()
    assert msgspec.json.decode(kept_failure.plan.read_bytes(), type=Plan) == plan


def failure(seed: int, *effects: str) -> SeedOutcome:
    return SeedOutcome(
        seed, tuple(Verdict(effect, Result.INVALID, (Anomaly("it is so", 0),)) for effect in effects)
    )


def test_of_seeds_that_show_the_same_those_with_the_smallest_plans_are_looked_at() -> None:
    sizes = {1: 40, 2: 30, 3: 20, 4: 10, 5: 5, 6: 50, 7: 1}
    failures = [failure(seed, "a") for seed in (1, 2, 3, 4)]
    failures += [failure(5, "a", "b"), failure(6, "a", "b"), SeedOutcome(7, broke="no end", ended=False)]
    kept = worth_keeping(failures, sizes.__getitem__)
    assert [([outcome.seed for outcome in rivals], set(wanted)) for rivals, wanted in kept] == [
        ([7], {"no end"}),
        ([4, 3, 2], {"a"}),
        ([5, 6], {"b"}),
    ]


def test_the_smallest_of_what_several_seeds_shrink_to_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = trials(wrong_handlers.adds_up)
    # Both ways try the same plans, and a plan twice gives the same.
    known: dict[bytes, tuple[SeedOutcome, History]] = {}
    tried = of.tried

    def tried_once(plan: Plan) -> tuple[SeedOutcome, History]:
        written = msgspec.json.encode(plan)
        if written not in known:
            known[written] = tried(plan)
        return known[written]

    monkeypatch.setattr(of, "tried", tried_once)
    report = run_here(of, range(8), out=tmp_path)
    assert len(report.summary.failures) > 2
    alone = [
        keep(
            outcome,
            of.plan(outcome.seed),
            tmp_path / f"alone-{outcome.seed}",
            shrinks=True,
            trial=of.tried,
            ways=WAYS,
            wanted=frozenset({EFFECT}),
        ).size
        for (rivals, _) in worth_keeping(report.summary.failures, lambda seed: of.plan(seed).size)
        for outcome in rivals
    ]
    (kept_failure,) = report.kept_failures
    assert kept_failure.size == min(alone)
