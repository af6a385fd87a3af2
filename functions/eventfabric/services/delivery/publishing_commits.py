"""Publishing commits: the records of a handler's events, its writes and the cursor in one transaction.

    records at the tails of their lanes, writes, cursor      one transaction, with a token of its own
        a place is taken             the records go behind what stands there; the same commit
        busy, throttled, no reply    after a wait, the records where the lanes go on by now; the same commit
        the cursor has moved         by this very commit, which its token tells: committed; else the race is lost

Each try may hold other records than the one before, because the cursor's version lets only one of them be carried out.
The handler is not called again for any of this, and no attempt is counted.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from eventfabric import limits
from eventfabric.errors import (
    LastingError,
    LogError,
    OnceConflictError,
    PortError,
    RefusedError,
    StateRefusedError,
    ThrottledError,
)
from eventfabric.model import (
    Committed,
    Cursor,
    Decided,
    LaneKey,
    Occupied,
    ParkedChange,
    RaceLost,
    SameItemTwice,
    Write,
    WriteRefused,
)
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.endings import PublishRefused
from eventfabric.services.delivery.patience import Patience
from eventfabric.telemetry import Metric
from eventfabric.wire.published import Published

if TYPE_CHECKING:
    from eventfabric.services.delivery.target_streams import TargetStreams


def _targets_of(context: VisitContext) -> "TargetStreams":
    assert context.targets is not None, "a handler publishes only where its subscription lists the stream"
    return context.targets


@contextmanager
def _named_uncertain(context: VisitContext) -> Iterator[None]:
    """Raise a target lane whose end is in doubt as a PortError: all attempts have ended. Report what lasts."""
    try:
        yield
    except LogError as error:
        context.telemetry.add(Metric.DELIVERIES_BLOCKED)
        raise RefusedError("publish", str(error)) from error
    except RefusedError as error:
        # Calls that are denied and the like are counted where they are made.
        if not (error.retryable or isinstance(error, LastingError)):
            context.telemetry.add(Metric.DELIVERIES_BLOCKED)
        raise


def publish_before(context: VisitContext, published: Sequence[Published]) -> PublishRefused | None:
    """Append what handlers published before their events are committed. A crash in between publishes it again.

    PublishRefused: an event of the same id has other content. Raises PortError.
    """
    try:
        with _named_uncertain(context):
            _targets_of(context).append(published)
    except OnceConflictError as error:
        return PublishRefused(error)
    context.telemetry.add(Metric.EVENTS_PUBLISHED, len(published))
    return None


def publish_after(context: VisitContext, published: Sequence[Published]) -> None:
    """Append what a handler published for events that are committed, and will not come again: now or never."""
    try:
        _targets_of(context).append(published)
    except (PortError, LogError):
        context.telemetry.add(Metric.EVENTS_UNPUBLISHED, len(published))
    else:
        context.telemetry.add(Metric.EVENTS_PUBLISHED, len(published))


class PublishingCommit:
    """One commit that publishes, however often it is sent."""

    def __init__(
        self,
        context: VisitContext,
        key: LaneKey,
        read: Cursor,
        moved: Cursor,
        *,
        parked: Sequence[ParkedChange],
        writes: Sequence[Write],
        published: Sequence[Published],
        decided: Sequence[Decided],
        deadline_ms: int,
    ) -> None:
        self._context = context
        self._records = _targets_of(context).prepare(published)
        self._key = key
        self._read = read
        self._moved = moved
        self._parked = parked
        self._writes = writes
        self._decided = decided
        self._deadline_ms = deadline_ms
        # The identity of the commit. It stands in the cursor, whatever
        # records go with it, so that a try whose reply was lost is recognised.
        self._token = context.policy.entropy.bytes(limits.COMMIT_TOKEN_BYTES)
        self._conflicts = 0
        self._is_in_doubt = False
        """A try may have had no reply, so that what landed may be other records than those of the last try."""

    def run(self) -> Committed | RaceLost | WriteRefused | SameItemTwice:
        """Send the commit until its outcome is known. Raises PortError."""
        with _named_uncertain(self._context):
            return self._run()

    def _run(self) -> Committed | RaceLost | WriteRefused | SameItemTwice:
        patience: Patience | None = None
        while True:
            busy: WriteRefused | PortError
            try:
                outcome = self._sent()
                if isinstance(outcome, Occupied):
                    busy = ThrottledError("publish", "others wrote there first, each time")
                    if self._conflicts % (limits.APPEND_BLIND_CONFLICTS_MAX + 1):
                        continue  # at once: whoever waits finds its place taken again
                elif isinstance(outcome, WriteRefused) and outcome.is_busy:
                    busy = outcome
                else:
                    return outcome
            except PortError as error:
                if not error.retryable:
                    return self._refused(error)
                busy = error
            self._records.forget()
            # Whatever the answer was: the adapter may have sent the request before, without a reply.
            self._is_in_doubt = True
            patience = patience or self._context.patience(self._deadline_ms, limits.PUBLISH_PATIENCE_SECONDS)
            if not patience.wait():
                if isinstance(busy, PortError):
                    raise busy
                return busy

    def _refused(self, error: PortError) -> WriteRefused:
        """Return the refusal of a whole transaction as that of the handler's writes, or raise it.

        Such a refusal names no action. So a transaction of all the others is sent that cannot take effect: a table that
        is denied, missing or without a usable key is refused before any condition is looked at.
        """
        if not self._writes or isinstance(error, StateRefusedError):
            raise error
        never = replace(self._read, version=limits.SEQUENCE_MAX - 1)
        self._context.ledger.commit(self._key, never, self._moved, records=self._records.made())
        return WriteRefused(-1, error.reason.partition(":")[0], error.reason)

    def _sent(self) -> Committed | RaceLost | WriteRefused | SameItemTwice | Occupied:
        """Send the commit once, with records for where the lanes go on by now."""
        records = self._records.made()
        outcome = self._context.ledger.commit(
            self._key,
            self._read,
            self._moved,
            parked=self._parked,
            writes=self._writes,
            records=records,
            decided=self._decided,
            token=self._token,
        )
        if isinstance(outcome, Occupied):
            self._conflicts += 1
            self._records.meet(outcome)
            self._context.telemetry.add(Metric.TAILS_LOST)
        elif isinstance(outcome, Committed):
            # A tail that was never written must not be remembered: the next record would stand behind a hole.
            if self._is_in_doubt:
                self._records.forget()
            else:
                self._records.landed(records)
            self._context.telemetry.add(Metric.EVENTS_PUBLISHED, self._records.count)
        return outcome
