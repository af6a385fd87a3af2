"""Ports: the outside world as the services see it, defined by meaning.

The adapters in aws/ and memory/ keep these promises; one suite checks both.
A call either returns, or raises a PortError that says if it may have taken effect.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from eventfabric.errors import UndecodableItemError
from eventfabric.model import (
    Circuit,
    CommitOutcome,
    Cursor,
    Decided,
    Doorbell,
    Event,
    HybridTime,
    Intervention,
    Lane,
    LaneChange,
    LaneKey,
    LaneState,
    Marks,
    Occupied,
    Owner,
    Parked,
    ParkedChange,
    Recent,
    Record,
    Region,
    SameItemTwice,
    SequenceNumber,
    Settled,
    Standing,
    StepKey,
    StepState,
    StreamName,
    SubscriptionName,
    Tail,
    Write,
    WriteRefused,
)
from eventfabric.stream_topology import StreamTopology

if TYPE_CHECKING:  # only a few functions need these
    from eventfabric.model.pass_progress import PassProgress
    from eventfabric.rare_ports import Backfills, Credits
    from eventfabric.wire.published import Effect


class Clock(Protocol):
    """Time. Wall-clock time may jump; it is used only for hybrid times, deadlines and reports."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970."""
        ...

    def steady_ms(self) -> int:
        """Return milliseconds since some moment of this process: never set back, but may stand still while frozen."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; a simulated clock advances instead."""
        ...


class Entropy(Protocol):
    """Randomness for ids and jitter."""

    def bytes(self, count: int) -> bytes:
        """Return unpredictable bytes."""
        ...

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """Records of one lane in sequence order, as one consistent read saw them. `more`: others may follow."""

    records: tuple[Record, ...]
    more: bool

    @property
    def first(self) -> Record | None:
        """The first record, if there is any."""
        return self.records[0] if self.records else None

    def behind(self, sequence: SequenceNumber) -> "Page":
        """Return the part of the page that begins at `sequence` or later."""
        return Page(tuple(record for record in self.records if record.sequence >= sequence), self.more)


class Log(Protocol):
    """One stream's log in one Region. A sequence is the number of events that stand before it in the lane."""

    def tail(self, lane: Lane, *, before: SequenceNumber | None = None) -> Tail:
        """Return the place at which the lane goes on in this Region, by a consistent read of its newest record.

        `before`: ignore records whose first sequence is this or later.
        """
        ...

    def append(self, record: Record) -> Record | None:
        """Write the record at `record.sequence` if nothing is there, and return None; else return the record there.

        OutcomeUnknownError: it may be written. ThrottledError, RefusedError: it is not.
        """
        ...

    def recent(
        self, lane: Lane, *, records_max: int, before: SequenceNumber | None = None, consistent: bool = True
    ) -> Recent:
        """Return the lane's newest records, newest first, as they are stored; holes are not hidden.

        `before`: only records whose first sequence is smaller. Undecodable items are listed and left out. `consistent`:
        False costs half as much, and may lack what was appended a moment ago.
        """
        ...

    def place(self, lane: Lane) -> Tail | None:
        """Return the noted place at which the lane goes on at least (one consistent read); None: never noted."""
        ...

    def hold_place(self, lane: Lane, tail: Tail) -> None:
        """Note that the lane goes on at `tail`, even if all its records expire, unless a later place is noted."""
        ...

    def note(self, intervention: Intervention) -> None:
        """Put on record what an operator is about to do at a place of a lane. Of each kind, the latest is kept."""
        ...

    def set_aside(self, intervention: Intervention) -> None:
        """Move the item there, if any, out of the lane, and keep it with who did that. PortError: it may be in both."""
        ...

    def interventions(self, lane: Lane) -> tuple[Intervention, ...]:
        """Return everything that operators did to the lane, by kind and sequence."""
        ...

    def read(
        self, lane: Lane, start: SequenceNumber, *, records_max: int, before: SequenceNumber | None = None
    ) -> Page:
        """Return the records whose first sequence is `start` or later, consistent, in order; holes are not hidden.

        `before`: only records whose first sequence is smaller.
        UndecodableRecordError only if the first record of the page cannot be decoded; a later one ends the page.
        """
        ...


