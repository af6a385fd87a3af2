"""Locate: where in a lane's log a sequence or a time stands, with what a cursor there must know. Reads headers only."""

from collections.abc import Callable

from eventfabric import limits
from eventfabric.model.cursor import Cursor
from eventfabric.model.hybrid_clock import to_ms
from eventfabric.model.identity import Lane, Sequence
from eventfabric.model.record import UNKNOWN_CHAIN, Tail
from eventfabric.model.start import AtTime, Start
from eventfabric.ports import Log


def locate(log: Log, lane: Lane, start: Start, *, end: Tail, kept_from_ms: int | None = None) -> Cursor:
    """A fresh cursor at `start`, or at `end`, the tail of all that is looked at, where that comes first.

    Never at a record that was appended before `kept_from_ms`: such expire, in no order. One read for the first event of
    a record, about ten more for another one, and about log2 of the lane's sequences for a time.
    """
    if isinstance(start, AtTime):
        return _at_time(log, lane, max(start.ms, kept_from_ms or 0), end, expires=kept_from_ms is not None)
    if kept_from_ms is not None:
        kept = _at_time(log, lane, kept_from_ms, end, expires=True)
        if start.sequence <= kept.sequence:
            return kept
    return _at_sequence(log, lane, start.sequence, end)


def _at_sequence(log: Log, lane: Lane, sequence: Sequence, end: Tail) -> Cursor:
    if sequence >= end.sequence:
        return _at_end(end)
    before = log.tail(lane, before=sequence)
    if before.sequence <= sequence:  # smaller where a record has not come yet: then that one is waited for
        return _at_end(before)
    lowest = max(0, sequence - limits.RECORD_EVENTS_MAX + 1)
    base = _first(log, lane, lowest, sequence, lambda tail: tail.sequence > sequence)
    return Cursor(sequence, base, log.tail(lane, before=base).chain)


def _at_time(log: Log, lane: Lane, ms: int, end: Tail, *, expires: bool) -> Cursor:
    if to_ms(end.time) < ms:
        return _at_end(end)
    base = _first(log, lane, 0, end.sequence, lambda tail: to_ms(tail.time) >= ms)
    before = log.tail(lane, before=base)
    if before.sequence < base and expires:
        return Cursor(base, base, UNKNOWN_CHAIN)
    return _at_end(before)


def _at_end(tail: Tail) -> Cursor:
    return Cursor(tail.sequence, tail.sequence, tail.chain)


def _first(log: Log, lane: Lane, low: int, high: int, holds: Callable[[Tail], bool]) -> Sequence:
    """Where the first record begins of which `holds` is true; and of all after it; it begins in [low, high)."""
    while high - low > 1:
        middle = (low + high) // 2
        found = log.tail(lane, before=Sequence(middle))
        if holds(found):
            high = middle
        else:
            low = max(middle, found.sequence)
    return Sequence(low)
