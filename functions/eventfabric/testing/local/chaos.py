"""Deliberate faults, decided by a seed: doorbells and replies lost, late or repeated, functions that crash midway."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Final

from eventfabric.model import Doorbell
from eventfabric.ports import Doorbells
from eventfabric.testing.memory.faults import Fault


@dataclass(frozen=True)
class Rates:
    """Frequency of each fault, as a share of the calls that it can hit."""

    drop: float = 0.0
    repeat: float = 0.0
    delay: float = 0.0
    crash: float = 0.0
    lose_reply: float = 0.0


CHAOS = Rates(drop=0.15, repeat=0.2, delay=0.2, crash=0.04, lose_reply=0.05)
"""Rates at which every kind of fault hits a run of a hundred records many times."""
_FAULTS: Final = ("dropped", "repeated", "delayed", "crashed", "reply lost")


class Chaos:
    """The faults of one local fabric. Off until `rates` is set; `count` holds how often each fault happened."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.rates = Rates()
        self.count = dict.fromkeys(_FAULTS, 0)
        self._held: list[Callable[[], object]] = []

    def happens(self, share: float, name: str) -> bool:
        """Decide if one fault happens, and count it if so."""
        if not share or self.random.random() >= share:
            return False
        self.count[name] += 1
        return True

    def hold(self, send: Callable[[], object]) -> None:
        """Delay a call until `release`."""
        self._held.append(send)

    def release(self) -> bool:
        """Make the delayed calls in random order. Return True if there were any."""
        held, self._held = self._held, []
        self.random.shuffle(held)
        for send in held:
            send()
        return bool(held)

    def crash(self, called: str, number: int, of_name: int) -> Fault | None:
        """Decide as a memory.faults.Rule: the process dies before or after a call."""
        if not self.happens(self.rates.crash, "crashed"):
            return None
        return self.random.choice((Fault.CRASH_BEFORE, Fault.CRASH_AFTER))

    def lose_reply(self, called: str, number: int, of_name: int) -> Fault | None:
        """Decide as a memory.faults.Rule: a publisher's append gets no reply, whether it was written or not."""
        if called != "log.append" or not self.happens(self.rates.lose_reply, "reply lost"):
            return None
        return self.random.choice((Fault.LOST_REQUEST, Fault.LOST_REPLY))


class ChaoticDoorbells:
    """Doorbells that get lost after they were accepted, arrive twice, or arrive late."""

    def __init__(self, inner: Doorbells, chaos: Chaos) -> None:
        self._inner = inner
        self._chaos = chaos
        self._repeats = 0

    def ring(self, subscription: str, doorbells: Sequence[Doorbell]) -> list[Doorbell]:
        chaos, sent = self._chaos, []
        for doorbell in doorbells:
            if chaos.happens(chaos.rates.drop, "dropped"):
                continue
            if chaos.happens(chaos.rates.delay, "delayed"):
                chaos.hold(partial(self._inner.ring, subscription, [doorbell]))
                continue
            sent.append(doorbell)
            if chaos.happens(chaos.rates.repeat, "repeated"):
                self._repeats += 1
                sent.append(replace(doorbell, again=self._repeats))
        return self._inner.ring(subscription, sent)

    def answer(self, subscription: str, receipt_handles: Sequence[str]) -> None:
        self._inner.answer(subscription, receipt_handles)

    def hide(self, subscription: str, receipt_handles: Sequence[str], seconds: int) -> None:
        self._inner.hide(subscription, receipt_handles, seconds)

    def put_off(self, subscription: str, seconds_of: Mapping[str, int]) -> None:
        self._inner.put_off(subscription, seconds_of)

    def ring_later(self, subscription: str, doorbell: Doorbell, delay_seconds: float) -> bool:
        return self._inner.ring_later(subscription, doorbell, delay_seconds)
