"""Declaring: one whole declaration after another, put at the tail of a Region's lane if nobody else has.

Two stacks of one Region declare at the same time, each something of its own. Whoever loses the place reads what the
other has declared, and declares on top of it. If the reply to a put is lost, the next read shows if it landed.
"""

from collections.abc import Callable
from itertools import takewhile
from typing import Final

from eventfabric.model import EMPTY_TAIL, BatchId, DeclarationLane, record_at
from eventfabric.model.catalogue import Declaration, Declared
from eventfabric.ports import Clock, Entropy, Log
from eventfabric.services.catalogue.lane import newest, readable_history
from eventfabric.services.catalogue.on_top import put_on_top
from eventfabric.wire.declaration import batch_of

REQUEST_SECONDS_MAX: Final = 3_600
"""Time in which a request may come again. Lambda keeps one for ten minutes (topology.CATALOGUE_AGE_MINUTES)."""

Update = Callable[[Declaration | None], Declaration | None]
"""Returns what is to be declared after a declaration; None: nothing has to be. It may be called several times."""


def declare(
    log: Log,
    lane: DeclarationLane,
    update: Update,
    *,
    clock: Clock,
    entropy: Entropy,
    source: str,
    fences: bool = False,
) -> Declared | None:
    """Declare what `update` returns, and return the lane's newest declaration; None: there is none.

    `fences`: also if all of that is declared. So the request is known if it comes again, and a put of an earlier one
    that is still under way finds its place taken.

    Raises:
        ContendedAppendError: not declared; others, or throttling, were in the way until the time was up.
        OutcomeUnknownError: no reply in time; it may be declared. Doing it again is harmless.
        UndecodableRecordError: the newest declaration cannot be read by this version; nothing is declared.
    """

    def attempt() -> tuple[Declared | None] | None:
        read = newest(log, lane)
        declaration = update(None if read is None else read.declaration)
        if declaration is None or _is_done(log, lane, read, declaration, fences=fences):
            return (read,)
        now_ms = clock.now_ms()
        declaration = declaration.as_of(now_ms)
        batch = batch_of(declaration, BatchId(entropy.bytes(16)), source=source)
        tail = EMPTY_TAIL if read is None else read.tail
        record = record_at(tail, lane, batch, now_ms=now_ms, retention_seconds=None)
        return (Declared(declaration, record.tail),) if log.append(record) is None else None

    return put_on_top(lane, attempt, clock=clock, entropy=entropy)


def _is_done(
    log: Log, lane: DeclarationLane, read: Declared | None, declaration: Declaration, *, fences: bool
) -> bool:
    """Tell if the newest declaration says all that is to be declared, or if this very request declared before.

    Others may have declared since, such as an operator who retired what the request had deployed.
    """
    if read is None:
        return False
    before = read.declaration
    is_same = (before.stream, before.subscriptions) == (declaration.stream, declaration.subscriptions)
    if is_same and not fences:
        return True
    own = declaration.change
    since_ms = own.at_ms - 1000 * REQUEST_SECONDS_MAX
    lately = takewhile(
        lambda change: change.at_ms >= since_ms, (known.change for known in readable_history(log, lane))
    )
    return any((own.request_id, own.kind, own.of) == (c.request_id, c.kind, c.of) for c in lately)
