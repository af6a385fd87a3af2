"""Layout of a history's picture: a row for each actor, a column for each entry, idle time compressed."""

import re
from itertools import pairwise
from math import log10
from typing import Final

import msgspec

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import AnyEntry, History
from eventfabric.testing.simulation.marks import label_of, symbol_of

ROW_HEIGHT: Final = 28
MARK_Y: Final = 18
"""Position of marks in a row; above it there is room for a label."""
GROUP_HEIGHT: Final = 18
SPAN_HEIGHT: Final = 16
LABEL_CHARACTER: Final = 5.2
_COLUMNS: Final = ((150, 22.0), (700, 12.0))
_COLUMN_MIN: Final = 8.0
_SLIGHT_SHARE: Final = 0.4
_IDLE_MS: Final = 1_000
_IDLE_WIDTH: Final = 8.0
_MARGIN: Final = 16.0
_LABEL_MAX: Final = 40
_ROLES: Final = ("producer", "relay", "deliver", "timer", "reconcile", "replication")
_NUMBERED: Final = ("producer", "relay", "deliver")
"""Roles whose number distinguishes actors. For other roles, it only says when the actor began."""
_SPANS: Final = {
    "region_loss": "region_return",
    "cut": "join",
    "outage": "outage_end",
    "silence": "silence_end",
    "pause": "resume",
}


class Row(msgspec.Struct):
    """One actor, through all its processes. `y`: its upper edge."""

    name: str
    region: str
    y: float = 0.0


class Span(msgspec.Struct):
    """Something that lasted for a while."""

    what: str
    text: str
    region: str
    begin: float
    end: float
    lane: int = 0


class Bar(msgspec.Struct, frozen=True):
    """An attempt. `entry`: number of its first entry. `outcome`: handled, raised, or crashed if it never ended."""

    row: Row
    begin: float
    end: float
    entry: int
    outcome: str


class Layout:
    """The layout of one history. `x`: each entry's column; `row_of`: each actor's row; `width`, `height`: in all."""

    def __init__(self, of: History) -> None:
        self._history = of
        self.rows: list[Row] = []
        self.x, self.idle = _columns(of.entries)
        self.width = (self.x[-1] if self.x else 0.0) + 2 * _MARGIN
        self.spans = _spans(of, self.x)
        self.span_lanes = 1 + max((span.lane for span in self.spans), default=-1)
        self.row_of = _rows(of)
        self.groups: list[tuple[str, float]] = []
        self.height = self._stack()
        self.bars = _bars(of.entries, self.x, self.row_of)
        self.labels = self._labels()
        self.begins = self._begins()

    def _stack(self) -> float:
        """Give every row its place: first those without a Region, then Region by Region. Return the height."""
        y, region = float(self.span_lanes * SPAN_HEIGHT), ""
        self.rows = list({id(row): row for row in self.row_of.values()}.values())
        self.rows.sort(key=lambda row: _standing(row, self._history.plan.regions))
        for row in self.rows:
            if row.region != region:
                region = row.region
                self.groups.append((region, y))
                y += GROUP_HEIGHT
            row.y = y
            y += ROW_HEIGHT
        return y

    def _labels(self) -> dict[int, str]:
        """Return the labels for which there is room, by entry."""
        free: dict[int, float] = {}
        labels: dict[int, str] = {}
        for number, entry in enumerate(self._history.entries):
            label, row = label_of(entry)[:_LABEL_MAX], id(self.row_of[entry.actor])
            x = self.x[number] - 4
            if label and x >= free.get(row, 0.0):
                labels[number] = label
                free[row] = x + LABEL_CHARACTER * (len(label) + 1)
        return labels

    def _begins(self) -> list[tuple[int, str]]:
        """Return where another process of an actor begins: its first entry, and its number."""
        last: dict[int, str] = {}
        begins: list[tuple[int, str]] = []
        for number, entry in enumerate(self._history.entries):
            row = id(self.row_of[entry.actor])
            if last.get(row, entry.actor) != entry.actor:
                begins.append((number, entry.actor.rpartition("#")[2] if "#" in entry.actor else ""))
            last[row] = entry.actor
        return begins