class Ledger(Protocol):
    """Cursors, parked keys and circuits of all subscriptions, as one Region sees them. A Region writes only its own."""

    region: Region

    def state(self, key: LaneKey, *, glance: bool = False) -> LaneState:
        """Return all that is known of a lane for a subscription (one consistent read).

        `glance`: without its parked keys, if that is cheaper; the rosters of the cursors name them.
        """
        ...

    def look_up(self, key: LaneKey, digests: Sequence[bytes]) -> list[Parked]:
        """Return those of this Region's parked keys of a lane that exist, by the digests of their ids (consistent)."""
        ...

    def commit(
        self,
        key: LaneKey,
        read: Cursor,
        moved: Cursor,
        *,
        parked: Sequence[ParkedChange] = (),
        writes: Sequence[Write] = (),
        records: Sequence[tuple[str, Record]] = (),
        settled: Sequence[Settled] = (),
        decided: Sequence[Decided] = (),
        beside: Sequence[LaneChange] = (),
        token: bytes | None = None,
    ) -> CommitOutcome:
        """Replace the cursor that was `read` (by version) with `moved`, and write everything else; or change nothing.

        The stored versions are those read plus 1. The race is lost unless every parked key is as it was read, the
        cursors of other lanes are (`beside`: only with transactions), and nothing in `decided` is decided yet. Each of
        `records`, with its table, is written where nothing stands, else the outcome is Occupied. A commit whose reply
        was lost recognises itself when tried again, by the adapter or by the same `token` (limits.COMMIT_TOKEN_BYTES
        random bytes; default: a new one), also with other records. At most limits.TRANSACTION_ACTIONS_MAX actions,
        including the cursor. OutcomeUnknownError: it may have been written.
        """
        ...

    def settled(self, key: LaneKey, *, by: Region | None = None) -> Iterator[Settled]:
        """Yield people's decisions on the lane's dead letters, of one Region or of all, page by page, in no order."""
        ...

    def standing(self, stream: StreamName, subscription: SubscriptionName) -> Standing:
        """Return the subscription's circuit in this Region, and who owns its lanes (one consistent read)."""
        ...

    def switch(
        self, stream: StreamName, subscription: SubscriptionName, read: Circuit, to: Circuit
    ) -> Circuit | None:
        """Replace the circuit that was `read` (by version). Return the stored one, or None if the race was lost."""
        ...

    def hand_over(
        self, stream: StreamName, subscription: SubscriptionName, read: Owner | None, to: Owner
    ) -> Owner | None:
        """Replace this Region's handover that was `read` (by version). Return the stored one; None: race lost."""
        ...

    def pin(self, stream: StreamName, subscription: SubscriptionName, time: HybridTime) -> HybridTime:
        """Pin the time with which the subscription's lanes begin in this Region, unless pinned. Return what stands."""
        ...

    def see(self, stream: StreamName, subscription: SubscriptionName, *, nothing: bool = False) -> None:
        """Note that this Region asked the others who owns the lanes; `nothing`: that the next pass looks at all."""
        ...

    def marks(self, stream: StreamName, origin: Region, *, part: str = "") -> Marks:
        """Return what this Region's reconciliation remembers of an origin's lanes (consistent, part by part).

        `part`: read only the marks of those lanes. What cannot be read is left out, and named in `unreadable`.
        """
        ...

    def mark(self, stream: StreamName, origin: Region, read: Marks, to: Marks) -> bool:
        """Replace parts that are unreadable or differ from `read`, by version. False: another pass was faster."""
        ...

    def progress(self, stream: StreamName) -> "PassProgress":
        """Return how far this Region's unfinished pass over a stream has come (one consistent read)."""
        ...

    def note_pass(
        self, stream: StreamName, read: "PassProgress", to: "PassProgress"
    ) -> "PassProgress | None":
        """Replace the progress that was `read` (by version). Return the stored one, or None if the race was lost."""
        ...

    def acting_for(self, region: Region) -> "Ledger":
        """Return this ledger with another Region's state of the lanes. Only where all Regions share one state."""
        ...


