"""Transactions of producers on tables in memory, with the requests, conditions, token and reasons used on AWS."""

from collections.abc import Sequence

from eventfabric.model import Occupied, Record, SameItemTwice, Write, WriteRefused
from eventfabric.testing.memory.region import MemoryRegion, SameItemTwiceError, TransactionCancelledError
from eventfabric.testing.memory.requests import Requests
from eventfabric.wire.outbox_request import outcome_of
from eventfabric.wire.record_puts import actions_of
from eventfabric.wire.service_errors import Refusal


class MemoryOutbox:
    """ports.Outbox of one Region."""

    def __init__(self, region: MemoryRegion, *, requests: Requests | None = None) -> None:
        self._region = region
        self._requests = requests or Requests()

    def append(
        self, records: Sequence[tuple[str, Record]], writes: Sequence[Write], *, token: bytes
    ) -> Occupied | WriteRefused | SameItemTwice | None:
        """See ports.Outbox. One transaction."""
        actions = actions_of(records, writes)
        try:
            self._requests.send("transact", lambda: self._region.transact(actions, token=token.hex()))
        except SameItemTwiceError:
            return SameItemTwice()
        except TransactionCancelledError as cancelled:
            refusals = [Refusal(reason.code, reason.message, reason.item) for reason in cancelled.reasons]
            return outcome_of(refusals, len(records))
        return None
