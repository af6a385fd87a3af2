"""Tells a short history in sentences: what a schedule did to one subscription's handler, line by line."""

from collections.abc import Iterator
from typing import Final

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import AnyEntry, History
from eventfabric.testing.simulation.marks import time_of

LINES_MAX: Final = 30


def story(of: History, subscriptions: frozenset[str]) -> list[str]:
    """Return what happened to these subscriptions' handlers, one line each; of a long story, only the end."""
    lines = list(_lines(of, subscriptions))
    if len(lines) <= LINES_MAX:
        return lines
    return [f"... {len(lines) - LINES_MAX} lines before", *lines[-LINES_MAX:]]


def _lines(of: History, subscriptions: frozenset[str]) -> Iterator[str]:
    tried: dict[tuple[str, str], int] = {}
    rows: list[tuple[str, str, str]] = []
    for entry in of.entries:
        sentence = _sentence(entry, subscriptions, tried)
        if sentence:
            rows.append((time_of(entry.at_ms), entry.actor, sentence))
    wide = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for time, actor, sentence in rows:
        yield f"{time:>{wide[0]}}  {actor:{wide[1]}}  {sentence}"


def _sentence(entry: AnyEntry, subscriptions: frozenset[str], tried: dict[tuple[str, str], int]) -> str:
    """Tell an entry in a sentence; empty if it does not belong to the story of these subscriptions."""
    match entry:
        case history.AttemptBegan() if entry.subscription in subscriptions:
            return _handed(entry, tried)
        case history.AttemptEnded() if entry.subscription in subscriptions:
            return f"  raises {entry.error}" if entry.error else "  has handled it"
        case history.EffectCalled() if entry.subscription in subscriptions:
            return f"  {entry.effect} of {entry.id}"
        case history.CursorMoved() | history.KeyChanged() if entry.subscription in subscriptions:
            return _changed(entry)
        case history.Crashed() | history.Called() if _is_of(entry.actor, subscriptions):
            return _trouble(entry)
        case _:
            return _aside(entry)


def _handed(entry: history.AttemptBegan, tried: dict[tuple[str, str], int]) -> str:
    ids = [place.id for place in entry.events]
    for id_ in ids:
        tried[entry.subscription, id_] = tried.get((entry.subscription, id_), 0) + 1
    again = max(tried[entry.subscription, id_] for id_ in ids)
    return f"is handed {' '.join(ids)}" + (f", time {again}" if again > 1 else "")


def _changed(entry: history.CursorMoved | history.KeyChanged) -> str:
    """Tell how the state of a lane changed; copies of it in other Regions are not told."""
    if entry.copied:
        return ""
    if isinstance(entry, history.CursorMoved):
        return f"commits: {entry.lane} up to {entry.after.sequence}"
    return f"key {entry.key!r} is " + (entry.after.state if entry.after else "free")


def _trouble(entry: history.Crashed | history.Called) -> str:
    if isinstance(entry, history.Crashed):
        return f"CRASHES: {entry.reason}"
    return f"FAULT: {entry.fault.replace('_', ' ')}" + (f" of {entry.call}" if entry.call else "")


def _aside(entry: AnyEntry) -> str:
    """Tell what happened outside of the handlers."""
    match entry:
        case history.Acknowledged():
            return f"{entry.id} is published"
        case history.Happened() if not entry.outcome.startswith("0 letters"):
            return f"{entry.what} {entry.about} {'' if entry.outcome == 'done' else entry.outcome}".strip()
        case history.Healed():
            return "no faults from here on"
        case _:
            return ""


def _is_of(actor: str, subscriptions: frozenset[str]) -> bool:
    role, _, rest = actor.partition(" ")
    return role == "deliver" and rest.partition(" ")[0] in subscriptions
