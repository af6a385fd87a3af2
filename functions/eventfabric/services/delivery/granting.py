"""Granting: how a subscription's functions grant producers of a lane to append, as far as they get on with it.

    first run of a lane          grants from its tail, before anything is handed out
    doorbell came again          copies what the cursor's account says: the run before may have died before its copy;
                                 at its end, grants anew where nothing waits
    commit                       the account moves with the cursor; what it grants is copied into the lane's slot
    paused                       grants from the tail, without a commit, or nothing (`while_paused`)
    end of the run               a copy that failed is made up for; else the doorbell must come again

The account is `eventfabric.model.credit`; decision 0083 says why. Only functions of subscriptions that hold producers
back import this module.
"""

from collections.abc import Callable
from dataclasses import replace

from eventfabric.definition.sections import Backpressure, WhilePaused
from eventfabric.errors import PortError, UndecodableItemError
from eventfabric.model import (
    ANY_TAIL,
    Cursor,
    Doorbell,
    Lane,
    LaneKey,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)
from eventfabric.model.credit import Account
from eventfabric.ports import Clock, Log, Page
from eventfabric.rare_ports import Credits
from eventfabric.services.delivery.patience import Patience
from eventfabric.telemetry import Metric, Telemetry
from eventfabric.wire.keys import credit_part


