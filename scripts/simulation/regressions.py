"""Owns the list of plans that failed once: tests/simulation/regressions.toml, with each plan in a file beside it.

The plan itself is kept, and not its seed alone: what a seed draws changes with its profile.
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
    """The list does not take it, or is no good."""


class Regression(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plan that failed. `seed`: with which it was found, in its profile as that was then."""

    name: str
    profile: str
    seed: int
    found: datetime.date
    reason: str


class _List(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    regression: tuple[Regression, ...] = ()


def regressions(path: Path = LIST) -> tuple[Regression, ...]:
    """All of them; RegressionError."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _List).regression
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise RegressionError(f"{path}: {error}") from error


def plan_of(name: str, path: Path = LIST) -> Plan:
    """The plan of one; RegressionError."""
    try:
        return msgspec.json.decode(_file(name, path).read_bytes(), type=Plan)
    except (OSError, msgspec.MsgspecError) as error:
        raise RegressionError(f"{_file(name, path)}: {error}") from error


def add(name: str, plan: Plan, *, seed: int, reason: str, path: Path, today: datetime.date) -> Path:
    """Put a plan on the list: where it is; RegressionError."""
    if any(one.name == name for one in regressions(path)):
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
