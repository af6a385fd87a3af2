"""One Region: its tables by name, its queues by name, and transactions across its tables."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from eventfabric import limits
from eventfabric.errors import LastingError, RefusedError
from eventfabric.ports import Clock
from eventfabric.testing.memory.queue import MemoryQueue, MemoryTimers
from eventfabric.testing.memory.refusals import LASTING, REASONS, refusal
from eventfabric.testing.memory.table import MemoryTable, PlannedWrite
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.keys import PK, SK, Item

_TOKEN_MS: Final = 600_000
Actions = Sequence[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Reason:
    """Outcome of one action of a cancelled transaction. Code "None": this action would have succeeded."""

    code: str
    message: str = ""
    item: Item | None = None


class TransactionCancelledError(Exception):
    """The transaction was cancelled and nothing of it was written; `reasons` holds one reason for each action."""

    def __init__(self, reasons: Sequence[Reason]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(f"transaction cancelled: [{', '.join(reason.code for reason in reasons)}]")


class SameItemTwiceError(Exception):
    """Two actions of the transaction touch the same item."""


@dataclass(frozen=True, slots=True)
class _PlannedTransaction:
    """Effects that the actions of a transaction would have, each by itself.

    `reasons` has one outcome for each action, `elsewhere` the numbers of those on tables that are not here.
    """

    reasons: list[Reason]
    plans: list[tuple[MemoryTable, PlannedWrite]] = field(default_factory=list)
    elsewhere: list[int] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Size of the transaction: that of all items here, as they would be or, if they would go, as they are."""
        return sum(item_bytes(plan.new or plan.old or {}) for _, plan in self.plans)


class OtherTables(Protocol):
    """Tables of a Region that are kept elsewhere: those of handlers that run on another emulator."""

    def transact(self, actions: Actions) -> None:
        """Make all of the writes, or none. TransactionCancelledError, SameItemTwiceError, RefusedError."""


@dataclass(frozen=True, slots=True)
class Tear:
    """Makes a transaction take a moment, during which readers see only part of it.

    `hides` takes the number of items and returns the indexes of those that reads see unchanged until the transaction is
    over; `meanwhile` runs what happens until then.
    """

    hides: Callable[[int], Collection[int]]
    meanwhile: Callable[[], None]


class MemoryRegion:
    """One Region of a memory cloud.

    `others` keeps the tables that are not here. `tear` applies to the next transaction.
    """

    def __init__(self, name: str, *, clock: Clock) -> None:
        self.name = name
        self.clock = clock
        self.tables: dict[str, MemoryTable] = {}
        self.queues: dict[str, MemoryQueue] = {}
        self.timers: dict[str, MemoryTimers] = {}
        self.others: OtherTables | None = None
        self.tear: Tear | None = None
        self._tokens: dict[str, tuple[int, str, bool]] = {}
        """When each token was used, for which content, and if that was done."""

    def create_table(self, name: str, *, key_names: tuple[str, ...] = (PK, SK)) -> MemoryTable:
        """Create a table. A handler's table may have key attributes of its own."""
        table = MemoryTable(name, clock=self.clock, region=self.name, key_names=key_names)
        self.tables[name] = table
        return table

    def table(self, name: str) -> MemoryTable:
        """Return the table of that name. LastingError if there is none."""
        try:
            return self.tables[name]
        except KeyError:
            raise LastingError("write", f"ResourceNotFoundException: {name}", "missing") from None

    def transact(self, actions: Actions, *, token: str) -> None:
        """Make all of the writes (each an action and its request), or none.

        TransactionCancelledError, SameItemTwiceError, RefusedError. Within ten minutes, the same token means the same
        transaction: it is done once, and refused if its content differs.
        """
        tear, self.tear = self.tear, None
        now, content = self.clock.now_ms(), repr(actions)
        if self._is_done(token, content, now):
            return
        # A cancelled transaction may bind its token as well: nothing promises that it does not.
        self._tokens[token] = now, content, False
        if not 0 < len(actions) <= limits.TRANSACTION_ACTIONS_MAX:
            raise RefusedError("transact", f"ValidationException: {len(actions)} actions, allowed: 1 to 100")
        planned = self._plan(actions)
        if planned.bytes > limits.TRANSACTION_BYTES_MAX:
            raise RefusedError(
                "transact", f"ValidationException: {planned.bytes:,} bytes, allowed: 4 MB in all"
            )
        if any(reason.code != "None" for reason in planned.reasons):
            raise TransactionCancelledError(planned.reasons)
        if self.others is not None and planned.elsewhere:
            # Nothing happens between this and the writes applied below: both are written, or neither.
            self._write_elsewhere(self.others, actions, planned.elsewhere)
        self._tokens[token] = now, content, True
        _apply(planned.plans, tear)

    def _is_done(self, token: str, content: str, now: int) -> bool:
        """Tell if the transaction of this token was done a short while ago. RefusedError if that was another one."""
        used_ms, known, is_done = self._tokens.get(token, (None, "", False))
        if used_ms is None or now >= used_ms + _TOKEN_MS:
            return False
        if known != content:
            raise RefusedError(
                "transact", "IdempotentParameterMismatchException: another transaction's token"
            )
        return is_done

    def _plan(self, actions: Actions) -> "_PlannedTransaction":
        """PlannedWrite each action by itself. SameItemTwiceError, RefusedError, LastingError."""
        planned = _PlannedTransaction(reasons=[Reason("None")] * len(actions))
        touched: set[tuple[str, tuple[Any, ...]]] = set()
        for number, (action, request) in enumerate(actions):
            if self.others is not None and request["TableName"] not in self.tables:
                planned.elsewhere.append(number)
                continue
            table = self.table(request["TableName"])
            if not table.has_transactions:
                raise RefusedError("transact", f"ValidationException: {table.name} has no transactions")
            plan = table.plan(action, request)
            if (table.name, plan.key) in touched:
                raise SameItemTwiceError(f"{table.name} {plan.key}")
            touched.add((table.name, plan.key))
            planned.plans.append((table, plan))
            planned.reasons[number] = _reason(table, action, plan)
        return planned

    def _write_elsewhere(self, others: OtherTables, actions: Actions, numbers: Sequence[int]) -> None:
        try:
            others.transact([actions[number] for number in numbers])
        except TransactionCancelledError as cancelled:
            reasons = [Reason("None")] * len(actions)
            for number, reason in zip(numbers, cancelled.reasons, strict=True):
                reasons[number] = reason
            raise TransactionCancelledError(reasons) from None


def _apply(plans: Sequence[tuple[MemoryTable, PlannedWrite]], tear: Tear | None) -> None:
    for table, plan in plans:
        table.apply(plan)
    if tear is None or len(plans) == 1:
        return
    hidden = [plans[number] for number in tear.hides(len(plans))]
    for table, plan in hidden:
        table.hidden[plan.key] = plan.old
    try:
        tear.meanwhile()
    finally:
        for table, plan in hidden:
            table.hidden.pop(plan.key, None)


def _reason(table: MemoryTable, action: str, plan: PlannedWrite) -> Reason:
    """Return the outcome of an action by itself. LastingError if the table refuses the whole transaction."""
    code = table.refuser(action, plan.key)
    if code in LASTING:
        raise refusal(code, "transact", table.name)
    if code is not None:
        return Reason(REASONS[code], table.name)
    return Reason(plan.refused or "None", plan.message, plan.returned)
