"""Breaker: tell an outage downstream from events that fail by themselves, and stop deliveries during an outage.

    CLOSED ── enough keys fail, as a share or in one lane ──> OPEN ── a probe every while ──> one event attempted
       ^                                                       ^                                │           │
       │                                                       └────────── it fails ────────────┘           │
       └── every lane is rung <────────────────────────────── it is handled ────────────────────────────────┘

Failures are counted by key, so one poison event that is tried again and again is no outage. Each process counts for
itself, in a window of its own; the decision stands in the ledger. While the circuit is open, nothing is attempted but
probes, and failures since the window began use up no attempts.
"""

from collections import deque
from dataclasses import replace
from math import ceil
from zlib import crc32

from eventfabric import limits
from eventfabric.errors import ProbeUnrungError
from eventfabric.model import (
    ANY_TAIL,
    Circuit,
    CircuitState,
    Doorbell,
    Lane,
    StreamName,
    SubscriptionName,
    operator_text,
)
from eventfabric.ports import Ports
from eventfabric.services.lanes.standing import Standings, lanes_of
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.telemetry import LogEvent, Metric, Telemetry

_COUNTED_TOGETHER_MS = 1_000
# All waiting lanes are rung for the same probe. Rung together, they would all meet at one item of the ledger.
_PROBES_SPREAD_MS = 5_000


