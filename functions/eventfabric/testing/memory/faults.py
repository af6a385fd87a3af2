"""The one place that makes calls of ports fail on purpose, and counts them: crash, lost reply or request, throttling.

Wraps any port, in memory or of AWS. It holds no port itself, and only its rules decide what fails.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from random import Random
from typing import Any, TypeVar

from eventfabric.errors import LastingError, OutcomeUnknownError, PortError, ThrottledError
from eventfabric.model import (
    Circuit,
    CommitOutcome,
    Cursor,
    Doorbell,
    Event,
    HybridTime,
    Intervention,
    Lane,
    LaneKey,
    LaneState,
    Marks,
    Occupied,
    Owner,
    Parked,
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
from eventfabric.model.backfill import Backfill, SliceProgress
from eventfabric.model.credit import Grants
from eventfabric.model.pass_progress import PassProgress
from eventfabric.ports import (
    Attempt,
    Doorbells,
    Handler,
    Ledger,
    Log,
    Outbox,
    Page,
    Ports,
    Steps,
)
from eventfabric.rare_ports import Backfills, Credits
from eventfabric.wire.published import Effect

T = TypeVar("T")


class SimulatedCrash(BaseException):
    """The process is gone. Only the driver of a simulation catches this."""


class Fault(Enum):
    """A way in which a call fails, with or without taking effect."""

    THROTTLED = "throttled, no effect"
    DENIED = "not permitted, no effect"
    LOST_REQUEST = "no reply, no effect"
    LOST_REPLY = "no reply, but the effect"
    CRASH_BEFORE = "the process is gone, no effect"
    CRASH_AFTER = "the process is gone, but the effect"


Rule = Callable[[str, int, int], Fault | None]
"""Returns a call's fault, or None. Takes its name (`log.append`), its number among all calls, and among those of that
name, both from 1.
"""


def nth(number: int, fault: Fault, *, name: str | None = None) -> Rule:
    """Return a rule that fails call `number`, counted from 1 among all calls, or among those of `name`."""
    return lambda called, overall, of_name: (
        fault if (overall if name is None else of_name if called == name else 0) == number else None
    )


def at_random(rate: float, faults: Sequence[Fault], *, seed: int, names: Iterable[str] | None = None) -> Rule:
    """Return a rule that fails a share `rate` of the calls, of all or of some names, each with one of these faults."""
    random, wanted = Random(seed), None if names is None else frozenset(names)

    def rule(called: str, overall: int, of_name: int) -> Fault | None:
        if (wanted is None or called in wanted) and random.random() < rate:
            return random.choice(faults)
        return None

    return rule


class Faults:
    """Counts the calls of the ports that it wraps, and fails those that its rules select."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = list(rules)
        self.calls: list[str] = []
        self._counts: Counter[str] = Counter()

    def count(self, name: str) -> int:
        """Return how often `name` (such as `ledger.commit`) was called."""
        return self._counts[name]

    def heal(self) -> None:
        """Stop failing calls from now on."""
        self.rules.clear()

    def call(self, name: str, effect: Callable[[], T]) -> T:
        """Make a call, or fail it."""
        self.calls.append(name)
        self._counts[name] += 1
        number, of_name = len(self.calls), self._counts[name]
        fault = next((f for rule in self.rules if (f := rule(name, number, of_name)) is not None), None)
        if fault is Fault.CRASH_BEFORE:
            raise SimulatedCrash(f"before {name}, call {number}")
        if fault is Fault.THROTTLED:
            raise ThrottledError(name, "simulated")
        if fault is Fault.DENIED:
            raise LastingError(name, "simulated", "denied")
        if fault is Fault.LOST_REQUEST:
            raise OutcomeUnknownError(name, "simulated: the request was lost")
        if fault is None:
            return effect()
        with suppress(Exception):  # even a refusal is lost: the caller hears no reply at all
            effect()
        if fault is Fault.LOST_REPLY:
            raise OutcomeUnknownError(name, "simulated: the reply was lost")
        raise SimulatedCrash(f"after {name}, call {number}")

    def ports(self, ports: Ports) -> Ports:
        """Wrap all that is called in a Region. Ports of other Regions stay as they are."""
        return replace(
            ports,
            log_of=lambda stream: self.log(ports.log_of(stream)),
            ledger=self.ledger(ports.ledger),
            doorbells=self.doorbells(ports.doorbells),
            outbox=self.outbox(ports.outbox),
            steps_of=lambda stream: self.steps(ports.steps_of(stream)),
            backfills=self.backfills(ports.backfills),
            credits=self.credits(ports.credits),
        )

    def log(self, log: Log) -> Log:
        """Wrap a log: log.tail (all three ways to read a lane's end), .append, .hold_place, .read and the others."""
        return _Log(log, self)

    def ledger(self, ledger: Ledger) -> Ledger:
        """Wrap a ledger: ledger.state, .commit, .settled, .standing, .switch, .hand_over and the others."""
        return _Ledger(ledger, self)

    def doorbells(self, doorbells: Doorbells) -> Doorbells:
        """Wrap doorbells: doorbells.ring and doorbells.ring_later (both report what was not sent) and the others."""
        return _Doorbells(doorbells, self)

    def outbox(self, outbox: Outbox) -> Outbox:
        """Wrap an outbox: outbox.append."""
        return _Outbox(outbox, self)

    def steps(self, steps: Steps) -> Steps:
        """Wrap steps: steps.begin, .finish, .forget, .release, .look."""
        return _Steps(steps, self)

    def backfills(self, backfills: Backfills) -> Backfills:
        """Wrap backfills: backfills.all, .find, .replace, .add, .save, .slice, .slices."""
        return _Backfills(backfills, self)

    def credits(self, credits: Credits) -> Credits:
        """Wrap credits: credits.granted, .grant, .forget."""
        return _Credits(credits, self)

    def handler(self, handler: Handler) -> Handler:
        """Wrap a handler: handler.attempt."""
        return _Handler(handler, self)


