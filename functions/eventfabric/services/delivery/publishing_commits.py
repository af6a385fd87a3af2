"""Publishing commits: the records of a handler's events, its writes and the cursor in one transaction.

    records at the tails of their lanes, writes, cursor      one transaction, with a token of its own
        a place is taken             the records go behind what stands there; the same commit
        busy, throttled, no reply    after a wait, the records where the lanes go on by now; the same commit
        the cursor has moved         by this very commit, which its token tells: committed; else the race is lost

Each try may hold other records than the one before, because the cursor's version lets only one of them be carried out.
The handler is not called again for any of this, and no attempt is counted.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from eventfabric import limits
from eventfabric.errors import (
    BackpressureError,
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
from eventfabric.services.delivery.context import Uncommitted, VisitContext
from eventfabric.services.delivery.endings import PublishRefused
from eventfabric.services.delivery.patience import Patience
from eventfabric.telemetry import Metric
from eventfabric.wire.published import Parts, Published

if TYPE_CHECKING:
    from eventfabric.services.delivery.target_streams import TargetStreams, TargetWrites


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


def _uncommitted(context: VisitContext, key: LaneKey, cursor: Cursor) -> Uncommitted:
    """Return the memory of a lane; a new one if the lane's state is not what it was."""
    known, place = context.uncommitted.pop(key, None), (cursor.sequence, cursor.roster)
    if known is None or known.place != place:
        known = Uncommitted(place)
    if len(context.uncommitted) >= limits.UNCOMMITTED_LANES_MAX:
        # In one step each, since other threads remember other lanes meanwhile.
        oldest, *_ = context.uncommitted
        context.uncommitted.pop(oldest, None)
    context.uncommitted[key] = known
    return known


def publish_before(
    context: VisitContext, key: LaneKey, cursor: Cursor, published: Sequence[Published], deadline_ms: int
) -> PublishRefused | None:
    """Append what handlers published before their events are committed. A crash in between publishes it again.

    What has landed is remembered until the commit, so that no later run of this process appends it again.

    PublishRefused: an event of the same id has other content. Raises PortError.
    """
    uncommitted = _uncommitted(context, key, cursor)
    append = _targets_of(context).append_of(uncommitted.missing(published))
    return _appended(context, uncommitted, append, deadline_ms)


def publish_failed(context: VisitContext, key: LaneKey, cursor: Cursor, deadline_ms: int) -> None:
    """Make the write that ended the lane's last run, before any handler is called: it shows if more can be published.

    Raises PortError.
    """
    if key not in context.uncommitted:
        return
    uncommitted = _uncommitted(context, key, cursor)
    failed, uncommitted.failed = uncommitted.failed, None
    if failed is not None:
        # A refusal is met again by the event that is to blame for it.
        _appended(context, uncommitted, failed, deadline_ms)


def forget_published(
    context: VisitContext, key: LaneKey, cursor: Cursor, published: Sequence[Published]
) -> None:
    """Forget what was published for events that are committed now. `cursor`: as it was committed."""
    uncommitted = context.uncommitted.get(key)
    if uncommitted is None:
        return  # that of too many other lanes has taken its place
    uncommitted.landed -= Counter(event.digest for event in published)
    # What has landed for events that are still to be committed stays known: the lane's state is as this commit left it.
    uncommitted.place = cursor.sequence, cursor.roster
    if not uncommitted.landed:
        context.uncommitted.pop(key, None)


def _appended(
    context: VisitContext, uncommitted: Uncommitted, append: "TargetWrites", deadline_ms: int
) -> PublishRefused | None:
    """Append, and remember what has landed, and the write that failed. Raises PortError."""
    began_ms = context.clock.steady_ms()
    try:
        with _named_uncertain(context):
            append.run(deadline_ms)
    except OnceConflictError as error:
        return PublishRefused(error)
    except PortError:
        append.keep_next()
        uncommitted.failed = append
        raise
    finally:
        uncommitted.landed.update(event.digest for event in append.landed)
        context.pace.paid(append.count if append.is_done else 0, began_ms)
        context.telemetry.add(Metric.EVENTS_PUBLISHED, len(append.landed))
    return None


def publish_after(
    context: VisitContext, key: LaneKey, published: Sequence[Published], deadline_ms: int
) -> None:
    """Append what a handler published for events that are committed, and will not come again: now or never.

    Where subscriptions hold producers back, it goes beyond the credit, and the lane waits before its next commit.
    """
    append, began_ms = _targets_of(context).append_of(published), context.clock.steady_ms()
    landed = 0
    try:
        try:
            append.run(deadline_ms)
        except ThrottledError as error:
            if not _is_of_credit(error):
                raise
            landed = len(append.landed)
            _note_shortage(context, key, published)
            append.run(deadline_ms, beyond_credit=True)
    except (PortError, LogError):
        context.telemetry.add(Metric.EVENTS_UNPUBLISHED, len(published) - landed - len(append.landed))
    finally:
        context.pace.paid(append.count if append.is_done else 0, began_ms)
        context.telemetry.add(Metric.EVENTS_PUBLISHED, landed + len(append.landed))


def await_credit(context: VisitContext, key: LaneKey) -> None:
    """Raise PortError while there is no credit in lanes that had none for what a lane's handlers published before.

    So no handler is called in vain, and nothing more goes beyond the credit.
    """
    lanes = context.short_of_credit.get(key)
    if lanes is not None:
        _targets_of(context).check_credit(lanes)
        context.short_of_credit.pop(key, None)


def _note_shortage(context: VisitContext, key: LaneKey, published: Sequence[Published]) -> None:
    before = context.short_of_credit.get(key, frozenset())
    context.short_of_credit[key] = before.union((event.stream, event.lane) for event in published)


def _is_of_credit(error: PortError) -> bool:
    """Tell if an error says that subscriptions hold the producers of a target lane back."""
    return isinstance(error.__cause__, BackpressureError)


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
        self._published = published
        self._records = _targets_of(context).prepare(published)
        self._counted = len(Parts(published))
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
                if _is_of_credit(error):  # the lane waits instead: it may be long, and others need the time
                    _note_shortage(self._context, self._key, self._published)
                    raise
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
        records = self._records.made(self._context.side_by_side)
        self._context.ledger.commit(self._key, never, self._moved, records=records)
        return WriteRefused(-1, error.reason.partition(":")[0], error.reason)

    def _check_count(self, records: int) -> None:
        """Raise StateRefusedError if lanes were split, so that the events need more records than were counted for them.

        The lane's next run knows the seals, and so counts anew. No handler is to blame.
        """
        others = len(self._writes) + len(self._parked) + len(self._decided) + 1
        if records > self._counted and records + others > limits.TRANSACTION_ACTIONS_MAX:
            reason = f"lanes were split: {records} records and {others} writes do not fit into one commit"
            raise StateRefusedError("publish", reason)

    def _sent(self) -> Committed | RaceLost | WriteRefused | SameItemTwice | Occupied:
        """Send the commit once, with records for where the lanes go on by now."""
        records = self._records.made(self._context.side_by_side)
        self._check_count(len(records))
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