class CircuitBreaker:
    """The circuit of one subscription in one Region, as one process sees and moves it."""

    def __init__(
        self,
        subscription: SubscriptionTopology,
        stream: StreamTopology,
        *,
        ports: Ports,
        telemetry: Telemetry,
        standings: Standings | None = None,
    ) -> None:
        """`standings`: of the subscription, if others in this process read them, too."""
        self._definition = subscription.definition.breaker
        self._stream = StreamName(subscription.definition.stream)
        self._name = SubscriptionName(subscription.state_name)
        self._lanes = lanes_of(stream)
        self._standings = standings or Standings.of(subscription, ports)
        self._doorbells = ports.doorbells
        self._clock = ports.clock
        self._telemetry = telemetry
        self._circuit = Circuit()
        self._goes_last: dict[Lane, int] = {}
        self._failed: deque[tuple[int, str]] = deque()
        self._handled: deque[tuple[int, int]] = deque(maxlen=limits.CIRCUIT_WINDOW_SECONDS)

    def circuit(self) -> Circuit:
        """Return the circuit as it stands now. Ring every lane first, if that is still owed."""
        self._circuit = self._standings.now().circuit
        # The process that closed the circuit may have died before it
        # had rung: events came to every lane meanwhile.
        if self._circuit.rings_owed:
            self._ring_all()
        return self._circuit

    def take_probe(self) -> bool:
        """Tell if this lane may probe the open circuit now. If so, no other lane may until the next probe is due."""
        now_ms = self._clock.now_ms()
        if now_ms < self._circuit.probe_ms:
            return False
        # The conditional write lets only one of the competing lanes have the probe.
        return self._switch(replace(self._circuit, probe_ms=now_ms + 1000 * limits.CIRCUIT_PROBE_SECONDS))

    def give_back_probe(self) -> None:
        """Let the next lane that comes probe, because this one had nothing to try."""
        if self._circuit.state is CircuitState.OPEN:
            self._switch(replace(self._circuit, probe_ms=self._clock.now_ms()))

    def ring_probe(self, lane: Lane, *, failed: bool = False, behind: int = 0) -> None:
        """Have a lane that waits for the open circuit rung when the next probe is due. Raises ProbeUnrungError.

        All waiting lanes compete for the probe, each rung at a moment of its own. A lane that `failed` lets the others
        go first: if it has nothing but poison events, they must not wait for ever.

        `behind`: the `again` of the doorbell that is being answered. That doorbell may have come before its time,
        because clocks differ; the queue would drop a new one that equals it.
        """
        circuit = self.circuit()
        if circuit.state is not CircuitState.OPEN:
            return
        now_ms = self._clock.now_ms()
        probe_ms = max(circuit.probe_ms, now_ms)
        if failed:
            self._goes_last[lane] = circuit.probe_ms
        at_ms = probe_ms + crc32(f"{lane}+{probe_ms}".encode()) % _PROBES_SPREAD_MS
        if self._goes_last.get(lane) == circuit.probe_ms:
            at_ms += _PROBES_SPREAD_MS
        bell = Doorbell(self._stream, lane, ANY_TAIL, again=max(at_ms, behind + 1))
        if not self._doorbells.ring_later(self._name, bell, ceil((at_ms - now_ms) / 1000)):
            raise ProbeUnrungError("ring later", f"the probe of lane {lane} was not sent")

    def handled(self, events: int) -> None:
        """Count events that were handled, and close the circuit: the system downstream is up."""
        if not events:
            return
        now_ms = self._clock.now_ms()
        # Events of one second share an entry, so that the window stays small however many there are.
        if self._handled and now_ms - self._handled[-1][0] < _COUNTED_TOGETHER_MS:
            began_ms, before = self._handled.pop()
            self._handled.append((began_ms, before + events))
        else:
            self._handled.append((now_ms, events))
        # A single event that was handled shows it, so that deliveries go on at once.
        self.close()

    def failed(self, lane: Lane, parking_id: str, retrying_in_lane: int, handled_beside: int = 0) -> bool:
        """Count a key whose first event failed. Tell if the circuit is open from now on.

        `handled_beside`: number of events that were handled in the same run; `handled` is told of them once they are
        committed.
        """
        now_ms = self._clock.now_ms()
        self._forget(now_ms)
        name = f"{lane}/{parking_id}"
        # A key that fails again is not counted again, or one poison event would look like an outage.
        if all(name != known for _, known in self._failed):
            self._failed.append((now_ms, name))
        failures = len(self._failed)
        share = failures / (failures + handled_beside + sum(events for _, events in self._handled))
        if failures >= limits.CIRCUIT_FAILURES_MIN and share >= self._definition.failure_ratio:
            return self._open(f"{failures} keys failed, {share:.0%} of what was attempted")
        if retrying_in_lane >= self._definition.parked_keys:
            return self._open(f"{retrying_in_lane} keys of lane {lane} are parked")
        return False

    def suspects_outage(self, since_ms: int) -> bool:
        """Tell if nothing was handled since a time, and more than one key failed: then no event is to blame yet."""
        self._forget(self._clock.now_ms())
        # A single key that fails is more likely poison: its subscription may just have nothing else to do.
        return len(self._failed) > 1 and not any(at_ms >= since_ms for at_ms, _ in self._handled)

    def open_for(self, reason: str) -> bool:
        """Open the circuit. Tell if it is open now."""
        return self._open(reason)

    def _forget(self, now_ms: int) -> None:
        """Drop everything from before the window."""
        oldest_ms = now_ms - 1000 * limits.CIRCUIT_WINDOW_SECONDS
        for window in (self._failed, self._handled):
            while window and window[0][0] < oldest_ms:
                window.popleft()

    def _open(self, reason: str) -> bool:
        """Open the circuit, unless it was moved meanwhile. Tell if it is not closed now."""
        now_ms = self._clock.now_ms()
        # All that failed since the window began is the outage's doing: such keys get their
        # attempts back. One item says so, and no parked key has to be written for it.
        began_ms = self._failed[0][0] if self._failed else now_ms
        opened = self._switch(
            Circuit(
                CircuitState.OPEN,
                reason,
                since_ms=now_ms,
                probe_ms=now_ms + 1000 * limits.CIRCUIT_PROBE_SECONDS,
                suspect_from_ms=began_ms,
                suspect_to_ms=now_ms,
            )
        )
        if opened:
            self._telemetry.add(Metric.CIRCUITS_OPENED)
            self._telemetry.gauge(Metric.CIRCUIT_OPEN, 1)
            self._telemetry.tell(LogEvent.CIRCUIT_OPENED, reason=reason)
        return self._circuit.state is not CircuitState.CLOSED

    def close(self) -> None:
        """Let deliveries go on if the circuit is open, and ring every lane."""
        if self._circuit.state is CircuitState.OPEN:
            self._go_on()

    def pause(self, reason: str, *, by: str = "") -> bool:
        """Stop deliveries until `resume`, by an operator's decision. Return False if the circuit was moved first."""
        reason, by, now_ms = operator_text("reason", reason), operator_text("by", by), self._clock.now_ms()
        paused = replace(self.circuit(), state=CircuitState.PAUSED, reason=reason, by=by)
        return self._switch(replace(paused, since_ms=now_ms))

    def resume(self) -> bool:
        """Let deliveries go on, paused or open, and ring every lane. Return False if the circuit was moved first."""
        return self.circuit().state is CircuitState.CLOSED or self._go_on()

    def _go_on(self) -> bool:
        """Close the circuit and ring every lane. Tell if this process closed it."""
        now_ms, before = self._clock.now_ms(), self._circuit
        excused_to_ms = now_ms if before.state is CircuitState.OPEN else before.suspect_to_ms
        # `rings_owed` makes the next process ring all lanes, should this one die before it has.
        closed = Circuit(
            since_ms=now_ms,
            suspect_from_ms=before.suspect_from_ms,
            suspect_to_ms=excused_to_ms,
            rings_owed=True,
        )
        if not self._switch(closed):
            return False
        # Failures of this outage must not count towards the next one.
        self._failed.clear()
        self._telemetry.add(Metric.CIRCUITS_CLOSED)
        self._telemetry.tell(LogEvent.CIRCUIT_CLOSED)
        self._ring_all()
        return True

    def _ring_all(self) -> None:
        """Ring every lane, because events came while the circuit was open. The rings stay owed until all were sent."""
        now_ms = self._clock.now_ms()
        owned = [lane for lane in self._lanes if self._standings.owns(lane.origin)]
        bells = [Doorbell(self._stream, lane, ANY_TAIL, again=now_ms) for lane in owned]
        if not self._doorbells.ring(self._name, bells):
            self._switch(replace(self._circuit, rings_owed=False))

    def _switch(self, circuit: Circuit) -> bool:
        """Move the circuit, unless another process moved it first; then take over its state. Tell if it was moved."""
        switched = self._standings.switch(self._circuit, circuit)
        self._circuit = self._standings.known.circuit
        return switched