class Outbox(Protocol):
    """Records and other writes of one Region in one transaction."""

    def append(
        self, records: Sequence[tuple[str, Record]], writes: Sequence[Write], *, token: bytes
    ) -> Occupied | WriteRefused | SameItemTwice | None:
        """Write every record (with its table) where nothing stands, and the writes, or nothing. None: written.

        The same token within ten minutes is the same transaction, done once. OutcomeUnknownError: it may be written.
        ThrottledError, RefusedError: it is not.
        """
        ...


UnreadableItem = Callable[[UndecodableItemError], None]


def insist(error: Exception) -> None:
    """Raise the error, so that one item that cannot be read ends the whole call."""
    raise error


class Steps(Protocol):
    """Records of steps, which are effects outside the fabric, as one Region makes them."""

    def begin(self, key: StepKey, *, token: bytes = b"") -> StepState | None:
        """Note that the step is about to happen, and return None; if it was begun or done before, return its state.

        `token`: the same for each try of one attempt, so that a try whose reply was lost recognises its note.
        """
        ...

    def finish(self, key: StepKey, result: str) -> None:
        """Note that it happened, with its result as JSON text. After a PortError it stays in doubt."""
        ...

    def forget(self, key: StepKey) -> None:
        """Note that it did not happen, so that it may begin again."""
        ...

    def release(self, key: StepKey) -> None:
        """Note that it did not happen, whatever other Regions noted, so that it may begin again here."""
        ...

    def look(self, key: StepKey, *, region: Region | None = None) -> StepState | None:
        """Return its state here, or as it came here from another Region (one consistent read); None: it never began."""
        ...


class Doorbells(Protocol):
    """The FIFO queues of the subscriptions in one Region."""

    def ring(self, subscription: str, doorbells: Sequence[Doorbell]) -> list[Doorbell]:
        """Send any number of doorbells. Return those that could not be sent and must be sent again."""
        ...

    def answer(self, subscription: str, receipt_handles: Sequence[str]) -> None:
        """Delete received doorbells before their invocation ends. Those that cannot be deleted come again."""
        ...

    def hide(self, subscription: str, receipt_handles: Sequence[str], seconds: int) -> None:
        """Let received doorbells come again after `seconds`, unless answered; if this fails, after the queue's time."""
        ...

    def ring_later(self, subscription: str, doorbell: Doorbell, delay_seconds: float) -> bool:
        """Send a doorbell that comes after a delay of up to 15 minutes. Return False if it could not be sent."""
        ...

    def put_off(self, subscription: str, seconds_of: Mapping[str, int]) -> None:
        """Let received timers, by receipt handle, come again after that long; if this fails, after the queue's time."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one subscription at some events (one, unless the handler takes batches). `number` counts from 1."""

    subscription: str
    number: int
    deadline_ms: int
    replay: bool = False
    """The events were handed out before: the subscription is replayed."""
    epoch: int = 0
    """Number of the lane's owner. Above 0, other Regions may have delivered the lane before."""
    edit: str = ""
    """Digest of what an operator put in place of the event; empty: nobody did."""


class Handler(Protocol):
    """A subscription's code, ready to be called."""

    batch_events_max: int
    """1: one event at a time; more: up to that many at once."""

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> "Sequence[Effect]":
        """Run the code. Return what is to be done with the commit; any exception is the failure of the events."""
        ...


@dataclass(frozen=True)
class Ports:
    """The ports of one Region."""

    clock: Clock
    entropy: Entropy
    log_of: Callable[[StreamTopology], Log]
    ledger: Ledger
    doorbells: Doorbells
    outbox: Outbox
    steps_of: Callable[[StreamTopology], Steps]
    backfills: "Backfills"
    credits: "Credits"
    at: "Callable[[Region], Ports]"
    """Returns the ports of another Region of the fabric; their calls fail while that Region cannot be reached."""
