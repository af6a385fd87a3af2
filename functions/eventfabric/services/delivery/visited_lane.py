"""Visited lane: the owner of a lane's state in one visit: its cursor, its parked keys, and the commits of both.

Commits and timers are tried again in place, for a passing failure must not end a lane run. Before it hands out a batch
that may stand in two lanes, a visit decides which copy is delivered.

A publisher that had no reply in one Region appends the batch in the next, with a note of the place where the first copy
may be. The visit that comes to the noted copy decides, once, before any of its events is handed out:

    decided before               as it was decided
    the first copy is here       other: the noted copy is stepped over, the first is delivered in its own lane
    it is not                    noted: the noted copy is delivered; the first, should it come, is stepped over

The decision stands beside the state of the first copy's lane, where a visit there reads it with the cursor. It is
committed with the noted lane's cursor unmoved, so that only one of two visits decides. After a crash right after that,
the noted lane comes to the record again, and finds it decided.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

from eventfabric import limits
from eventfabric.errors import PortError, StateRefusedError
from eventfabric.model import (
    Committed,
    Cursor,
    Decided,
    Decision,
    Doorbell,
    LaneChange,
    LaneKey,
    LaneState,
    Note,
    Occupied,
    ParkedChange,
    ParkedState,
    RaceLost,
    Record,
    SameItemTwice,
    SequenceNumber,
    Write,
    WriteRefused,
)
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.endings import Refused, only_race, refusal
from eventfabric.services.delivery.parking import Parking
from eventfabric.services.delivery.patience import Patience
from eventfabric.services.delivery.publishing_commits import (
    PublishingCommit,
    await_credit,
    forget_published,
    publish_after,
    publish_before,
)
from eventfabric.services.delivery.retry import Failed
from eventfabric.services.delivery.stretch import SteppedOver
from eventfabric.telemetry import Metric
from eventfabric.wire.published import Effect, published_of, writes_of

if TYPE_CHECKING:  # only subscriptions that hold producers back need it
    from eventfabric.services.delivery.granting import LaneCredit


class VisitedLane:
    """A lane's state. `cursor` and `parking` are as they were read, or as the last commit left them."""

    def __init__(self, context: VisitContext, key: LaneKey, state: LaneState, *, deadline_ms: int) -> None:
        self._context = context
        self.key = key
        self.deadline_ms = deadline_ms
        self.cursor = state.cursor(context.region)
        self.stepped_over = SteppedOver(state, alone=context.decides_alone, lanes=context.subscription.lanes)
        self.parking = Parking(
            key,
            state,
            region=context.region,
            ledger=context.ledger,
            clock=context.clock,
            telemetry=context.telemetry,
        )
        self.credit: LaneCredit | None = None

    def open_credit(self, doorbell: Doorbell, *, again: bool) -> None:
        """Grant producers what was not granted before, and copy it once more if the doorbell came `again`. PortError.

        The run before may have died after its commit, and this one may take long.
        """
        granting = self._context.granting
        if granting is not None:
            self.credit = granting.begin(self.key, tail=doorbell.tail)
            again, patience = again or doorbell.again > 0, self._context.patience(self.deadline_ms)
            self.cursor = self.credit.opened(self.cursor, again=again, patience=patience)

    def settle_credit(self) -> None:
        """Copy what was granted and could not be copied at once. PortError: the doorbell must come again.

        If a person granted more meanwhile, that is stored, too. It is rare enough for a write of its own.
        """
        if self.credit is None:
            return
        if (anew := self.credit.anew(self.cursor)) is not None:
            outcome = self._context.ledger.commit(self.key, self.cursor, anew)
            # A race is lost to a run that decides by itself.
            self.cursor = outcome.cursor if isinstance(outcome, Committed) else self.cursor
        self.cursor = self.credit.settled(self.cursor, self._context.patience(self.deadline_ms))
        # A lane that never began (version 0) may begin elsewhere. A race is lost to a run that learns it by itself.
        if self.credit.has_learnt and self.cursor.version:
            self._context.ledger.commit(self.key, self.cursor, self.cursor)

    def commit(
        self,
        moved: Cursor,
        effects: Sequence[Effect] = (),
        *,
        decided: Sequence[Decided] = (),
        drains: bool = True,
    ) -> RaceLost | Refused | None:
        """Commit the cursor, the parked keys that changed, and the effects. None if that is done.

        `drains`: False if the cursor passes events that are gone.
        """
        # A lane runs back only by a replay, which is an operator's commit and never a visit's.
        assert self.cursor.sequence <= moved.sequence, "a visit moves its cursor only forward"
        changes = self.parking.changes(moved.sequence)
        # At the version that was read, even if the cursor stays:
        # whoever wrote the lane since makes all of this lose.
        credit = self.credit
        account = None if credit is None else credit.after(self.cursor, moved.sequence, drains=drains)
        moved = replace(moved, version=self.cursor.version, epoch=self.cursor.epoch, credit=account)
        moved = self.parking.beside(moved, self.cursor, changes)
        # A visit that changed nothing costs no write.
        if moved == self.cursor and not changes and not effects and not decided:
            return None
        self._ring_timers(changes)
        outcome = self._carried_out(moved, changes, effects, decided)
        if isinstance(outcome, WriteRefused) and outcome.index < 0 and (lost := self._check_own_table()):
            return lost
        if not isinstance(outcome, Committed):
            return outcome
        self.cursor = outcome.cursor
        self.parking.committed(outcome.cursor, changes)
        if credit is not None:
            self.cursor = credit.committed(self.cursor)
        return None

    def _carried_out(
        self,
        moved: Cursor,
        changes: Sequence[ParkedChange],
        effects: Sequence[Effect],
        decided: Sequence[Decided],
    ) -> Committed | RaceLost | Refused:
        """Write all of a commit. What a handler published goes with it, or before it if nothing is transactional."""
        context, writes = self._context, writes_of(effects) if effects else ()
        if len(writes) < len(effects):
            published = published_of(effects)
            if context.subscription.definition.guarantee.transactional:
                return PublishingCommit(
                    context,
                    self.key,
                    self.cursor,
                    moved,
                    parked=changes,
                    writes=writes,
                    published=published,
                    decided=decided,
                    deadline_ms=self.deadline_ms,
                ).run()
            refused = publish_before(context, self.key, self.cursor, published, self.deadline_ms)
            if refused is not None:
                return refused
        outcome = commit_patiently(
            context,
            self.key,
            self.cursor,
            moved,
            parked=changes,
            writes=writes,
            decided=decided,
            deadline_ms=self.deadline_ms,
        )
        if len(writes) < len(effects) and isinstance(outcome, Committed):
            forget_published(context, self.key, outcome.cursor, published_of(effects))
        return outcome

    def publish_after(self, effects: Sequence[Effect]) -> None:
        """Append what the handler published for events that were committed before their attempt."""
        if effects:
            publish_after(self._context, self.key, published_of(effects), self.deadline_ms)

    def await_credit(self) -> None:
        """Raise PortError while what was published for events committed before is beyond the credit there."""
        await_credit(self._context, self.key)

    def settle(self, noted: Sequence[Record]) -> RaceLost | None:
        """Decide about noted batches, and commit that before any of their events is handed out. The cursor stays."""
        decided, elsewhere = settle_notes(self._context, self.key, noted)
        outcome = self.commit(self.cursor, decided=decided) if decided else None
        if outcome is not None:
            return only_race(outcome)
        self.stepped_over.add_noted(elsewhere)
        if decided:
            self._context.telemetry.add(Metric.COPIES_SETTLED, len(decided))
        return None

    def save(self) -> RaceLost | None:
        """Commit the parked keys. The cursor stays."""
        return self.move(self.cursor)

    def move(self, moved: Cursor) -> RaceLost | None:
        """Commit the cursor and the parked keys, without writes."""
        outcome = self.commit(moved)
        return None if outcome is None else only_race(outcome)

    def save_with(self, effects: Sequence[Effect]) -> Failed | RaceLost | None:
        """Commit the parked keys with a handler's effects. A refusal of these is the handler's failure."""
        outcome = self.commit(self.cursor, effects)
        if outcome is None or isinstance(outcome, RaceLost):
            return outcome
        return refusal(outcome)

    def _check_own_table(self) -> RaceLost | None:
        """Find out, by a commit that changes nothing, if it is the ledger that refuses; then raise that refusal.

        DynamoDB's refusal of a whole transaction names no write: the table that is denied or missing may be the
        fabric's own.
        """
        outcome = self._context.ledger.commit(self.key, self.cursor, self.cursor)
        if not isinstance(outcome, Committed):
            return only_race(outcome)
        self.stands_at(outcome.cursor)
        return None

    def stands_at(self, cursor: Cursor) -> None:
        """Take over the cursor of a commit that changed none of the lane's parked keys."""
        self.cursor = cursor
        self.parking.take_over_cursor(cursor)

    def _ring_timers(self, changes: Sequence[ParkedChange]) -> None:
        """Have the lane rung when a key is due. Before the commit: a timer too many is harmless, one too few is not."""
        for change in changes:
            after = change.after
            if after is None or after.state is not ParkedState.RETRYING or after.attempting:
                continue
            # Its timer is under way already.
            if change.before is not None and change.before.due_ms == after.due_ms:
                continue
            bell = Doorbell(self.key.stream, self.key.lane, SequenceNumber(0), again=after.due_ms)
            delay_seconds = max(0, ceil((after.due_ms - self._context.clock.now_ms()) / 1000))
            _ring_later_patiently(self._context, bell, delay_seconds, deadline_ms=self.deadline_ms)


