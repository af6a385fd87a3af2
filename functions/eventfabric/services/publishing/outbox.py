"""Outbox: append records to their lanes together with the caller's own writes; all of it exactly once, or nothing.

This is append (append.py) in one transaction. If a record stands where ours was to go, it is either another's, and its
end is the next tail; or it is our own, and shows that the whole transaction landed. While the outcome of a transaction
is unknown, it is sent again unchanged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eventfabric import limits
from eventfabric.deadline import call_within
from eventfabric.errors import (
    ContendedTransactionError,
    IndeterminateTransactionError,
    OutcomeExpiredError,
    OutcomeUnknownError,
    RefusedError,
    ThrottledError,
    TransactionRefusedError,
)
from eventfabric.model import (
    Occupied,
    Record,
    SameItemTwice,
    Write,
    WriteRefused,
)
from eventfabric.ports import Clock, Entropy, Outbox
from eventfabric.services.publishing.posted_tails import PostedTails, Posting
from eventfabric.services.publishing.tries import Tries

WritesOf = Callable[[Sequence[Record]], Sequence[Write]]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A transaction as it is sent, and when it was made, by the wall clock and by the steady one."""

    records: list[Record]
    token: bytes
    made_ms: int
    made_steady_ms: int

    def is_forgotten(self, clock: Clock) -> bool:
        """Tell if sending the transaction again might carry it out twice.

        A transaction with a record is recognised by the record in its place. One without is known to DynamoDB alone, by
        its token, and only for about ten minutes. Both clocks count: the steady clock stands still while a process is
        suspended, and the wall clock may be set back.
        """
        age_ms = max(clock.now_ms() - self.made_ms, clock.steady_ms() - self.made_steady_ms)
        return not self.records and age_ms > 1000 * limits.TRANSACTION_TOKEN_SECONDS


class OutboxAppend:
    """One transaction that appends records. Several postings to one lane stand there one after the other.

    After an error that says so, `run` may be called again: it first settles the transaction whose outcome is unknown.
    """

    def __init__(
        self,
        postings: Sequence[Posting],
        writes_of: WritesOf,
        *,
        outbox: Outbox,
        clock: Clock,
        entropy: Entropy,
        timeout_seconds: float,
    ) -> None:
        self._postings = postings
        self._writes_of = writes_of
        self._outbox = outbox
        self._clock = clock
        self._entropy = entropy
        self._timeout_ms = int(timeout_seconds * 1000)
        self._unsettled: _Prepared | None = None
        self._tails = PostedTails(clock)

    def run(self) -> list[Record]:
        """Write all postings, and return the record that holds each of them, in their order.

        Raises:
            TransactionRefusedError: a write's own condition failed, or DynamoDB refuses it: nothing was written.
            ContendedTransactionError: nothing was written; other publishers, or throttling, were in the way.
            IndeterminateTransactionError: no reply in time; `run` again settles it.
            UncertainTailError: nothing was written; the item at a lane's end cannot be believed.
            SealedLaneError: nothing was written; a lane was split, so that all is to be planned and counted anew.
            BackpressureError: nothing was even sent; subscriptions hold the producers of a lane back.
            OutcomeExpiredError: the transaction to be settled would have expired, or has no event and was forgotten by
                DynamoDB: nothing tells if it was written.
        """
        tries = Tries(self._clock, self._entropy, until_ms=self._clock.steady_ms() + self._timeout_ms)
        try:
            return call_within(self._timeout_ms / 1000 + limits.LAST_TRY_SECONDS, self._run, tries)
        finally:
            self._tails.forget()  # the next call of `run` may come days later

    def _run(self, tries: Tries) -> list[Record]:
        prepared = self._unsettled
        while True:
            prepared = prepared or self._prepared(tries)
            if self._is_old(prepared, tries):
                prepared = None
                self._tails.forget()
                self._wait(tries, None)
                continue
            try:
                outcome = self._send(prepared)
            # All that was sent is kept, its token too, so that each further try is the same transaction.
            except OutcomeUnknownError as error:
                self._unsettled = prepared
                self._wait(tries, error)
                continue
            except ThrottledError as error:
                self._wait(tries, error)
                continue
            # From here on the outcome is known: written, or refused as a whole.
            records, self._unsettled, prepared = prepared.records, None, None
            if outcome is None or _is_mine(outcome, records):
                return records
            if not isinstance(outcome, Occupied):
                raise _refusal(outcome)
            self._give_way(outcome, tries)

    def _is_old(self, prepared: _Prepared, tries: Tries) -> bool:
        """Tell if others may since have taken its places, been delivered, and expired. OutcomeExpiredError."""
        # Sent again after that, it might be carried out twice.
        if self._unsettled is not None and self._unsettled.is_forgotten(self._clock):
            raise OutcomeExpiredError(None)
        return tries.are_old(prepared.records, are_unsettled=self._unsettled is not None)

    def _send(self, prepared: _Prepared) -> Occupied | WriteRefused | SameItemTwice | None:
        """Send the transaction. None: it is written."""
        records = prepared.records
        posted = [(posting.table, record) for posting, record in zip(self._postings, records, strict=True)]
        try:
            return self._outbox.append(posted, self._writes_of(records), token=prepared.token)
        except ThrottledError:
            raise  # it is a refusal that says: later
        except RefusedError as error:
            if self._unsettled is None:
                raise
            raise IndeterminateTransactionError(
                f"refused, but an earlier try had no reply: {error}"
            ) from error

    def _give_way(self, taken: Occupied, tries: Tries) -> None:
        """Go on after another's record. As in append.py, at once; and every few conflicts wait and read the tail."""
        self._tails.meet(self._postings[taken.index], taken.record)
        if tries.lost_again():
            self._tails.forget()
            self._wait(tries, None, most_seconds=limits.APPEND_CONFLICT_WAIT_MAX_SECONDS)

    def _prepared(self, tries: Tries) -> _Prepared:
        """Make the records at the tails of their lanes, for as long as there is time to read these."""
        while True:
            try:
                records = self._tails.records(self._postings)
            except (OutcomeUnknownError, ThrottledError) as error:
                self._wait(tries, error)
            else:
                return _Prepared(
                    records, self._entropy.bytes(16), self._clock.now_ms(), self._clock.steady_ms()
                )

    def _wait(
        self,
        tries: Tries,
        cause: Exception | None,
        *,
        most_seconds: float = limits.APPEND_BACKOFF_MAX_SECONDS,
    ) -> None:
        """Back off with full jitter, or give up if the time is up."""
        if tries.are_over:
            if self._unsettled is not None:
                raise IndeterminateTransactionError(f"no reply: {cause}") from cause
            reason = cause or "other publishers wrote there first, each time"
            raise ContendedTransactionError(f"not written after {self._timeout_ms} ms: {reason}") from cause
        tries.back_off(most_seconds)


def _is_mine(outcome: Occupied | WriteRefused | SameItemTwice, records: Sequence[Record]) -> bool:
    # An earlier try, of which the reply was lost, wrote the record, and with it the whole transaction.
    return isinstance(outcome, Occupied) and outcome.record.holds(records[outcome.index])


def _refusal(outcome: WriteRefused | SameItemTwice) -> TransactionRefusedError:
    if isinstance(outcome, SameItemTwice):
        return TransactionRefusedError(-1, "SameItemTwice", "two writes touch one item", None)
    return TransactionRefusedError(outcome.index, outcome.code, outcome.message, outcome.item)