class _Log:
    def __init__(self, log: Log, faults: Faults) -> None:
        self._log, self._faults = log, faults

    def tail(self, lane: Lane, *, before: SequenceNumber | None = None) -> Tail:
        return self._faults.call("log.tail", lambda: self._log.tail(lane, before=before))

    def append(self, record: Record) -> Record | None:
        return self._faults.call("log.append", lambda: self._log.append(record))

    def recent(
        self, lane: Lane, *, records_max: int, before: SequenceNumber | None = None, consistent: bool = True
    ) -> Recent:
        return self._faults.call(
            "log.tail",
            lambda: self._log.recent(lane, records_max=records_max, before=before, consistent=consistent),
        )

    def place(self, lane: Lane) -> Tail | None:
        return self._faults.call("log.tail", lambda: self._log.place(lane))

    def note(self, intervention: Intervention) -> None:
        self._faults.call("log.note", lambda: self._log.note(intervention))

    def set_aside(self, intervention: Intervention) -> None:
        self._faults.call("log.set_aside", lambda: self._log.set_aside(intervention))

    def interventions(self, lane: Lane) -> tuple[Intervention, ...]:
        return self._faults.call("log.interventions", lambda: self._log.interventions(lane))

    def hold_place(self, lane: Lane, tail: Tail) -> None:
        self._faults.call("log.hold_place", lambda: self._log.hold_place(lane, tail))

    def read(
        self, lane: Lane, start: SequenceNumber, *, records_max: int, before: SequenceNumber | None = None
    ) -> Page:
        return self._faults.call(
            "log.read", lambda: self._log.read(lane, start, records_max=records_max, before=before)
        )


