"""The table and the plots of docs/flow.md are what its script makes of the limit as it is."""

from pathlib import Path

import pytest

from scripts.flow_loads.__main__ import FOLDER, shown
from scripts.flow_loads.step_loads import LOADS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", range(1, len(LOADS) + 1))
def test_the_page_shows_the_loads_as_they_are_simulated(number: int) -> None:
    row, plots = shown(LOADS[number - 1], number)
    page = (ROOT / "docs/flow.md").read_text(encoding="utf-8")
    assert row in page
    for file, picture in plots.items():
        assert (ROOT / FOLDER / file).read_text(encoding="utf-8") == picture
        assert f"({FOLDER.name}/{file})" in page
