"""The plots of docs/flow.md: how step loads are handled with a limit that functions find, and with fixed numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pygal
from pygal.style import CleanStyle

from scripts.flow_loads.step_loads import LOADS, Run, simulated

FOLDER: Final = Path("docs/flow")
_EVERY_TICKS: Final = 20
_BEGIN: Final = 60.0


def main() -> None:
    """Run each load, write its plots, and print the table of the page."""
    FOLDER.mkdir(exist_ok=True)
    print("| load | auto | 16 | 1 | changes of direction |\n|---|---|---|---|---|")
    for number, load in enumerate(LOADS, 1):
        auto, most, single = (
            simulated(load),
            simulated(replace(load, fixed=load.most)),
            simulated(replace(load, fixed=1)),
        )
        turns = auto.turns(0, load.seconds)
        cells = " | ".join(_drained(run) for run in (auto, most, single))
        print(f"| {load.name} | {cells} | {turns} |")
        lines = {"auto": auto, "16": most} if number < len(LOADS) else {"auto": auto}
        _write(
            f"load-{number}-age",
            f"{load.name}: oldest event (s)",
            {name: run.age_seconds for name, run in lines.items()},
            auto,
        )
        _write(f"load-{number}-limit", f"{load.name}: limit", {"auto": auto.limit}, auto)


def _drained(run: Run) -> str:
    seconds = run.drained_after(_BEGIN)
    return "not drained" if seconds > run.seconds[-1] - _BEGIN - 5 else f"{seconds:.0f} s"


def _write(file: str, title: str, lines: Mapping[str, Sequence[float]], run: Run) -> None:
    chart = pygal.XY(
        title=title,
        x_title="seconds",
        style=CleanStyle,
        disable_xml_declaration=True,
        js=[],
        width=760,
        height=300,
        legend_at_bottom=True,
        no_prefix=True,
        show_dots=False,
        include_x_axis=True,
    )
    for name, values in lines.items():
        points = [*zip(run.seconds, values, strict=True)][::_EVERY_TICKS]
        chart.add(name, [(round(second, 1), round(value, 2)) for second, value in points])
    (FOLDER / f"{file}.svg").write_text(str(chart.render(is_unicode=True)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
