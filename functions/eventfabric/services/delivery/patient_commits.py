"""Patient commits: commits and timers are tried again in place, for a passing failure must not end a lane run."""

from collections.abc import Sequence

from eventfabric import limits
from eventfabric.errors import PortError
from eventfabric.model import (
    CommitOutcome,
    Cursor,
    Decided,
    Doorbell,
    LaneKey,
    ParkedChange,
    Write,
    WriteRefused,
)
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.patience import Patience
from eventfabric.telemetry import Metric


def commit_patiently(
    context: VisitContext,
    key: LaneKey,
    read: Cursor,
    moved: Cursor,
    *,
    parked: Sequence[ParkedChange],
    writes: Sequence[Write],
    decided: Sequence[Decided],
    deadline_ms: int,
) -> CommitOutcome:
    """Commit, and try again for a while if the ledger, or a row of the handler's, is busy or gives no reply.

    Raises PortError if that lasts. If DynamoDB refuses the request as a whole, the handler's writes are blamed, if
    there are any: what the fabric itself writes is never wrong.
    """
    # All tries carry one token, so that a try whose reply was lost is recognised.
    token = context.policy.entropy.bytes(limits.COMMIT_TOKEN_BYTES)
    patience: Patience | None = None
    while True:
        failure: PortError | None = None
        try:
            outcome = context.ledger.commit(
                key, read, moved, parked=parked, writes=writes, decided=decided, token=token
            )
            if not (isinstance(outcome, WriteRefused) and outcome.is_busy):
                return outcome
        except PortError as error:
            if not error.retryable:
                if not writes:
                    raise
                return WriteRefused(-1, error.reason.partition(":")[0], error.reason)
            failure = error
        patience = patience or context.patience(deadline_ms)
        if not patience.wait():
            if failure is not None:
                raise failure
            return outcome


def ring_later_patiently(
    context: VisitContext, doorbell: Doorbell, delay_seconds: float, *, deadline_ms: int
) -> None:
    """Have a lane rung when a key of it is due. If no timer can be set for a while, go on without.

    Any doorbell of the lane makes the run look at what is due, and reconciliation rings if nobody did. It would cost
    more to hold the lane up for a timer, or to give up the commit that it is for.
    """
    patience: Patience | None = None
    while not context.doorbells.ring_later(context.subscription.name, doorbell, delay_seconds):
        patience = patience or context.patience(deadline_ms)
        if not patience.wait():
            context.telemetry.add(Metric.DOORBELLS_FAILED, of=str(doorbell.stream))
            return