class Granting:
    """Grants of one subscription in one Region."""

    def __init__(
        self,
        name: SubscriptionName,
        settings: Backpressure,
        *,
        credits: Credits,
        log: Log,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """`name`: of its state."""
        self.settings = settings
        self.clock = clock
        self._name = name
        self._credits = credits
        self._log = log
        self._telemetry = telemetry
        self._paused: dict[LaneKey, Account] = {}
        """Accounts of lanes that were granted more while paused. None grants more than its slot."""

    def begin(self, key: LaneKey, *, tail: SequenceNumber) -> "LaneCredit":
        """Begin a visit to a lane. `tail`: of its doorbell."""
        self._paused.pop(key, None)
        return LaneCredit(self, key, tail=tail)

    def tail(self, lane: Lane, tail: SequenceNumber) -> SequenceNumber:
        """Return where a lane ends, as far as the tail of a doorbell tells; by a read if it does not."""
        return self._log.tail(lane).sequence if tail in (0, ANY_TAIL) else tail

    def grant(self, key: LaneKey, account: Account, patience: Patience | None = None) -> Account:
        """Copy what an account grants into the lane's slot. Return the account, with what the slot holds.

        PortError, once patience is at its end.
        """
        while True:
            try:
                learnt = account.learnt(self._credits.grant(key, account.granted))
            except UndecodableItemError:
                return account  # a slot that cannot be read gates nothing, and must not stop the lane
            except PortError as error:
                if patience is None or not (error.retryable and patience.wait()):
                    raise
            else:
                self._telemetry.add(Metric.CREDITS_RAISED)
                return learnt

    def pass_paused(
        self, doorbell: Doorbell, cursor_of: Callable[[LaneKey], Cursor], *, patience: Patience
    ) -> None:
        """Let the producers of a paused lane go on: grant from its tail, as if all were drained. PortError, LogError.

        `cursor_of`: reads a lane's cursor.

        A lane in which nothing was ever granted stays as it is, for it gates nothing.
        """
        # A timer for a parked key tells of no events.
        if self.settings.while_paused is WhilePaused.HOLD or not doorbell.tail:
            return
        key = LaneKey(StreamName(doorbell.stream), self._name, doorbell.lane)
        known = self._paused.get(key)
        account = known or cursor_of(key).credit or self._first(key)
        if account is None:
            return
        passed = account.passed(self.tail(doorbell.lane, doorbell.tail), self.settings)
        # An account that was only read may have been committed without its copy.
        if passed is not known:
            passed = self.grant(key, passed, patience)
        self._paused[key] = passed

    def _first(self, key: LaneKey) -> Account | None:
        """Return the account of a first grant, which is copied before any cursor has it; None if there is none."""
        part = credit_part(key.lane)
        granted = self._credits.granted(key.stream, key.subscription, key.lane.origin, part=part)
        slots = [grants[key.lane.number] for grants in granted.values() if key.lane.number in grants]
        now_ms = self.clock.now_ms()
        return Account(max(slots), SequenceNumber(0), now_ms, now_ms) if slots else None


class LaneCredit:
    """The credit of one lane in one visit."""

    def __init__(self, granting: Granting, key: LaneKey, *, tail: SequenceNumber) -> None:
        self._granting = granting
        self._key = key
        self._doorbell_tail = tail
        self._tail = SequenceNumber(0) if tail == ANY_TAIL else tail
        self._copied = SequenceNumber(0)
        self._came_again = False
        self.has_learnt = False
        """True if the slot held more than the account, which is to be stored: it goes on from there."""

    def opened(self, cursor: Cursor, *, again: bool, patience: Patience) -> Cursor:
        """Return the cursor with an account whose grant is copied, if it is the first, or the doorbell came `again`.

        PortError, LogError.
        """
        account, self._came_again = cursor.credit, again
        if account is None:
            self._tail = self._granting.tail(self._key.lane, self._doorbell_tail)
            now_ms = self._granting.clock.now_ms()
            account = Account.opened(cursor.sequence, self._tail, now_ms, self._granting.settings)
        elif not again:
            self._copied = account.granted
            return cursor
        return self._copied_of(replace(cursor, credit=account), account, patience)

    def saw(self, page: Page, base: SequenceNumber) -> None:
        """Note where the lane ends, as far as a page from `base` on tells."""
        end = page.records[-1].tail.sequence if page.records else base
        self._tail = SequenceNumber(max(self._tail, end + page.more))

    def after(self, read: Cursor, sequence: SequenceNumber, *, drains: bool) -> Account | None:
        """Return the account that is to be committed with the cursor at `sequence`.

        `drains`: False if the events up to there are gone, rather than drained.
        """
        account = read.credit
        if account is None or sequence == read.sequence:
            return account
        now_ms = self._granting.clock.now_ms()
        account = account.measured(sequence - read.sequence if drains else 0, now_ms)
        if not drains:
            account = replace(account, place=sequence)
        return account.decided(sequence, self._tail, now_ms, self._granting.settings)

    def committed(self, cursor: Cursor) -> Cursor:
        """Copy what a commit granted. If that fails, it is owed until the run ends: what was handled is to be counted.

        Return the cursor, with what the slot holds.
        """
        self.has_learnt = False  # the commit stored it
        try:
            return self._made_up(cursor, None)
        except PortError:
            return cursor

    def settled(self, cursor: Cursor, patience: Patience) -> Cursor:
        """Copy what is still owed at the end of a run. PortError: the doorbell must come again."""
        return self._made_up(cursor, patience)

    def anew(self, cursor: Cursor) -> Cursor | None:
        """Return the cursor that is to be committed, since a run that came again grants more where nothing waits.

        Whoever moved the cursor there may have granted nothing: an operator, or a pass of reconciliation.
        """
        account, granting = cursor.credit, self._granting
        # A lane that never began (version 0) may begin elsewhere.
        if account is None or not (self._came_again and cursor.version) or cursor.sequence < self._tail:
            return None
        decided = account.decided(cursor.sequence, self._tail, granting.clock.now_ms(), granting.settings)
        return replace(cursor, credit=decided) if decided.granted > account.granted else None

    def _made_up(self, cursor: Cursor, patience: Patience | None) -> Cursor:
        account = cursor.credit
        if account is None or account.granted <= self._copied:
            return cursor
        return self._copied_of(cursor, account, patience)

    def _copied_of(self, cursor: Cursor, account: Account, patience: Patience | None) -> Cursor:
        learnt = self._granting.grant(self._key, account, patience)
        self._copied = learnt.granted
        self.has_learnt |= learnt.granted > account.granted
        return replace(cursor, credit=learnt)
