"""One build a session, and one environment in which it is installed."""

from pathlib import Path

import pytest

from tests.packaging.distributions import build
from tests.packaging.environment import Environment, installed


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Wheel and source distribution of this checkout."""
    return build(Path(tmp_path_factory.mktemp("dist")))


@pytest.fixture(scope="session")
def environment(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment outside of this checkout, in which the wheel is installed."""
    return installed(built[0], Path(tmp_path_factory.mktemp("home")))
