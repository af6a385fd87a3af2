"""Draws a history as one self-contained HTML file: a row for each actor, a mark for each entry, anomalies on top.

Time goes from left to right in the order in which things took effect. Idle time takes little room, and the time is
written along the axis.
"""

from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.layout import (
    GROUP_HEIGHT,
    MARK_Y,
    ROW_HEIGHT,
    SPAN_HEIGHT,
    Layout,
    Span,
)
from eventfabric.testing.simulation.marks import SYMBOLS, Symbol, symbol_of, text_of, time_of
from eventfabric.testing.simulation.plan import Plan
from eventfabric.testing.simulation.verdict import Anomaly, Result, Verdict

_HERE: Final = Path(__file__).parent
_SIDE_WIDTH: Final = 190
_WIDTH_MIN: Final = 900.0
_AXIS_HEIGHT: Final = 18
_LINE_HEIGHT: Final = 15
_TIME_ROOM: Final = 78.0
_TEXT_CHARACTER: Final = 6.4
_TEXT_MAX: Final = 110
_WHOLE: Final = (history.Healed, history.Ended)


def timeline(of: History, verdicts: list[Verdict], *, error: str = "") -> str:
    """Return the picture as HTML. `error`: traceback, if the simulator failed before the end of the history."""
    title = escape(f"{of.plan.profile}, seed {of.plan.seed}")
    page = [
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>\n{_part('timeline.css')}</style>\n<h1>{title}</h1>",
        *(f'<p class="soft">{escape(line)}</p>' for line in _plan_lines(of.plan, len(of.entries))),
        *_verdict_lines(verdicts),
    ]
    if error:
        page.append(f'<p><span class="badge">the simulator failed</span></p>\n<pre>{escape(error)}</pre>')
    page += [_definitions(), *_legend(of), *_chart(of, verdicts)]
    page.append(f"<script>\n{_part('timeline.js')}</script>\n</html>\n")
    return "\n".join(page)


