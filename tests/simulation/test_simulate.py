"""The command line of the simulator: what it says, what it keeps, and its exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.kept import KEPT_MAX, chosen, keep, text_of
from eventfabric.testing.simulation.outcome import SeedOutcome, Tally
from eventfabric.testing.simulation.plan import Plan
from eventfabric.testing.simulation.summary import Summary
from eventfabric.testing.simulation.verdict import Anomaly, Result, Verdict
from scripts.simulation import __main__ as simulation
from scripts.simulation import regressions
from scripts.simulation.__main__ import main
from scripts.simulation.report import as_json, print_failure, print_summary
from tests.simulation import trials
from tests.simulation.profiles import PROFILES

ROOT = Path(__file__).resolve().parents[2]
BAD = (
    ["--seeds", "5..3"],
    ["--seeds", "x"],
    ["--seeds", "5.."],
    ["--seeds", "-1..3"],
    ["--profile", "nope"],
    ["--jobs", "0"],
    ["--jobs", "1.5"],
    ["--minutes", "-1"],
    ["--minutes", "nan"],
    ["--minutes", "soon"],
    ["--plan", "no such file"],
    ["--plan", "README.md"],
    ["--plan", "tests"],
    ["--regression", "x"],
    ["--reason", "x"],
    ["--regression", "x", "--reason", "y"],
    ["--regression", "X-1", "--reason", "y"],
    ["--regression", "x", "--reason", "y", "--seeds", "0..1"],
    ["--what"],
    ["7"],
    ["--out", "README.md"],
    ["--out", "README.md/below", "--plan", "tests/simulation/regressions/copy_in_a_changed_lane.json"],
)


def never(of: History) -> list[Verdict]:
    """Return the verdict of a checker that objects whenever an event was published."""
    asked = [number for number, entry in enumerate(of.entries) if type(entry).__name__ == "Asked"]
    anomalies = tuple(Anomaly(f"<entry {number}>", number) for number in asked[:2])
    return [Verdict("never", Result.INVALID if anomalies else Result.VALID, anomalies)]


def failed(seed: int, *checkers: str) -> SeedOutcome:
    return SeedOutcome(
        seed, tuple(Verdict(checker, Result.INVALID, (Anomaly("it is so", 0),)) for checker in checkers)
    )


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds are tried in this process, where a test can have a checker find something."""

    def tried_here(seeds: Any, try_seed: Any, **how: Any) -> Any:
        return (try_seed(seed) for seed in seeds)

    monkeypatch.setattr(simulation, "hunt", tried_here)