def commit_patiently(
    context: VisitContext,
    key: LaneKey,
    read: Cursor,
    moved: Cursor,
    *,
    parked: Sequence[ParkedChange] = (),
    writes: Sequence[Write] = (),
    decided: Sequence[Decided] = (),
    beside: Sequence[LaneChange] = (),
    deadline_ms: int,
) -> Committed | RaceLost | WriteRefused | SameItemTwice:
    """Commit, and try again for a while if the ledger, or a row of the handler's, is busy or gives no reply.

    Raises PortError if that lasts. If DynamoDB refuses the request as a whole, the handler's writes are blamed, if
    there are any: what the fabric itself writes is never wrong.
    """
    # All tries carry one token, so that a try whose reply was lost is recognised.
    token = context.policy.entropy.bytes(limits.COMMIT_TOKEN_BYTES)
    patience: Patience | None = None
    while True:
        busy: WriteRefused | PortError
        try:
            outcome = context.ledger.commit(
                key,
                read,
                moved,
                parked=parked,
                writes=writes,
                decided=decided,
                beside=beside,
                token=token,
            )
            assert not isinstance(outcome, Occupied), "a commit without records meets none"
            if not (isinstance(outcome, WriteRefused) and outcome.is_busy):
                return outcome
            busy = outcome
        except PortError as error:
            if not error.retryable:
                if not writes or isinstance(error, StateRefusedError):
                    raise
                return WriteRefused(-1, error.reason.partition(":")[0], error.reason)
            busy = error
        patience = patience or context.patience(deadline_ms)
        if not patience.wait():
            if isinstance(busy, PortError):
                raise busy
            return busy