class _Ledger:
    def __init__(self, ledger: Ledger, faults: Faults) -> None:
        self._ledger, self._faults = ledger, faults
        self.region = ledger.region

    def state(self, key: LaneKey, *, glance: bool = False) -> LaneState:
        return self._faults.call("ledger.state", lambda: self._ledger.state(key, glance=glance))

    def look_up(self, key: LaneKey, digests: Sequence[bytes]) -> list[Parked]:
        return self._faults.call("ledger.look_up", lambda: self._ledger.look_up(key, digests))

    def commit(self, key: LaneKey, read: Cursor, moved: Cursor, **others: Any) -> CommitOutcome:
        return self._faults.call("ledger.commit", lambda: self._ledger.commit(key, read, moved, **others))

    def settled(self, key: LaneKey, *, by: Region | None = None) -> Iterator[Settled]:
        return self._faults.call("ledger.settled", lambda: self._ledger.settled(key, by=by))

    def standing(self, stream: StreamName, subscription: SubscriptionName) -> Standing:
        return self._faults.call("ledger.standing", lambda: self._ledger.standing(stream, subscription))

    def switch(
        self, stream: StreamName, subscription: SubscriptionName, read: Circuit, to: Circuit
    ) -> Circuit | None:
        return self._faults.call("ledger.switch", lambda: self._ledger.switch(stream, subscription, read, to))

    def hand_over(
        self, stream: StreamName, subscription: SubscriptionName, read: Owner | None, to: Owner
    ) -> Owner | None:
        return self._faults.call(
            "ledger.hand_over", lambda: self._ledger.hand_over(stream, subscription, read, to)
        )

    def pin(self, stream: StreamName, subscription: SubscriptionName, time: HybridTime) -> HybridTime:
        return self._faults.call("ledger.pin", lambda: self._ledger.pin(stream, subscription, time))

    def see(self, stream: StreamName, subscription: SubscriptionName, *, nothing: bool = False) -> None:
        self._faults.call("ledger.see", lambda: self._ledger.see(stream, subscription, nothing=nothing))

    def marks(self, stream: StreamName, origin: Region, *, part: str = "") -> Marks:
        return self._faults.call("ledger.marks", lambda: self._ledger.marks(stream, origin, part=part))

    def mark(self, stream: StreamName, origin: Region, read: Marks, to: Marks) -> bool:
        return self._faults.call("ledger.mark", lambda: self._ledger.mark(stream, origin, read, to))

    def progress(self, stream: StreamName) -> PassProgress:
        return self._faults.call("ledger.progress", lambda: self._ledger.progress(stream))

    def note_pass(self, stream: StreamName, read: PassProgress, to: PassProgress) -> PassProgress | None:
        return self._faults.call("ledger.note_pass", lambda: self._ledger.note_pass(stream, read, to))

    def acting_for(self, region: Region) -> Ledger:
        return _Ledger(self._ledger.acting_for(region), self._faults)


class _Doorbells:
    def __init__(self, doorbells: Doorbells, faults: Faults) -> None:
        self._doorbells, self._faults = doorbells, faults

    def ring(self, subscription: str, doorbells: Sequence[Doorbell]) -> list[Doorbell]:
        try:
            return self._faults.call("doorbells.ring", lambda: self._doorbells.ring(subscription, doorbells))
        except PortError:
            return list(doorbells)

    def answer(self, subscription: str, receipt_handles: Sequence[str]) -> None:
        with suppress(PortError):
            self._faults.call(
                "doorbells.answer", lambda: self._doorbells.answer(subscription, receipt_handles)
            )

    def hide(self, subscription: str, receipt_handles: Sequence[str], seconds: int) -> None:
        with suppress(PortError):
            self._faults.call(
                "doorbells.hide", lambda: self._doorbells.hide(subscription, receipt_handles, seconds)
            )

    def ring_later(self, subscription: str, doorbell: Doorbell, delay_seconds: float) -> bool:
        try:
            return self._faults.call(
                "doorbells.ring_later",
                lambda: self._doorbells.ring_later(subscription, doorbell, delay_seconds),
            )
        except PortError:
            return False

    def put_off(self, subscription: str, seconds_of: Mapping[str, int]) -> None:
        with suppress(PortError):
            self._faults.call("doorbells.put_off", lambda: self._doorbells.put_off(subscription, seconds_of))