@pytest.mark.parametrize("arguments", BAD, ids=" ".join)
def test_wrong_arguments_are_one_clear_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, errors = capsys.readouterr()
    assert (ended.value.code, out, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("scripts/simulate: ")


def test_help_has_an_example_and_every_profile(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert "scripts/simulate --seeds 17..17 --profile default" in out
    for name, profile in PROFILES.items():
        assert name in out
        assert profile.what in out


def test_a_hunt_says_what_every_checker_said_and_what_took_place(tmp_path: Path) -> None:
    command = ["scripts/simulate", "--seeds", "30..33", "--jobs", "2", "--json", "--out", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    report = json.loads(result.stdout)
    assert (report["profile"], report["seeds"], report["failures"]) == ("default", 4, [])
    assert report["seeds_per_second"] > 0
    assert all(sum(said.values()) == 4 for said in report["checkers"].values())
    assert "lost_event" in report["checkers"]
    assert report["faults"]
    assert report["happenings"]
    assert "profile: default, seeds: 4, jobs: 2\n" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("here")
def test_a_failure_is_shrunk_drawn_and_printed_with_the_command_that_tries_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trials, "verdicts", never)
    assert main(["--seeds", "17", "--out", str(tmp_path)]) == 1
    out, errors = capsys.readouterr()
    folder = tmp_path / "default-17"
    assert "seed 17: never\n" in errors
    assert "  again:   scripts/simulate --seeds 17..17 --profile default\n" in out
    assert f"  plan:    scripts/simulate --plan {folder}/plan.json\n" in out
    assert f"  picture: {folder}/timeline.html\n" in out
    plan = msgspec.json.decode((folder / "plan.json").read_bytes(), type=Plan)
    assert (len(plan.events), len(plan.regions), plan.happenings, plan.rates) == (1, 1, (), {})
    history = History.decode((folder / "history.jsonl").read_bytes())
    assert (history.plan, history.entries) == (plan, trials.tried(plan)[1].entries)
    assert "&lt;entry" in (folder / "timeline.html").read_text(encoding="utf-8")

    assert main(["--plan", str(folder / "plan.json"), "--out", str(tmp_path)]) == 1
    assert "failed: never\n" in capsys.readouterr().out
    assert (tmp_path / "replay" / "plan.json").read_bytes() == (folder / "plan.json").read_bytes()


@pytest.mark.usefixtures("here")
def test_a_failure_is_kept_as_it_is_where_it_is_not_to_be_shrunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trials, "verdicts", never)
    assert main(["--seeds", "17", "--out", str(tmp_path), "--no-shrink", "--json"]) == 1
    (failure,) = json.loads(capsys.readouterr().out)["failures"]
    assert (failure["seed"], failure["failed"], failure["kept"]["runs"]) == (17, ["never"], 0)
    plan = Path(failure["kept"]["plan"]).read_bytes()
    assert msgspec.json.decode(plan, type=Plan) == PROFILES["default"].plan(17)
    assert Path(failure["kept"]["picture"]).exists()


@pytest.mark.usefixtures("here")
def test_a_simulator_that_fails_is_a_finding_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(of: History) -> list[Verdict]:
        raise ZeroDivisionError("a bug of a checker")

    monkeypatch.setattr(trials, "verdicts", broken)
    assert main(["--seeds", "3", "--out", str(tmp_path), "--no-shrink"]) == 1
    out = capsys.readouterr().out
    assert "seed 3: ZeroDivisionError in broken\n" in out
    assert "a bug of a checker" in out
    assert "a bug of a checker" in (tmp_path / "default-3" / "timeline.html").read_text(encoding="utf-8")


def test_a_saved_plan_is_replayed_with_its_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes(text_of(PROFILES["default"].plan(30)))
    assert main(["--plan", str(file), "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "failed: none\n" in out
    assert (tmp_path / "replay" / "timeline.html").exists()
    assert main(["--plan", str(file), "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seeds"] == 1


def test_a_plan_of_somebodys_handlers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run with stand-ins for those, it would show nothing."""
    file = tmp_path / "plan.json"
    file.write_bytes(text_of(msgspec.structs.replace(PROFILES["default"].plan(30), profile="handlers")))
    with pytest.raises(SystemExit) as ended:
        main(["--plan", str(file), "--out", str(tmp_path)])
    errors = capsys.readouterr().err
    assert (ended.value.code, errors.count("\n")) == (2, 1)
    assert "profile 'handlers'" in errors
    assert "eventfabric simulate" in errors


def test_a_seed_becomes_a_regression_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "known.toml"
    path.write_text("", encoding="utf-8")
    monkeypatch.setattr(regressions, "LIST", path)
    arguments = ["--regression", "late_copy", "--reason", "it was late", "--seeds", "30..30"]
    assert main(arguments) == 0
    assert "nothing is wrong any more" in capsys.readouterr().out
    assert regressions.plan_of("late_copy", path) == PROFILES["default"].plan(30)
    assert main(arguments) == 2
    assert "choose another name" in capsys.readouterr().err


def test_one_failure_of_each_kind_is_kept_before_any_other_of_it() -> None:
    many = [failed(seed, "lost_event") for seed in range(20)]
    others = [failed(30, "stuck_lane"), failed(25, "lost_event", "stuck_lane")]
    kept = [outcome.seed for outcome in chosen([*others, *reversed(many)])]
    assert kept[:3] == [0, 25, 30]
    assert kept[3:] == [1, 2, 3, 4, 5]
    assert len(kept) == KEPT_MAX


def test_a_summary_is_the_same_in_whichever_order_seeds_come(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [
        SeedOutcome(
            seed, (Verdict("lost_event", Result.VALID),), Tally({"stall": seed}, {}, {"dead": 1}), ("skew",)
        )
        for seed in (1, 2, 3)
    ] + [failed(9, "lost_event"), failed(8, "stuck_lane")]
    outputs = []
    for those in (outcomes, outcomes[::-1]):
        summary = Summary("default", seconds=2.0)
        for outcome in those:
            summary.add(outcome)
        print_summary(summary)
        outputs.append((as_json(summary, [], interrupted=False), capsys.readouterr().out))
    assert outputs[0] == outputs[1]
    report = json.loads(outputs[0][0])
    assert report["checkers"]["lost_event"] == {"valid": 3, "invalid": 1, "unknown": 0}
    assert report["faults"] == {"stall": {"times": 6, "seeds": 3}}
    assert report["rates_drawn"] == {"skew": 3}
    assert [failure["seed"] for failure in report["failures"]] == [8, 9]
    assert "5 seeds in 2.0 s (2.5 seeds/s), 0 entries, 2 failed\n" in outputs[0][1]


def test_a_seed_that_took_its_process_along_is_reported_without_trying_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def never_again(plan: Plan) -> tuple[SeedOutcome, History]:
        raise AssertionError(f"seed {plan.seed} was tried again")

    lost = SeedOutcome(4, broke="no end", error="it did not end within 300 s", ended=False)
    plan = PROFILES["default"].plan(4)
    kept_failure = keep(lost, plan, tmp_path / "lost", shrinks=True, trial=never_again)
    assert msgspec.json.decode(kept_failure.plan.read_bytes(), type=Plan) == plan
    print_failure(lost, "default", kept_failure)
    assert capsys.readouterr().out == (
        "\nseed 4: no end\n  it did not end within 300 s\n"
        "  again:   scripts/simulate --seeds 4..4 --profile default\n"
        f"  plan:    scripts/simulate --plan {tmp_path}/lost/plan.json\n"
    )


def test_ctrl_c_prints_what_is_known_by_then() -> None:
    command = [sys.executable, "-m", "scripts.simulation", "--seeds", "0..1000000", "--jobs", "2", "--json"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "profile: default, seeds: 1000001, jobs: 2\n"
    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert json.loads(out)["interrupted"] is True
