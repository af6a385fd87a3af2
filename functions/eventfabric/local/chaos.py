"""Faults on purpose, decided by a seed: doorbells dropped, repeated and delayed, functions that die in the middle."""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from eventfabric.local.pumps import CrashError
from eventfabric.model.cursor import Cursor, LaneKey, LaneState
from eventfabric.model.event import Event
from eventfabric.model.identity import Region
from eventfabric.ports import Attempt, CommitOutcome, Doorbells, Handler, Ledger, Write
from eventfabric.wire.doorbell import Doorbell

T = TypeVar("T")


@dataclass(frozen=True)
class Rates:
    """How often each fault happens, as shares of the calls it can hit."""

    drop: float = 0.0
    repeat: float = 0.0
    delay: float = 0.0
    crash: float = 0.0


CHAOS = Rates(drop=0.15, repeat=0.2, delay=0.2, crash=0.04)
"""Enough that every kind of fault hits a run of a hundred records many times."""


class Chaos:
    """The faults of one local fabric. Off until `rates` is set; `count` says how often each fault happened."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.rates = Rates()
        self.count: dict[str, int] = {"dropped": 0, "repeated": 0, "delayed": 0, "crashed": 0}
        self._held: list[Callable[[], object]] = []

    def happens(self, share: float, name: str) -> bool:
        """Decide one fault."""
        if not share or self.random.random() >= share:
            return False
        self.count[name] += 1
        return True

    def hold(self, send: Callable[[], object]) -> None:
        """Delay a call until `release`."""
        self._held.append(send)

    def release(self) -> bool:
        """Make the delayed calls, in any order; whether there were any."""
        held, self._held = self._held, []
        self.random.shuffle(held)
        for send in held:
            send()
        return bool(held)

    def crashing(self, call: Callable[[], T]) -> T:
        """Make a call, with the process dying before or after it."""
        if self.happens(self.rates.crash / 2, "crashed"):
            raise CrashError("before the call")
        result = call()
        if self.happens(self.rates.crash / 2, "crashed"):
            raise CrashError("after the call")
        return result


class ChaoticDoorbells:
    """Doorbells that get lost after they were accepted, come twice, or come late."""

    def __init__(self, inner: Doorbells, chaos: Chaos) -> None:
        self._inner = inner
        self._chaos = chaos
        self._repeats = 0

    def ring(self, subscription: str, doorbells: Seq[Doorbell]) -> list[Doorbell]:
        chaos, sent = self._chaos, []
        for doorbell in doorbells:
            if chaos.happens(chaos.rates.drop, "dropped"):
                continue
            if chaos.happens(chaos.rates.delay, "delayed"):
                chaos.hold(lambda late=doorbell: self._inner.ring(subscription, [late]))  # type: ignore[misc]
                continue
            sent.append(doorbell)
            if chaos.happens(chaos.rates.repeat, "repeated"):
                self._repeats += 1
                sent.append(replace(doorbell, again=self._repeats))
        return self._inner.ring(subscription, sent)

    def release(self, subscription: str, receipt_handle: str) -> None:
        self._inner.release(subscription, receipt_handle)


class CrashingLedger:
    """A ledger before and after whose calls the process may die."""

    def __init__(self, inner: Ledger, chaos: Chaos) -> None:
        self._inner = inner
        self._chaos = chaos
        self.region: Region = inner.region

    def state(self, key: LaneKey) -> LaneState:
        return self._chaos.crashing(lambda: self._inner.state(key))

    def commit(self, key: LaneKey, read: Cursor, moved: Cursor, writes: Seq[Write] = ()) -> CommitOutcome:
        return self._chaos.crashing(lambda: self._inner.commit(key, read, moved, writes))


class CrashingHandler:
    """A handler before and after which the process may die."""

    def __init__(self, inner: Handler, chaos: Chaos) -> None:
        self._inner = inner
        self._chaos = chaos
        self.batch_events_max = inner.batch_events_max

    def attempt(self, events: Seq[Event], attempt: Attempt) -> Seq[Write]:
        return self._chaos.crashing(lambda: self._inner.attempt(events, attempt))
