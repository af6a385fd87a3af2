"""Noted pass: a pass whose progress is noted in the ledger, so that no invocation has to make all of it.

    invocation 1    parts 0 to 13, then its time is over    noted: part 14 is next, and what was counted so far
    invocation 2    parts 14 to 23                          the gauges of all 24 parts are reported; the note is cleared

A pass that takes less than a minute notes nothing. While one is under way, another invocation leaves the stream alone;
if both began at the same time, they repair twice what may be repaired twice, and one of them keeps its notes.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from eventfabric.errors import PortError
from eventfabric.model import StreamName
from eventfabric.model.finding import Finding
from eventfabric.model.pass_progress import PassProgress
from eventfabric.ports import Clock, Ledger
from eventfabric.services.reconciliation import pass_bounds
from eventfabric.services.reconciliation.parts import part_after
from eventfabric.services.reconciliation.reconcile import PassOrder, Reconciler
from eventfabric.stream_topology import StreamTopology


class NotedPass:
    """One invocation's part of a pass over a stream. `until_ms`: when it must end, in ms since 1970."""

    def __init__(
        self, stream: StreamTopology, reconciler: Reconciler, *, ledger: Ledger, clock: Clock, until_ms: int
    ) -> None:
        self._stream = stream
        self._name = StreamName(stream.name)
        self._reconciler = reconciler
        self._ledger = ledger
        self._clock = clock
        self._until_ms = until_ms
        self._stored = PassProgress()
        self._began_ms = self._noted_ms = 0
        self.comes_round = False
        """True if the pass is complete, or has not been under way for long, here or in another invocation."""
        self._first = self.left = ""
        """The part with which this invocation begins, and the next one goes on; empty: the first, and none."""

    def run(self, *, full: bool = False) -> Iterator[Finding]:
        """Yield the findings of the pass, from where it was left. At its end comes the first error of a lane."""
        self._began_ms = self._noted_ms = self._clock.now_ms()
        self._stored = self._ledger.progress(self._name)
        if self._stored.is_under_way(self._noted_ms) and not full:
            self.comes_round = self._is_young(self._stored)
            return
        may_resume = self._stored.is_full or not full
        resumed = self._stored if self._stored.part and may_resume else PassProgress()
        self._first = resumed.part
        order = PassOrder(
            repair=True,
            full=full or resumed.is_full,
            thorough=False,
            resumed=resumed,
            until_ms=self._until_ms,
        )
        try:
            yield from self._reconciler.make(order, noted=self._note_now_and_then)
        except Exception:  # whatever ended the pass, the next one need not wait until its time is over
            with suppress(PortError):
                self._end(has_failed=True)
            raise
        self._end()
        self.comes_round = (
            not resumed.is_broken if not self.left else self._is_young(self._reconciler.progress)
        )

    def _is_young(self, progress: PassProgress) -> bool:
        # A time ahead of this clock was noted by something else, and tells nothing.
        return abs(self._clock.now_ms() - progress.began_ms) <= 1000 * pass_bounds.PASS_LATE_SECONDS

    def _note_now_and_then(self, progress: PassProgress) -> None:
        """Note the progress at most once a minute, for the case that the invocation is cut off."""
        if self._clock.now_ms() - self._noted_ms >= 1000 * pass_bounds.PASS_NOTE_SECONDS:
            with suppress(PortError):  # the pass can do without the note
                self._note(progress)

    def _end(self, *, has_failed: bool = False) -> None:
        """Note what is left, if anything is; else that nothing is, if a note says otherwise."""
        left = replace(self._reconciler.progress, until_ms=0)
        spent_ms = self._clock.now_ms() - self._began_ms
        if left.part and left.part == self._first and spent_ms >= 1000 * pass_bounds.PASS_NOTE_SECONDS:
            # One part took all of this invocation's time. It must not hold up the others for ever.
            left = replace(left, part=part_after(self._stream, left.part), is_full=False, is_broken=True)
        self.left = left.part
        if left.part and (self._stored.part or not has_failed):
            self._note(left)
        elif self._stored.part:
            self._note(PassProgress())

    def _note(self, progress: PassProgress) -> None:
        """Replace the note, unless another invocation was faster: then it is that one's pass."""
        stored = self._ledger.note_pass(self._name, self._stored, progress)
        self._noted_ms = self._clock.now_ms()
        if stored is not None:
            self._stored = stored
