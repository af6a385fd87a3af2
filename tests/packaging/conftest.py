"""One build a session."""

from pathlib import Path

import pytest

from tests.packaging.distributions import build


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Wheel and source distribution of this checkout."""
    return build(Path(tmp_path_factory.mktemp("dist")))
