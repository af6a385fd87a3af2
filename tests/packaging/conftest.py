"""One build a session, and environments in which it is installed."""

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest

from tests.packaging.distributions import build
from tests.packaging.environment import Environment, installed

EVERYTHING = ("eventfabric-aws[cli,infra,local]", "pip", "pytest")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Wheel and source distribution of this checkout."""
    return build(Path(tmp_path_factory.mktemp("dist")))


@pytest.fixture(scope="session")
def environment_with(
    built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Iterable[str]], Environment]:
    """Return a function that makes an environment of the wheel and some requirements, or returns the one it made."""

    @cache
    def made(requirements: frozenset[str]) -> Environment:
        return installed(built[0], Path(tmp_path_factory.mktemp("home")), requirements)

    return lambda requirements: made(frozenset(requirements))


@pytest.fixture(scope="session")
def environment(environment_with: Callable[[Iterable[str]], Environment]) -> Environment:
    """An environment with all extras."""
    return environment_with(EVERYTHING)
