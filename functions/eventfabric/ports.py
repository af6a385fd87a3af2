"""What the services need of the world, by meaning.

The adapters in aws/ and memory/ keep these promises; one suite checks both.

A call either returns, or raises a PortError that says whether it may have taken effect.
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from eventfabric.errors import UndecodableItemError
from eventfabric.model.circuit import Circuit
from eventfabric.model.commit import (
    CommitOutcome as CommitOutcome,
)
from eventfabric.model.commit import (
    Committed as Committed,
)
from eventfabric.model.commit import (
    Decided as Decided,
)
from eventfabric.model.commit import (
    RaceLost as RaceLost,
)
from eventfabric.model.commit import (
    SameItemTwice as SameItemTwice,
)
from eventfabric.model.commit import (
    Write as Write,
)
from eventfabric.model.commit import (
    WriteRefused as WriteRefused,
)
from eventfabric.model.cursor import Cursor, LaneKey, LaneState
from eventfabric.model.event import Event
from eventfabric.model.identity import HybridTime, Lane, Region, Sequence, StreamName, SubscriptionName
from eventfabric.model.marks import Marks
from eventfabric.model.owner import Owner, Standing
from eventfabric.model.parked import Parked, ParkedChange, Settled
from eventfabric.model.record import Intervention, Record, Tail
from eventfabric.model.record import Recent as Recent
from eventfabric.model.step import StepKey, StepState
from eventfabric.topology import StreamTopology
from eventfabric.wire.doorbell import Doorbell

if TYPE_CHECKING:  # which few functions need
    from eventfabric.model.backfill import Backfill
    from eventfabric.model.slice import SliceProgress


class Clock(Protocol):
    """Time. Wall-clock time may jump; nothing but hybrid times, deadlines and reports come from it."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        ...

    def steady_ms(self) -> int:
        """Milliseconds since some moment of this process: never set, but may stand while a function is frozen."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; a simulated clock moves instead."""
        ...


class Entropy(Protocol):
    """Randomness: ids and jitter."""

    def bytes(self, count: int) -> bytes:
        """Unpredictable bytes."""
        ...

    def fraction(self) -> float:
        """A number in [0, 1)."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """Records of one lane in sequence order, as one consistent read saw them; `more` may follow."""

    records: tuple[Record, ...]
    more: bool

    def behind(self, sequence: Sequence) -> "Page":
        """What of it begins there, or later."""
        return Page(tuple(one for one in self.records if one.sequence >= sequence), self.more)


class Log(Protocol):
    """One stream's log in one Region. A sequence means: so many events stand before it in the lane."""

    def tail(self, lane: Lane, *, before: Sequence | None = None) -> Tail:
        """Where the lane goes on in this Region, by a consistent read of its newest record.

        `before`: of its newest record whose first sequence is smaller, as if nothing stood from there on.
        """
        ...

    def append(self, record: Record) -> Record | None:
        """Write at `record.sequence` if nobody wrote there: None. Otherwise the record that stands there.

        OutcomeUnknownError: it may be written. ThrottledError, RefusedError: it is not.
        """
        ...

    def recent(self, lane: Lane, *, records_max: int, before: Sequence | None = None) -> Recent:
        """The lane's newest records, newest first, as they stand there; holes are not hidden.

        `before`: of those whose first sequence is smaller. An item that cannot be decoded is told and left out.
        """
        ...

    def place(self, lane: Lane) -> Tail | None:
        """Where the lane goes on at least, as it was noted (one consistent read); None: it never was."""
        ...

    def hold_place(self, lane: Lane, tail: Tail) -> None:
        """Note that the lane goes on at `tail`, though all of its records expire, unless a later place is noted."""
        ...

    def note(self, intervention: Intervention) -> None:
        """Put on record what an operator is about to do at a place of a lane; of each kind, the latest is kept."""
        ...

    def set_aside(self, intervention: Intervention) -> None:
        """Move whatever stands at that place out of the lane, and keep it with who did that, and why.

        Nothing happens where nothing stands there. After a PortError it may be kept and stand in the lane as well.
        """
        ...

    def interventions(self, lane: Lane) -> tuple[Intervention, ...]:
        """What operators did to the lane, by kind and sequence; at most a page of it."""
        ...

    def read(self, lane: Lane, start: Sequence, *, records_max: int, before: Sequence | None = None) -> Page:
        """The records whose first sequence is `start` or later, consistent, in order; holes are not hidden.

        `before`: none whose first sequence is that or later.

        UndecodableRecordError only where the first record of the page cannot be decoded; a later one ends the page.
        """
        ...


