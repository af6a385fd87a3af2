"""The plots and the table of docs/flow.md: step loads with a limit that functions find, and with fixed numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pygal
from pygal.style import CleanStyle

from scripts.flow_loads.step_loads import LOADS, Load, Run, simulated

FOLDER: Final = Path("docs/flow")
_EVERY_TICKS: Final = 30
_BEGIN: Final = 60.0
_HEAD: Final = '| load | `"auto"` | 16 | 1 | changes of direction |\n|---|---|---|---|---|'


def main() -> None:
    """Write the plots, and print the table."""
    FOLDER.mkdir(exist_ok=True)
    rows = []
    for number, load in enumerate(LOADS, 1):
        row, plots = shown(load, number)
        rows.append(row)
        for file, picture in plots.items():
            (FOLDER / file).write_text(picture, encoding="utf-8")
    print("\n".join([_HEAD, *rows]))


def shown(load: Load, number: int) -> tuple[str, Mapping[str, str]]:
    """Run a load. Return its row of the table, and its plots by their files."""
    runs = {
        "auto": simulated(load),
        "16": simulated(replace(load, fixed=load.most)),
        "1": simulated(replace(load, fixed=1)),
    }
    auto = runs["auto"]
    cells = " | ".join(_drained(run) for run in runs.values())
    row = f"| {load.name} | {cells} | {auto.turns(0, load.seconds)} |"
    ages: Mapping[str, Sequence[float]] = {name: runs[name].age_seconds for name in ("auto", "16")}
    limit: Mapping[str, Sequence[float]] = {"auto": auto.limit}
    plots = {"age": ("oldest event (s)", ages), "limit": ("limit", limit)}
    return row, {
        f"load-{number}-{kind}.svg": _picture(
            f"{kind}-{number}", f"{load.name}: {title}", lines, auto.seconds
        )
        for kind, (title, lines) in plots.items()
    }


def _drained(run: Run) -> str:
    seconds = run.drained_after(_BEGIN)
    return "not within 360 s" if seconds > run.seconds[-1] - _BEGIN - 5 else f"{seconds:.0f} s"


def _picture(name: str, title: str, lines: Mapping[str, Sequence[float]], seconds: Sequence[float]) -> str:
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
    )
    vars(chart)["uuid"] = name  # else each run would give other files
    for label, values in lines.items():
        points = [*zip(seconds, values, strict=True)][::_EVERY_TICKS]
        chart.add(label, [(round(second, 1), round(value, 2)) for second, value in points])
    return str(chart.render(is_unicode=True)) + "\n"


if __name__ == "__main__":
    main()
