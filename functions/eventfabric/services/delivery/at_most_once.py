"""At most once: the events of one stretch, committed first and attempted then, each once and never again.

    commit [cursor behind e7; e5, of a parked key, waits there] ── attempt e3 e4 e6 e7
                                     └── the process dies: what was not attempted is dropped

A failure is final. Keys are parked all the same: by a replay of a key, or from when the guarantee was another.
"""

from collections.abc import Sequence as Seq
from functools import partial

from eventfabric.services.delivery.endings import Ended, OutOfTime, only_race
from eventfabric.services.delivery.retry import Failed
from eventfabric.services.delivery.stretch import Stretch
from eventfabric.services.delivery.visit import Visit
from eventfabric.wire.ledger_commit import size_of_key


def run_at_most_once(visit: Visit, stretch: Stretch) -> Ended | None:
    """Move the cursor over as much as there is time for, then attempt it; those of parked keys wait there."""
    visit.look_ahead(stretch)
    size, index = 1 if stretch.late else visit.batch_events_max, 0
    while index < len(stretch.events) or visit.cursor.sequence < stretch.end:
        most = size * visit.attempts_that_fit
        if not most and index < len(stretch.events):
            return OutOfTime()
        index, chosen = _next(visit, stretch, index, most)
        outcome = visit.commit(stretch.cursor_at(stretch.before(index)))
        if outcome is not None:
            return only_race(outcome)
        _attempt(visit, stretch, chosen, size)
    return None


def _next(visit: Visit, stretch: Stretch, index: int, most: int) -> tuple[int, Seq[int]]:
    """The index behind the next events, and those of them that are to be attempted, at most so many."""
    if visit.parking.is_empty and visit.noted_at is None:
        until = min(index + most, len(stretch.events))
        return until, range(index, until)
    chosen = list[int]()
    while index < len(stretch.events) and len(chosen) < most:
        place = stretch.place(index)
        parked = visit.parked_with(stretch.keys[index], place)
        if parked is not None:
            if not (visit.parking.size + size_of_key(parked)).fits:
                break  # so many keys changed that they need a commit of their own
            visit.wait(parked, place)
        elif place.sequence == visit.noted_at:
            visit.dropped(1)
        else:
            chosen.append(index)
        index += 1
    return index, chosen


def _attempt(visit: Visit, stretch: Stretch, chosen: Seq[int], size: int) -> None:
    ahead = visit.attempt_ahead(stretch, chosen, tries=1, on_failure=True)
    for start in range(0, len(chosen), size):
        events = [stretch.events[at] for at in chosen[start : start + size]]
        tried = ahead.get(chosen[start])
        if tried is None:
            again = partial(stretch.again, chosen[start])
            tried = visit.attempt(events, again=again, tries=1, replay=stretch.replay)
        if isinstance(tried, OutOfTime):
            visit.dropped(len(events))
        elif not isinstance(tried, Failed):
            visit.handled(len(events))