class Ledger(Protocol):
    """Cursors, parked keys and circuits of all subscriptions, as one Region sees them. A Region writes only its own."""

    region: Region

    def state(self, key: LaneKey, *, glance: bool = False) -> LaneState:
        """All that is known of a lane for a subscription (one consistent read).

        `glance`: without its parked keys, if that makes it cheaper; the cursors' rosters tell of them.
        """
        ...

    def look_up(self, key: LaneKey, digests: Seq[bytes]) -> list[Parked]:
        """This Region's parked keys of a lane by the digests of their ids, as far as they are there (consistent)."""
        ...

    def commit(
        self,
        key: LaneKey,
        read: Cursor,
        moved: Cursor,
        *,
        parked: Seq[ParkedChange] = (),
        writes: Seq[Write] = (),
        settled: Seq[Settled] = (),
        decided: Seq[Decided] = (),
        token: bytes | None = None,
    ) -> CommitOutcome:
        """Replace the cursor that was `read` (by version) with `moved`, together with all the rest, or change nothing.

        The stored versions are those read plus 1. Every parked key must be as it was read, and what is decided not be
        decided yet, or the race is lost. A commit whose reply was lost is recognised as its own when tried again, by
        the adapter or with the same `token` (limits.COMMIT_TOKEN_BYTES random bytes; default: one of its own). At most
        limits.TRANSACTION_ACTIONS_MAX actions, the cursor's included. OutcomeUnknownError: it may have been written.
        """
        ...

    def settled(self, key: LaneKey, *, by: Region | None = None) -> Iterator[Settled]:
        """What people decided about the lane's dead letters, in one Region or in all, as far as is known here.

        Read a page at a time, as far as it is asked for; in no order.
        """
        ...

    def standing(self, stream: StreamName, subscription: SubscriptionName) -> Standing:
        """The subscription's circuit in this Region, and who owns its lanes (one consistent read)."""
        ...

    def switch(
        self, stream: StreamName, subscription: SubscriptionName, read: Circuit, to: Circuit
    ) -> Circuit | None:
        """Replace the circuit that was `read` (by version); what stands now, or None where the race was lost."""
        ...

    def hand_over(
        self, stream: StreamName, subscription: SubscriptionName, read: Owner | None, to: Owner
    ) -> Owner | None:
        """Replace this Region's own handover that was `read` (by version); what stands now, or None: race lost."""
        ...

    def pin(self, stream: StreamName, subscription: SubscriptionName, time: HybridTime) -> HybridTime:
        """Have the subscription's lanes begin with that time in this Region, unless that is said; what stands now."""
        ...

    def see(self, stream: StreamName, subscription: SubscriptionName) -> None:
        """Note that this Region asked the others who owns the subscription's lanes, and learned nothing new."""
        ...

    def marks(self, stream: StreamName, origin: Region) -> Marks:
        """What this Region's reconciliation remembers of an origin's lanes (consistent, part by part).

        A part that cannot be read is left out, and named in `unreadable`.
        """
        ...

    def mark(self, stream: StreamName, origin: Region, read: Marks, to: Marks) -> bool:
        """Replace the parts of the marks that differ from those `read`, each by its version, and the unreadable ones.

        False: another pass was faster with one of them.
        """
        ...

    def acting_for(self, region: Region) -> "Ledger":
        """The same with another Region's state of the lanes. Only where all Regions share one state."""
        ...


@dataclass(frozen=True, slots=True)
class Occupied:
    """Nothing was written: where the record at `index` was to go stands this one."""

    index: int
    record: Record


class Outbox(Protocol):
    """Records and other writes of one Region in one transaction."""

    def append(
        self, records: Seq[tuple[str, Record]], writes: Seq[Write], *, token: bytes
    ) -> Occupied | WriteRefused | SameItemTwice | None:
        """Write every record (with its table) where nobody wrote, and the writes, or nothing; None: written.

        The same token within ten minutes is the same transaction, done once. OutcomeUnknownError: it may be written.
        ThrottledError, RefusedError: it is not.
        """
        ...


UnreadableItem = Callable[[UndecodableItemError], None]


def insist(error: Exception) -> None:
    """Have what cannot be read end the whole."""
    raise error