def _columns(entries: list[AnyEntry]) -> tuple[list[float], list[tuple[float, float]]]:
    """Return each entry's x, in order, and the stretches without entries, for which there is only little room."""
    unit = next((width for most, width in _COLUMNS if len(entries) <= most), _COLUMN_MIN)
    x, columns, idle = _MARGIN, list[float](), list[tuple[float, float]]()
    for before, entry in pairwise([None, *entries]):
        assert entry is not None
        passed_ms = 0 if before is None else entry.at_ms - before.at_ms
        step = unit * (_SLIGHT_SHARE if symbol_of(entry).is_slight else 1.0)
        if passed_ms >= _IDLE_MS:
            gap = _IDLE_WIDTH * (1 + log10(passed_ms / _IDLE_MS))
            idle.append((x + step / 2, x + step / 2 + gap))
            x += gap
        x += step
        columns.append(x)
    return columns, idle


def _rows(of: History) -> dict[str, Row]:
    rows: dict[tuple[str, str], Row] = {}
    row_of: dict[str, Row] = {}
    for entry in of.entries:
        if entry.actor not in row_of:
            name = re.sub(r"#\d+$", "", entry.actor)
            if name.partition(" ")[0] not in _NUMBERED:
                name = re.sub(r" \d+$", "", name)
            words = name.split(" ")
            region = next((word for word in words if word in of.plan.regions), "")
            if region:
                words.remove(region)
            key = (" ".join(words), region)
            row_of[entry.actor] = rows.setdefault(key, Row(*key))
    return row_of


def _standing(row: Row, regions: tuple[str, ...]) -> tuple[int, int, str]:
    """Return a row's sort key: the world, other rows without a Region, then Region by Region, as events travel."""
    region = regions.index(row.region) + 1 if row.region else 0
    role = row.name.partition(" ")[0]
    return region, _ROLES.index(role) if role in _ROLES else -1 if role == "world" else len(_ROLES), row.name


def _spans(of: History, x: list[float]) -> list[Span]:
    """Return what lasted for a while: until its end is noted, or all faults end. Simultaneous spans do not overlap."""
    open_: dict[tuple[str, str], Span] = {}
    spans: list[Span] = []
    for number, entry in enumerate(of.entries):
        if isinstance(entry, history.Healed):
            for span in open_.values():
                span.end = x[number]
            open_.clear()
        if not isinstance(entry, history.Happened):
            continue
        key = (entry.what, f"{entry.about} {entry.outcome}")
        if entry.what in _SPANS and not entry.outcome.endswith(("Error", "Crash")):
            region = entry.about.partition(" ")[0]
            who = {"region_loss": region, "silence": region, "cut": entry.about}.get(
                entry.what, entry.outcome
            )
            text = f"{entry.what.replace('_', ' ')}: {who}"
            span = Span(entry.what, text, region, x[number], x[-1] + _MARGIN)
            open_[_SPANS[entry.what], key[1]] = span
            spans.append(span)
        elif key in open_:
            open_.pop(key).end = x[number]
    _lay(spans)
    return spans


def _lay(spans: list[Span]) -> None:
    """Give each span the first lane that is free where it begins."""
    free: list[float] = []
    for span in spans:
        room = max(span.end, span.begin + LABEL_CHARACTER * (len(span.text) + 2))
        span.lane = next((lane for lane, end in enumerate(free) if end <= span.begin), len(free))
        free[span.lane : span.lane + 1] = [room]


def _bars(entries: list[AnyEntry], x: list[float], row_of: dict[str, Row]) -> list[Bar]:
    """Return every attempt with its end, which the same process notes. A process that died notes none."""
    begun: dict[str, int] = {}
    last: dict[str, int] = {entry.actor: number for number, entry in enumerate(entries)}
    bars: list[Bar] = []

    def end(actor: str, end_number: int, outcome: str) -> None:
        number = begun.pop(actor, None)
        if number is not None:
            bars.append(Bar(row_of[actor], x[number], x[end_number], number, outcome))

    for number, entry in enumerate(entries):
        if isinstance(entry, history.AttemptBegan):
            end(entry.actor, number, "crashed")
            begun[entry.actor] = number
        elif isinstance(entry, history.AttemptEnded):
            end(entry.actor, number, "raised" if entry.error else "handled")
    for actor in list(begun):
        end(actor, last[actor], "crashed")
    return bars
