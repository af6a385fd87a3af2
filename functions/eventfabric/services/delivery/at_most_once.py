"""At most once: the events of a stretch are committed first and attempted afterwards, each once and never again.

    commit [cursor after e7; e5, of a parked key, waits there] ── attempt e3 e4 e6 e7
                                    └── the process dies: the events that were not attempted are dropped

A failure is final, so failures park no keys. There may be parked keys all the same: from a replay of a key, or from a
time when the subscription had another guarantee.
"""

from collections.abc import Sequence
from functools import partial

from eventfabric.services.delivery.endings import Ended, OutOfTime, only_race
from eventfabric.services.delivery.retry import Failed
from eventfabric.services.delivery.stretch import Stretch
from eventfabric.services.delivery.visit import Visit
from eventfabric.wire.commit_size import size_of_key


def run_at_most_once(visit: Visit, stretch: Stretch) -> Ended | None:
    """Commit as many events as there is time for, then attempt them. Events of parked keys are left waiting there."""
    visit.look_ahead(stretch)
    # A late event may go to a function of its own, which takes one event at a time.
    size, index = 1 if stretch.late else visit.batch_events_max, 0
    while index < len(stretch.events) or visit.cursor.sequence < stretch.end:
        most = size * visit.attempts_that_fit
        if not most and index < len(stretch.events):
            return OutOfTime()
        visit.await_credit()
        index, chosen = _next(visit, stretch, index, most)
        refused = visit.commit(stretch.cursor_at(stretch.before(index)))
        if refused is not None:
            return only_race(refused)
        _attempt(visit, stretch, chosen, size)
    return None


def _next(visit: Visit, stretch: Stretch, index: int, most: int) -> tuple[int, Sequence[int]]:
    """Choose at most `most` events to attempt. Return the index after the last one seen, and the chosen indices."""
    if visit.parking.is_empty and visit.noted_at is None:
        until = min(index + most, len(stretch.events))
        return until, range(index, until)
    chosen = list[int]()
    while index < len(stretch.events) and len(chosen) < most:
        place = stretch.place(index)
        parked = visit.parked_with(stretch.keys[index], place)
        if parked is not None:
            if not (visit.parking.size + size_of_key(parked)).fits:
                break  # so many keys changed that they fill the commit
            visit.wait(parked, place)
        # It was attempted under the guarantee before this one, so it must not be attempted again.
        elif place.sequence == visit.noted_at:
            visit.dropped(1)
        else:
            chosen.append(index)
        index += 1
    return index, chosen


def _attempt(visit: Visit, stretch: Stretch, chosen: Sequence[int], size: int) -> None:
    """Attempt the chosen events, which are committed, in batches of up to `size`."""
    ahead = visit.attempt_ahead(stretch, chosen, tries=1, on_failure=True)
    for start in range(0, len(chosen), size):
        events = [stretch.events[index] for index in chosen[start : start + size]]
        outcome = ahead.get(chosen[start])
        if outcome is None:
            again = partial(stretch.again, chosen[start])
            outcome = visit.attempt(events, again=again, tries=1, replay=stretch.replay)
        if isinstance(outcome, OutOfTime):
            visit.dropped(len(events))
        elif not isinstance(outcome, Failed):
            visit.publish_after(outcome)
            visit.handled(len(events))
