"""Plans in which a checker found something once: nothing is wrong with them any more."""

import datetime
from pathlib import Path

import pytest

from scripts.simulation.regressions import LIST, Regression, RegressionError, add, plan_of, regressions
from tests.simulation.profiles import PROFILES
from tests.simulation.trials import tried

TODAY = datetime.date(2026, 11, 24)


@pytest.mark.parametrize("regression", regressions(), ids=lambda regression: regression.name)
def test_what_was_found_once_is_not_found_again(regression: Regression) -> None:
    outcome, history = tried(plan_of(regression.name))
    assert (outcome.signature, outcome.error) == (frozenset(), "")
    assert history.entries


def test_every_plan_that_is_kept_is_on_the_list() -> None:
    kept = {path.stem for path in (LIST.parent / "regressions").glob("*.json")}
    assert kept == {regression.name for regression in regressions()}


def test_a_plan_is_added_with_its_reason_and_comes_back_as_it_was(tmp_path: Path) -> None:
    path, plan = tmp_path / "known.toml", PROFILES["default"].plan(5)
    path.write_text("# kept\n", encoding="utf-8")
    add("first", plan, seed=5, reason='a "quoted"\nreason – ☂', path=path, today=TODAY)
    add("second", plan, seed=5, reason="another", path=path, today=TODAY)
    assert regressions(path) == (
        Regression(name="first", profile="default", seed=5, found=TODAY, reason='a "quoted"\nreason – ☂'),
        Regression(name="second", profile="default", seed=5, found=TODAY, reason="another"),
    )
    assert plan_of("first", path) == plan
    assert path.read_text(encoding="utf-8").startswith("# kept\n")


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    path, plan = tmp_path / "known.toml", PROFILES["default"].plan(5)
    path.write_text("", encoding="utf-8")
    add("first", plan, seed=5, reason="one", path=path, today=TODAY)
    with pytest.raises(RegressionError, match="choose another name"):
        add("first", plan, seed=6, reason="two", path=path, today=TODAY)
    assert len(regressions(path)) == 1


@pytest.mark.parametrize(
    "text", ["regression = 1", "[[regression]]\nname = 'x'", "[[", "[[regression]]\nwhat = 1"]
)
def test_a_list_that_is_no_good_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "known.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RegressionError, match=r"known\.toml"):
        regressions(path)