class _Outbox:
    def __init__(self, outbox: Outbox, faults: Faults) -> None:
        self._outbox, self._faults = outbox, faults

    def append(
        self, records: Sequence[tuple[str, Record]], writes: Sequence[Write], *, token: bytes
    ) -> Occupied | WriteRefused | SameItemTwice | None:
        return self._faults.call("outbox.append", lambda: self._outbox.append(records, writes, token=token))


class _Steps:
    def __init__(self, steps: Steps, faults: Faults) -> None:
        self._steps, self._faults = steps, faults

    def begin(self, key: StepKey, *, token: bytes = b"") -> StepState | None:
        return self._faults.call("steps.begin", lambda: self._steps.begin(key, token=token))

    def finish(self, key: StepKey, result: str) -> None:
        self._faults.call("steps.finish", lambda: self._steps.finish(key, result))

    def forget(self, key: StepKey) -> None:
        self._faults.call("steps.forget", lambda: self._steps.forget(key))

    def release(self, key: StepKey) -> None:
        self._faults.call("steps.release", lambda: self._steps.release(key))

    def look(self, key: StepKey, *, region: Region | None = None) -> StepState | None:
        return self._faults.call("steps.look", lambda: self._steps.look(key, region=region))


class _Backfills:
    def __init__(self, backfills: Backfills, faults: Faults) -> None:
        self._backfills, self._faults = backfills, faults

    def all(self, **options: Any) -> list[Backfill]:
        return self._faults.call("backfills.all", lambda: self._backfills.all(**options))

    def find(self, backfill_id: str) -> Backfill | None:
        return self._faults.call("backfills.find", lambda: self._backfills.find(backfill_id))

    def replace(self, read: Backfill | None, to: Backfill) -> Backfill | None:
        return self._faults.call("backfills.replace", lambda: self._backfills.replace(read, to))

    def add(self, backfill_id: str, slices: Sequence[SliceProgress]) -> None:
        self._faults.call("backfills.add", lambda: self._backfills.add(backfill_id, slices))

    def save(self, backfill_id: str, progress: SliceProgress) -> None:
        self._faults.call("backfills.save", lambda: self._backfills.save(backfill_id, progress))

    def slice(self, backfill_id: str, lane: Lane, start: SequenceNumber) -> SliceProgress | None:
        return self._faults.call("backfills.slice", lambda: self._backfills.slice(backfill_id, lane, start))

    def slices(self, backfill_id: str, **options: Any) -> tuple[list[SliceProgress], bool]:
        return self._faults.call("backfills.slices", lambda: self._backfills.slices(backfill_id, **options))


class _Credits:
    def __init__(self, credits: Credits, faults: Faults) -> None:
        self._credits, self._faults = credits, faults

    def granted(self, *lanes: Any, part: int) -> dict[Region, Grants]:
        return self._faults.call("credits.granted", lambda: self._credits.granted(*lanes, part=part))

    def grant(self, key: LaneKey, grant: SequenceNumber) -> SequenceNumber:
        return self._faults.call("credits.grant", lambda: self._credits.grant(key, grant))

    def forget(self, *lanes: Any, part: int) -> int:
        return self._faults.call("credits.forget", lambda: self._credits.forget(*lanes, part=part))


class _Handler:
    def __init__(self, handler: Handler, faults: Faults) -> None:
        self._handler, self._faults = handler, faults
        self.batch_events_max = handler.batch_events_max

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Effect]:
        return self._faults.call("handler.attempt", lambda: self._handler.attempt(events, attempt))
