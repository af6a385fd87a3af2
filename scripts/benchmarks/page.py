"""The page docs/performance.md and its pictures, written from the results of all benchmarks."""

import platform
from collections.abc import Sequence
from pathlib import Path

import boto3
import pygal
from pygal.style import CleanStyle

from scripts.benchmarks.measure import Figure, Plot, Section

PAGE = Path("docs/performance.md")
PICTURES = Path("docs/performance")
_FOUND = Path(__file__).with_name("found.md")
"""A part of the page that is written by hand: what profiles showed, and what was changed because of it."""

_HEAD = """# Performance

Written by `scripts/bench all{quick} --write`. CPU is that of one core, against an endpoint that answers at once in
the same process: so it includes serialising, signing and parsing, but not the network. All contenders take turns
in one run, and the best round of each counts. The ratios are what lasts: the figures are those of one run on one
shared machine (Python {python}, boto3 {boto3}). Calls to AWS are counted, and `tests/performance` holds their
numbers. `scripts/bench publish deliver --quick --json` runs parts of it, faster, with output for programs. The
command fails if a target is missed.
"""


def write(sections: Sequence[Section], root: Path, *, quick: bool) -> None:
    """Write the page and every picture. With `quick`, the page says that there were fewer rounds."""
    how = " --quick" if quick else ""
    parts = [_HEAD.format(quick=how, python=platform.python_version(), boto3=boto3.__version__)]
    (root / PICTURES).mkdir(exist_ok=True)
    for section in sections:
        parts.append(f"## {section.title[0].upper()}{section.title[1:]}\n")
        if section.figures:
            parts.append(_table(_rows(section.figures)))
        if section.table:
            parts.append(_table(section.table))
        parts += [_table(_targets(section))] if section.targets else []
        parts += ["".join(f"- {note}\n" for note in section.notes)] if section.notes else []
        for plot in section.plots:
            (root / PICTURES / f"{plot.file}.svg").write_text(_picture(plot), encoding="utf-8")
            parts.append(f"![{plot.title}]({PICTURES.name}/{plot.file}.svg)\n")
    parts.append(_FOUND.read_text(encoding="utf-8"))
    (root / PAGE).write_text("\n".join(parts), encoding="utf-8")


def _rows(figures: Sequence[Figure]) -> list[list[str]]:
    first = figures[0].cpu_us_per_event
    rows = [["", "us of CPU an event", "events/s", "relative to the first"]]
    for figure in figures:
        cpu_us, times = f"{figure.cpu_us_per_event:.2f}", f"{figure.cpu_us_per_event / first:.2f}"
        rows.append([figure.name, cpu_us, f"{figure.events_per_second:,.0f}", times])
    return rows


def _targets(section: Section) -> list[list[str]]:
    return [["target", "measured", "bound", ""]] + [
        [
            target.name,
            f"{target.measured:,.2f} {target.unit}",
            f"{'>=' if target.at_least else '<='} {target.bound:,g}",
            "kept" if target.is_met else "**missed**",
        ]
        for target in section.targets
    ]


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def _picture(plot: Plot) -> str:
    """Draw a plot as SVG. Both axes are logarithmic, so proportional growth is a straight line with slope 1."""
    chart = pygal.XY(
        title=plot.title,
        x_title=plot.x,
        y_title=plot.y,
        logarithmic=True,
        xrange=None,
        style=CleanStyle,
        disable_xml_declaration=True,
        js=[],
        width=760,
        height=420,
        legend_at_bottom=True,
        no_prefix=True,
        x_labels=sorted({x for points in plot.lines.values() for x, _ in points}),
        truncate_legend=-1,
    )
    for name, points in plot.lines.items():
        chart.add(name, points)
    return str(chart.render(is_unicode=True)) + "\n"
