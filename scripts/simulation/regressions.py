"""The list of plans that failed once: tests/simulation/regressions.toml, and a folder beside it with the plans.

The plan itself is kept, not only its seed, because a seed gives another plan when its profile changes.
"""

import datetime
import json
import tomllib
from pathlib import Path

import msgspec

from eventfabric.testing.simulation.kept import text_of
from eventfabric.testing.simulation.plan import Plan
from scripts.install import ROOT

LIST = ROOT / "tests" / "simulation" / "regressions.toml"


class RegressionError(Exception):
    """The list cannot be read, or does not accept a plan."""


class Regression(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plan that failed. `seed` is the one that found it, with the profile as it was then."""

    name: str
    profile: str
    seed: int
    found: datetime.date
    reason: str


class _List(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    regression: tuple[Regression, ...] = ()


def regressions(path: Path = LIST) -> tuple[Regression, ...]:
    """Read the list. Raises RegressionError."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _List).regression
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise RegressionError(f"{path}: {error}") from error


def plan_of(name: str, path: Path = LIST) -> Plan:
    """Read the plan of a regression. Raises RegressionError."""
    try:
        return msgspec.json.decode(_file(name, path).read_bytes(), type=Plan)
    except (OSError, msgspec.MsgspecError) as error:
        raise RegressionError(f"{_file(name, path)}: {error}") from error


def add(name: str, plan: Plan, *, seed: int, reason: str, path: Path, today: datetime.date) -> Path:
    """Add a plan to the list, and return the plan's file. Raises RegressionError."""
    if any(regression.name == name for regression in regressions(path)):
        raise RegressionError(f"{path} has a regression {name!r}; choose another name")
    file = _file(name, path)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text_of(plan))
    entry = [
        "",
        "[[regression]]",
        f"name = {json.dumps(name)}",
        f"profile = {json.dumps(plan.profile)}",
        f"seed = {seed}",
        f"found = {today.isoformat()}",
        f"reason = {json.dumps(reason, ensure_ascii=False)}",
        "",
    ]
    with path.open("a", encoding="utf-8") as file_of_list:
        file_of_list.write("\n".join(entry))
    return file


def _file(name: str, path: Path) -> Path:
    return path.parent / path.stem / f"{name}.json"
