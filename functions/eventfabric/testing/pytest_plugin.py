"""Fixtures for tests of handlers, on a local fabric and under simulated faults, wherever this package is installed."""

from collections.abc import Callable, Iterable, Iterator
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eventfabric.errors import SettingError
from eventfabric.extras import needing
from eventfabric.settings import definition_path

if TYPE_CHECKING:
    from eventfabric.testing.idempotency.report import HandlersReport
    from eventfabric.testing.local.fabric import LocalFabric


# Names of pytest are in quotation marks: older versions lack some, and load this wherever the package is installed.
def pytest_configure(config: "pytest.Config") -> None:
    """Declare the markers, so that projects with strict markers can use them."""
    config.addinivalue_line(
        "markers", "eventfabric(definition=..., handlers=..., ...): arguments of the fixture local_fabric"
    )
    config.addinivalue_line(
        "markers",
        "eventfabric_simulation(definition=..., events=..., ...): arguments of the fixture simulate_handlers",
    )


@pytest.fixture
def local_fabric(request: "pytest.FixtureRequest") -> "Iterator[LocalFabric]":
    """Provide a local fabric of the project's definition. `@pytest.mark.eventfabric(...)` gives its arguments."""
    # Importing moto takes a second: only tests that use it pay for that.
    with needing("local", "the fixture local_fabric"):
        from eventfabric.testing.local.fabric import LocalFabric

    definition, arguments = _arguments(request, "eventfabric", LocalFabric)
    with LocalFabric(definition, **arguments) as fabric:
        yield fabric


@pytest.fixture
def simulate_handlers(request: "pytest.FixtureRequest", tmp_path: Path) -> "Callable[..., HandlersReport]":
    """Provide a function that runs the project's own handlers under faults, in this process.

    Call it like this: `simulate_handlers(range(100)).check()`. `@pytest.mark.eventfabric_simulation(...)` gives
    HandlerTrials' arguments. By default, the events are those of sample/events.jsonl beside the definition.
    """
    from eventfabric.testing.idempotency.hunting import run_here
    from eventfabric.testing.idempotency.trials import SAMPLE, HandlerTrials

    definition, arguments = _arguments(request, "eventfabric_simulation", HandlerTrials)
    if "events" not in arguments:
        beside = definition if isinstance(definition, str | PathLike) else _definition_of(request)
        arguments["events"] = Path(beside).parent / SAMPLE
    trials = HandlerTrials(definition, **arguments)

    def simulate(seeds: Iterable[int] = range(100)) -> "HandlersReport":
        return run_here(trials, seeds, out=tmp_path / "simulation")

    return simulate


def _arguments(
    request: "pytest.FixtureRequest", marker_name: str, taken_by: Callable[..., object]
) -> tuple[Any, dict[str, Any]]:
    """Return the definition, and the other arguments of a marker. SettingError for those that `taken_by` lacks."""
    marker = request.node.get_closest_marker(marker_name)
    if marker is None:
        return _definition_of(request), {}
    allowed = signature(taken_by).parameters
    wrong = [repr(argument) for argument in marker.args] + [
        name for name in marker.kwargs if name not in allowed
    ]
    if wrong:
        raise SettingError(
            f"marker {marker_name}", ", ".join(wrong), f"keywords only, of {', '.join(allowed)}"
        )
    arguments = dict(marker.kwargs)
    definition = arguments.pop("definition", None)
    if isinstance(definition, str | PathLike):  # relative to pytest's configuration file
        definition = request.config.rootpath / definition
    return definition or _definition_of(request), arguments


def _definition_of(request: "pytest.FixtureRequest") -> Path:
    """Return the path of the project's definition."""
    return definition_path(folder=request.config.rootpath)
