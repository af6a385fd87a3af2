"""A process: a machine with ports, on which every call is a turn of the schedule and may fail as the seed decides."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypeVar

from eventfabric.errors import OutcomeUnknownError, ThrottledError
from eventfabric.model import Doorbell
from eventfabric.ports import Doorbells, Ports
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.testing.memory.region import Tear
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.machine import Machine
from eventfabric.testing.simulation.observed import HeardCredits, ObservedLedger
from eventfabric.testing.simulation.world import World

T = TypeVar("T")
PATIENCE_SECONDS: Final = 1.0
"""Time that a call waits for a reply that does not come."""
_TORN_SECONDS: Final = (0.01, 0.8)
_SLOW_SECONDS: Final = (0.5, 90.0)
_STALL_SECONDS: Final = (600.0, 1500.0)
_FAULTS: Final = (
    ("crash", (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)),
    ("lost_reply", (Fault.LOST_REPLY,)),
    ("lost_request", (Fault.LOST_REQUEST,)),
    ("throttle", (Fault.THROTTLED,)),
)


class Process(Machine):
    """A machine that runs code of the fabric, on the ports of its Region."""

    def __init__(self, world: World, name: str, region: str) -> None:
        super().__init__(world, name, region)
        self._ports_of: dict[str, Ports] = {}
        self.ports = self._ports(region)

    def _ports(self, region: str) -> Ports:
        if region not in self._ports_of:
            self._ports_of[region] = self._made_ports(region)
        return self._ports_of[region]

    def _made_ports(self, region: str) -> Ports:
        requests = Requests(_Resent(self, region))
        without_faults = replace(
            self.world.cloud.ports(region, requests=requests),
            ledger=ObservedLedger(self, region, requests),
            clock=self.clock,
            at=self._ports,
        )
        ports = ProcessCalls(self, region).ports(without_faults)
        return replace(
            ports,
            doorbells=SimulatedDoorbells(self, ports.doorbells, region),
            credits=HeardCredits(ports.credits, self, region),
        )


class ProcessCalls(Faults):
    """Calls of one process to one Region."""

    def __init__(self, process: Process, region: str) -> None:
        super().__init__()
        self._process = process
        self._region = region

    def call(self, name: str, effect: Callable[[], T]) -> T:
        """Wait for a turn, then make the call, or fail it."""
        process, world = self._process, self._process.world
        process.breathe(process.latency_seconds())
        fault = self._drawn(name)
        if fault is not None:
            process.tell(history.Called, call=name, fault=fault.name.lower())
        if fault is Fault.CRASH_BEFORE:
            process.die(f"before {name}")
        if fault is Fault.THROTTLED:
            raise ThrottledError(name, "simulated")
        if fault is Fault.LOST_REQUEST or not world.answers(process.region, self._region):
            process.breathe(PATIENCE_SECONDS)
            raise OutcomeUnknownError(name, "simulated: no reply")
        if fault is None:
            try:
                result = effect()
            finally:
                world.look(process.name)
            if process.draws("stale"):
                process.tell(history.Called, call=name, fault="late reply")
                process.breathe(process.random.uniform(*_SLOW_SECONDS))
            return result
        with suppress(Exception):  # even a refusal is lost: the caller hears no reply at all
            effect()
        world.look(process.name)
        if fault is Fault.CRASH_AFTER:
            process.die(f"after {name}")
        process.breathe(PATIENCE_SECONDS)
        raise OutcomeUnknownError(name, "simulated: the reply was lost")

    def _drawn(self, call: str) -> Fault | None:
        process = self._process
        if process.world.may_fail:  # most calls are made while nothing does, and draw nothing
            self._slow_down()
        if self._region in process.world.silent:
            return process.random.choice((Fault.LOST_REPLY, Fault.LOST_REQUEST))
        if call.startswith("doorbells.") and process.world.trouble.is_away(self._region, "replies"):
            return Fault.LOST_REPLY
        if process.world.may_fail:
            for name, kinds in _FAULTS:
                if process.draws(name):
                    return process.random.choice(kinds)
        return None

    def _slow_down(self) -> None:
        process = self._process
        if process.draws("slow"):
            process.breathe(process.random.uniform(*_SLOW_SECONDS))
        if process.draws("stall"):
            # The machine freezes for longer than anybody waits for it, and then goes on.
            process.is_stalled = True
            process.tell(history.Called, call="", fault="stall")
            process.breathe(process.random.uniform(*_STALL_SECONDS))


class _Resent(Faults):
    """Requests within a call, which an adapter sends again by itself."""

    def __init__(self, process: Process, region: str) -> None:
        super().__init__()
        self._process = process
        self._region = region

    def call(self, name: str, effect: Callable[[], T]) -> T:
        process, world = self._process, self._process.world
        if not process.draws("resend"):
            return self._torn(effect) if name == "transact" else effect()
        process.tell(history.Called, call=name, fault="resend")
        if process.random.random() < 0.5:
            with suppress(Exception):  # even a refusal is lost
                effect()
            world.look(process.name)
        process.breathe(process.latency_seconds())
        raise OutcomeUnknownError(name, "simulated: no reply to a request")

    def _torn(self, effect: Callable[[], T]) -> T:
        """Make a transaction; if the seed decides so, others see only a part of it at first."""
        process, world = self._process, self._process.world
        if not process.tears():
            return effect()
        region = world.cloud.regions[self._region]

        def hides(count: int) -> list[int]:
            some = process.torn.sample(range(count), process.torn.randint(1, count - 1))
            process.tell(history.Called, call="transact", fault=f"{len(some)} of {count} items later")
            return some

        def meanwhile() -> None:
            world.look(process.name)  # note it now, or the next reader would count as its writer
            process.breathe(process.torn.uniform(*_TORN_SECONDS))

        region.tear = Tear(hides, meanwhile)
        try:
            return effect()
        finally:
            region.tear = None


class SimulatedDoorbells:
    """Doorbells that get lost after they were accepted, or arrive late. They wake the pollers that wait for them."""

    def __init__(self, process: Process, inner: Doorbells, region: str) -> None:
        self._process = process
        self._inner = inner
        self._region = region

    def ring(self, subscription: str, doorbells: Sequence[Doorbell]) -> list[Doorbell]:
        """See ports.Doorbells."""
        process, ringing = self._process, list[Doorbell]()
        for doorbell in doorbells:
            if process.draws("bell_lost"):
                process.tell(history.Called, call="doorbells.ring", fault=f"lost for {doorbell.lane}")
            elif process.draws("bell_late"):
                process.tell(history.Called, call="doorbells.ring", fault=f"late for {doorbell.lane}")
                process.world.ring_later(
                    self._region, subscription, doorbell, process.random.uniform(0.1, 60)
                )
            else:
                ringing.append(doorbell)
        if not ringing:
            return []
        is_away = process.world.trouble.is_away(self._region, "doorbells")
        if is_away or process.draws("bell_refused"):
            process.tell(history.Called, call="doorbells.ring", fault="refused")
            return ringing
        try:
            return self._inner.ring(subscription, ringing)
        finally:  # also if the sender hears no reply
            process.world.schedule.wake(f"queue/{self._region}/{subscription}")

    def answer(self, subscription: str, receipt_handles: Sequence[str]) -> None:
        """See ports.Doorbells."""
        self._inner.answer(subscription, receipt_handles)

    def hide(self, subscription: str, receipt_handles: Sequence[str], seconds: int) -> None:
        """See ports.Doorbells."""
        self._inner.hide(subscription, receipt_handles, seconds)

    def put_off(self, subscription: str, seconds_of: Mapping[str, int]) -> None:
        """See ports.Doorbells."""
        if not self._process.world.trouble.is_away(self._region, "timers"):
            self._inner.put_off(subscription, seconds_of)

    def ring_later(self, subscription: str, doorbell: Doorbell, delay_seconds: float) -> bool:
        """See ports.Doorbells."""
        if self._process.world.trouble.is_away(self._region, "timers"):
            self._process.tell(history.Called, call="doorbells.ring_later", fault="refused")
            return False
        try:
            return self._inner.ring_later(subscription, doorbell, delay_seconds)
        finally:
            self._process.world.schedule.wake(f"timers/{self._region}/{subscription}")