def _part(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _plan_lines(plan: Plan, entries: int) -> Iterator[str]:
    yield (
        f"{plan.durability}, {', '.join(plan.regions)}; lanes: {plan.lanes}; producers: {len(plan.producers)}; "
        f"publishes: {len(plan.publishes)}; events: {len(plan.events)}; entries: {entries}"
    )
    for subscription in plan.subscriptions:
        yield (
            f"{subscription.name}: {subscription.guarantee}, order {subscription.order}, "
            f"deliver {subscription.deliver}; consumers: {subscription.consumers}; "
            f"batch: {subscription.batch}; attempts: {subscription.attempts}"
        )
    yield "faults: " + (", ".join(f"{name} {rate:g}" for name, rate in plan.rates.items()) or "none")
    yield "happenings: " + (
        ", ".join(
            f"{happening.what} {happening.region} at {happening.after_seconds:g} s"
            for happening in plan.happenings
        )
        or "none"
    )


def _verdict_lines(verdicts: list[Verdict]) -> Iterator[str]:
    yield '<ul class="verdicts">'
    for result in (Result.INVALID, Result.UNKNOWN, Result.VALID):
        those = [verdict for verdict in verdicts if verdict.result is result]
        if result is Result.INVALID:
            for verdict in those:
                links = (
                    f'<a href="#e{anomaly.entry}">{escape(anomaly.what)}</a>' for anomaly in verdict.anomalies
                )
                yield f'<li><span class="badge">{escape(verdict.checker)}</span> {"<br>".join(links)}</li>'
        elif those:
            names = escape(", ".join(verdict.checker for verdict in those))
            yield f'<li><span class="badge {result.value}">{result.value}</span> {names}</li>'
    yield "</ul>"


def _definitions() -> str:
    shapes = "".join(f'<path id="s-{symbol.name}" d="{symbol.shape}"/>' for symbol in SYMBOLS.values())
    return f'<svg width="0" height="0" style="position:absolute"><defs>{shapes}</defs></svg>'


def _legend(of: History) -> Iterator[str]:
    counts = Counter(symbol_of(entry).name for entry in of.entries)
    yield '<ul class="legend">'
    for symbol in SYMBOLS.values():
        if counts[symbol.name]:
            yield (
                '<li><svg width="16" height="16" viewBox="-8 -8 16 16">'
                f"{_use(symbol, 0, 0)}</use></svg>{symbol.meaning} {counts[symbol.name]}</li>"
            )
    for name, meaning in (
        ("handled", "handled"),
        ("raised", "raised"),
        ("crashed", "crashed, or never ended"),
    ):
        yield (
            f'<li><svg width="22" height="10"><rect class="bar {name}" width="22" height="10"/></svg>'
            f"attempt: {meaning}</li>"
        )
    yield "</ul>"
    yield '<p><input id="wanted" type="search" placeholder="show only: e7, or us-east-1/0.0, or CursorMoved"></p>'


def _use(symbol: Symbol, x: float, y: float, about: str = "") -> str:
    return f'<use {about}class="mark {symbol.tone}" href="#s-{symbol.name}" x="{x:.1f}" y="{y:g}">'


def _chart(of: History, verdicts: list[Verdict]) -> Iterator[str]:
    layout = Layout(of)
    width = max(_WIDTH_MIN, layout.width)
    anomalies = [
        anomaly for verdict in verdicts for anomaly in verdict.anomalies if anomaly.entry < len(of.entries)
    ]
    yield f'<div class="scroll"><div class="head"><svg class="side" width="{_SIDE_WIDTH}" height="1"></svg>'
    yield from _axis(of, layout, width, anomalies)
    yield "</div>"
    yield '<div class="body">'
    yield f'<svg class="side" width="{_SIDE_WIDTH}" height="{layout.height:g}">'
    yield from _names(layout)
    yield f'</svg>\n<svg width="{width:.0f}" height="{layout.height:g}">'
    yield from _ground(of, layout, width)
    yield from _marks(of, layout)
    yield from _rings(of, layout, anomalies)
    yield "</svg></div></div>"


def _axis(of: History, layout: Layout, width: float, anomalies: list[Anomaly]) -> Iterator[str]:
    """Yield the anomalies' texts, each in the first line with room for it, and below them the time."""
    lines: list[float] = []
    texts: list[str] = []
    for anomaly in sorted(anomalies, key=lambda anomaly: anomaly.entry):
        text = anomaly.what if len(anomaly.what) <= _TEXT_MAX else f"{anomaly.what[:_TEXT_MAX]}…"
        x = layout.x[anomaly.entry]
        begin = max(0.0, min(x, width - _TEXT_CHARACTER * len(text)))
        line = next((number for number, end in enumerate(lines) if end <= begin), len(lines))
        lines[line : line + 1] = [begin + _TEXT_CHARACTER * (len(text) + 2)]
        y = _LINE_HEIGHT * (line + 1) - 3
        texts.append(
            f'<text class="anomaly" x="{begin:.1f}" y="{y}">{escape(text)}<title>{escape(anomaly.what)}</title></text>'
        )
    top = _LINE_HEIGHT * len(lines)
    yield f'<svg width="{width:.0f}" height="{top + _AXIS_HEIGHT}">'
    yield from texts
    free = 0.0
    for number, entry in enumerate(of.entries):
        if layout.x[number] >= free:
            free = layout.x[number] + _TIME_ROOM
            yield f'<text class="time" x="{layout.x[number]:.1f}" y="{top + 13}">{time_of(entry.at_ms)}</text>'
    yield "</svg>"


def _names(layout: Layout) -> Iterator[str]:
    for name, y in layout.groups:
        yield f'<rect class="groups" y="{y:g}" width="{_SIDE_WIDTH}" height="{GROUP_HEIGHT}"/>'
        yield f'<text class="group" x="8" y="{y + 13:g}">{escape(name)}</text>'
    for row in layout.rows:
        yield f'<text x="8" y="{row.y + MARK_Y + 4:g}">{escape(row.name)}<title>{escape(row.name)}</title></text>'


def _ground(of: History, layout: Layout, width: float) -> Iterator[str]:
    """Yield the background: stripes, idle time, lost Regions, spans, and the ends of phases."""
    for number, row in enumerate(layout.rows):
        if number % 2:
            yield f'<rect class="stripe" y="{row.y:g}" width="{width:.0f}" height="{ROW_HEIGHT}"/>'
    for begin, end in layout.idle:
        yield f'<rect class="idle" x="{begin:.1f}" width="{end - begin:.1f}" height="{layout.height:g}"/>'
    for name, y in layout.groups:
        yield f'<rect class="groups" y="{y:g}" width="{width:.0f}" height="{GROUP_HEIGHT}"/>'
        yield from _losses(layout, name, y)
    for span in layout.spans:
        yield _span(span)
    for number, entry in enumerate(of.entries):
        if isinstance(entry, _WHOLE):
            x = f"{layout.x[number]:.1f}"
            yield f'<path class="whole" d="M{x},0V{layout.height:g}"/>'


def _losses(layout: Layout, region: str, y: float) -> Iterator[str]:
    """Yield the times during which a Region was lost, over all its rows."""
    rows = sum(row.region == region for row in layout.rows)
    for span in layout.spans:
        if span.what == "region_loss" and span.region == region:
            yield (
                f'<rect class="lost" x="{span.begin:.1f}" y="{y:g}" width="{span.end - span.begin:.1f}" '
                f'height="{GROUP_HEIGHT + ROW_HEIGHT * rows}"><title>{escape(span.text)}</title></rect>'
            )


def _span(span: Span) -> str:
    y = span.lane * SPAN_HEIGHT
    return (
        f'<rect class="span {escape(span.what)}" x="{span.begin:.1f}" y="{y + 2}" '
        f'width="{max(3.0, span.end - span.begin):.1f}" height="{SPAN_HEIGHT - 4}"/>'
        f'<text class="label" x="{span.begin + 3:.1f}" y="{y + 11}">{escape(span.text)}</text>'
    )


def _marks(of: History, layout: Layout) -> Iterator[str]:
    for number, name in layout.begins:
        row, x = layout.row_of[of.entries[number].actor], layout.x[number] - 7
        title = f"<title>another process begins{escape(f' ({name})' if name else '')}</title>"
        yield f'<path class="process" d="M{x:.1f},{row.y:g}v{ROW_HEIGHT}">{title}</path>'
    for bar in layout.bars:
        began = of.entries[bar.entry]
        text = escape(f"{bar.outcome}\n{text_of(began, bar.entry)}")
        yield (
            f'<rect class="bar {bar.outcome}" x="{bar.begin:.1f}" y="{bar.row.y + MARK_Y - 4:g}" '
            f'width="{max(2.0, bar.end - bar.begin):.1f}" height="8"><title>{text}</title></rect>'
        )
    for number, entry in enumerate(of.entries):
        x, y = layout.x[number], layout.row_of[entry.actor].y + MARK_Y
        title = f"<title>{escape(text_of(entry, number))}</title>"
        yield f'{_use(symbol_of(entry), x, y, f"""id="e{number}" """)}{title}</use>'
        if number in layout.labels:
            label = escape(layout.labels[number])
            yield f'<text class="label" x="{x - 4:.1f}" y="{y - 9:g}">{label}</text>'


def _rings(of: History, layout: Layout, anomalies: list[Anomaly]) -> Iterator[str]:
    """Yield a ring around every anomaly's entry, with a line up to its text."""
    for anomaly in anomalies:
        x, y = layout.x[anomaly.entry], layout.row_of[of.entries[anomaly.entry].actor].y + MARK_Y
        yield (
            f'<g class="anomalies"><path d="M{x:.1f},0V{y - 9:g}M{x:.1f},{y + 9:g}V{layout.height:g}"/>'
            f'<circle cx="{x:.1f}" cy="{y:g}" r="9"><title>{escape(anomaly.what)}</title></circle></g>'
        )