class Backfills(Protocol):
    """The backfills into one Region, and how far their slices are. Only that Region writes them; others see them."""

    def all(self, *, unreadable: UnreadableItem = insist) -> "list[Backfill]":
        """Every backfill that is known here, into whichever Region.

        `unreadable`: told of each that cannot be read, which is left out; default: raise that.
        """
        ...

    def find(self, backfill_id: str) -> "Backfill | None":
        """The backfill of that id into this Region (one consistent read)."""
        ...

    def replace(self, read: "Backfill | None", to: "Backfill") -> "Backfill | None":
        """Replace the backfill that was `read` (by version; None: none yet); what stands now, or None: race lost."""
        ...

    def add(self, backfill_id: str, slices: "Seq[SliceProgress]") -> None:
        """Note slices. Those that are known, by lane and start, stay as they are."""
        ...

    def save(self, backfill_id: str, progress: "SliceProgress") -> None:
        """Note how far a slice is, unless it is further already: of two workers the one ahead counts."""
        ...

    def slice(self, backfill_id: str, lane: Lane, start: Sequence) -> "SliceProgress | None":
        """The slice of a lane that starts there (one consistent read)."""
        ...

    def slices(
        self,
        backfill_id: str,
        *,
        after: tuple[Lane, Sequence] | None,
        count: int,
        unreadable: UnreadableItem = insist,
    ) -> "tuple[list[SliceProgress], bool]":
        """Up to so many slices behind the one of that lane and start, lane by lane; whether more may follow.

        `unreadable`: told of each that cannot be read, which is left out; default: raise that.
        """
        ...


class Steps(Protocol):
    """Records of effects outside, as one Region makes them."""

    def begin(self, key: StepKey, *, token: bytes = b"") -> StepState | None:
        """Note that the step is about to happen: None. What stands there instead, if it was begun or done before.

        `token`: the same for each try of one attempt, so that one whose reply was lost is known as its own.
        """
        ...

    def finish(self, key: StepKey, result: str) -> None:
        """Note that it happened, with its result as JSON text. After a PortError it stays in doubt."""
        ...

    def forget(self, key: StepKey) -> None:
        """Note that it did not happen: it may begin again."""
        ...

    def release(self, key: StepKey) -> None:
        """Note that it did not happen, whatever other Regions noted of it: it may begin again here."""
        ...

    def look(self, key: StepKey, *, region: Region | None = None) -> StepState | None:
        """What is known of it (one consistent read), or what came here of another Region's; None: it never began."""
        ...


class Doorbells(Protocol):
    """The FIFO queues of the subscriptions in one Region."""

    def ring(self, subscription: str, doorbells: Seq[Doorbell]) -> list[Doorbell]:
        """Send doorbells (any number); returns those that could not be sent and must be sent again."""
        ...

    def answer(self, subscription: str, receipt_handles: Seq[str]) -> None:
        """Delete received doorbells before their invocation ends; what cannot be deleted comes again."""
        ...

    def hide(self, subscription: str, receipt_handles: Seq[str], seconds: int) -> None:
        """Let received doorbells come again after so many seconds, if they are not answered; else after the queue's."""
        ...

    def ring_later(self, subscription: str, doorbell: Doorbell, delay_seconds: float) -> bool:
        """Send a doorbell that comes after a delay of up to 15 minutes; False where it could not be sent."""
        ...

    def put_off(self, subscription: str, seconds_of: Mapping[str, int]) -> None:
        """Let received timers, by receipt handle, come again after so many seconds; else after their queue's."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one subscription at some events (one, unless the handler takes batches); `number` from 1."""

    subscription: str
    number: int
    deadline_ms: int
    replay: bool = False
    """The events were handed out before: the subscription was replayed."""
    epoch: int = 0
    """Of the lane's owner; above 0, other Regions may have delivered it before."""


class Handler(Protocol):
    """A subscription's code, ready to be tried."""

    batch_events_max: int
    """1: an event at a time; more: that many at once."""

    def attempt(self, events: Seq[Event], attempt: Attempt) -> Seq[Write]:
        """Run it; returns the writes it wants committed with the cursor. Whatever it raises is the events' failure."""
        ...


@dataclass(frozen=True)
class Ports:
    """The world of one Region."""

    clock: Clock
    entropy: Entropy
    log_of: Callable[[StreamTopology], Log]
    ledger: Ledger
    doorbells: Doorbells
    outbox: Outbox
    steps_of: Callable[[StreamTopology], Steps]
    backfills: Backfills
    at: "Callable[[Region], Ports]"
    """The world of another Region of the fabric; its calls fail while that Region cannot be reached."""