def _ring_later_patiently(
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


def settle_notes(
    context: VisitContext, key: LaneKey, noted: Sequence[Record]
) -> tuple[list[Decided], list[Record]]:
    """Return the new decisions, and the records that are delivered elsewhere. Two reads for each undecided batch.

    In a lane that was split off, a decision is about the part of the batch that stands there.
    """
    alone, decided, elsewhere = context.decides_alone, list[Decided](), list[Record]()
    for record in noted:
        assert record.note is not None, "only records with a note are settled"
        first_key = replace(key, lane=record.note.lane)
        state = context.ledger.state(first_key, glance=True)
        part = None if record.lane.is_root else record.lane
        noted_wins = (record.batch_id, part) in state.parts_won_by(alone)
        # A decision stands, even if the first copy arrives later: the noted one may be handled by then.
        if not state.is_decided(record.batch_id, alone, part):
            noted_wins = not _is_here(context, record.note, record)
            decision = Decision(context.region, record.batch_id, noted_wins=noted_wins, part=part)
            # The decision must outlive both copies: the other one may still arrive.
            keep_seconds = (context.subscription.retention_seconds or 0) + limits.DECISION_KEPT_SECONDS
            decided.append(Decided(first_key, decision, context.clock.now_ms() // 1000 + keep_seconds))
        if not noted_wins:
            elsewhere.append(record)
    return decided, elsewhere


def _is_here(context: VisitContext, note: Note, record: Record) -> bool:
    """Tell if this Region has the first copy: at the noted sequence or nowhere, since its put was tried at no other."""
    end = SequenceNumber(note.sequence + 1)
    first = context.log.read(note.lane, note.sequence, records_max=1, before=end).first
    return first is not None and first.sequence == note.sequence and is_copy(first, record)


def is_copy(first: Record, noted: Record) -> bool:
    """Tell if a record is the first copy of a noted one's batch, which may have been cut in two on its way."""
    if first.lane.is_root and noted.lane.is_root:
        return first.is_copy_of(noted)
    return not first.is_seal and first.batch_id == noted.batch_id
