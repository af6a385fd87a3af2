"""Runner of backfills in this process: plans one, and copies its slices with some workers until all are done."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Flag
from threading import Lock

from eventfabric.model.backfill import Report, SliceProgress
from eventfabric.services.backfill.copy_slice import Ending
from eventfabric.services.backfill.lifecycle import Backfiller, spread


def run_backfill(
    backfiller: Backfiller,
    backfill_id: str,
    *,
    planned: Callable[[list[SliceProgress]], None] = lambda slices: None,
    watch: Callable[[SliceProgress], None] = lambda progress: None,
) -> Report:
    """Plan what is not planned yet, and copy what is not copied yet. Return the result.

    After an interruption it can be run again: it goes on from where it was.

    Args:
        backfiller: the one of the Region that is copied into.
        backfill_id: a backfill that is running; of any other nothing is copied.
        planned: told what is to be copied, as far as that is known, while it is being found.
        watch: told the progress of a slice after each page, from whatever thread copies it.

    Raises:
        OutcomeUnknownError, ThrottledError: a service did not answer for long.
    """
    slices = plan(backfiller, backfill_id, planned)
    waiting, stopped = _Waiting(spread(slices)), Flag()
    workers = min(backfiller.find(backfill_id).workers, len(slices))
    if workers > 1:
        _in_threads(workers, lambda: work(backfiller, backfill_id, waiting, stopped.is_set, watch), stopped)
    else:  # in the caller's thread: the local fabric bears one thread at a time
        work(backfiller, backfill_id, waiting, stopped.is_set, watch)
    return backfiller.finish(backfill_id)


def plan(
    backfiller: Backfiller, backfill_id: str, planned: Callable[[list[SliceProgress]], None]
) -> list[SliceProgress]:
    """Plan to the end, and return all slices that are not done."""
    slices: list[SliceProgress] = []
    more: str | None = None
    while True:
        handed = backfiller.hand_out(backfill_id, more)
        slices += handed.slices
        planned(slices)
        more = handed.more
        if more is None:
            return slices


def work(
    backfiller: Backfiller,
    backfill_id: str,
    waiting: Iterator[SliceProgress],
    stopped: Callable[[], bool],
    watch: Callable[[SliceProgress], None],
) -> None:
    """Run one worker: copy slice after slice, until none is left or it is told to stop."""
    copier = backfiller.copier(backfill_id, stopped=stopped, watch=watch)
    for progress in waiting:
        if copier.copy(progress).ending in (Ending.STOPPED, Ending.CANCELLED):
            return


def _in_threads(workers: int, job: Callable[[], None], stopped: Flag) -> None:
    with ThreadPoolExecutor(workers, "eventfabric-backfill") as pool:
        jobs = [pool.submit(job) for _ in range(workers)]
        try:
            for running in jobs:
                running.result()
        finally:
            stopped.set()  # if interrupted, or if one worker failed, the others stop at their next record


class _Waiting:
    """Slices that wait to be copied. Workers take them one at a time."""

    def __init__(self, slices: list[SliceProgress]) -> None:
        self._slices = iter(slices)
        self._lock = Lock()

    def __iter__(self) -> Iterator[SliceProgress]:
        return self

    def __next__(self) -> SliceProgress:
        with self._lock:
            return next(self._slices)
