"""Credits as one process knows them: how far each lane of a stream may be filled, by all subscriptions that gate it.

Grants only grow, so what was read once holds for ever, and a read is due only for an event that lacks credit: one
query a second at most, of the gates that bind the next in turn. A lane that had less than was asked for waits for the
next read, so that others get their share.
"""

from collections.abc import Callable, Sequence
from logging import getLogger
from threading import Lock
from typing import Final, NamedTuple

from eventfabric.copies import when_forked
from eventfabric.errors import BackpressureError, LastingError, ThrottledError
from eventfabric.model import Lane, Region, SequenceNumber, StreamName, SubscriptionName
from eventfabric.model.credit import fitting, least
from eventfabric.ports import Clock, Entropy
from eventfabric.rare_ports import Credits
from eventfabric.wire.keys import credit_part

UNKNOWN_SECONDS: Final = 5
"""Time after which a slot that was not there is looked for again."""
WARNING_SECONDS: Final = 60
"""Time between two warnings of a read that is denied."""
_PAUSE_SECONDS: Final = 1
"""Least time between two reads, and that for each half of a read unit."""
_HALF_UNIT_LANES: Final = 448
"""Slots that a query brings for half of a read unit."""
_WAIT_SECONDS: Final = 3
"""Most time for which a thread waits for what another one reads."""
_log = getLogger("eventfabric")


class Gate(NamedTuple):
    """A subscription that lets producers append only as far as it grants. `subscription`: the name of its state.

    `is_everywhere`: each Region delivers for itself, so what other Regions grant does not count.
    """

    subscription: SubscriptionName
    is_everywhere: bool = False


class KnownCredits:
    """Grants of a stream's gates in one Region's lanes, as this process knows them. Threads share it: one of them
    reads, and the others wait for that.
    """

    def __init__(
        self,
        credits: Credits,
        stream: StreamName,
        origin: Region,
        *,
        gates: Callable[[], Sequence[Gate]],
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """`gates`: those of the stream as it is deployed by now."""
        self._credits, self._stream, self._origin = credits, stream, origin
        self._gates, self._clock, self._entropy = gates, clock, entropy
        self._granted: dict[SubscriptionName, dict[int, SequenceNumber]] = {}
        self._looked_ms: dict[tuple[SubscriptionName, int], int] = {}
        self._denied: set[SubscriptionName] = set()
        self._short: set[int] = set()
        """Lanes that had less credit than was asked for, since the last read."""
        self._reads_from_ms = self._warns_from_ms = clock.steady_ms()
        self._reads = 0
        self._begin()
        when_forked(self._begin)

    def _begin(self) -> None:
        self._lock = Lock()  # what is known holds in a forked child, too

    def fitting(
        self, lane: Lane, count: int, tail: SequenceNumber, *, is_atomic: bool, is_alone: bool
    ) -> int:
        """Return how many of `count` events may be put at a lane's tail now; see model.credit. Reads if need be.

        BackpressureError: none, until more is granted. PortError: it cannot be read what is granted.
        """
        gates = self._gates()
        for gate in gates:
            if self._is_unknown(gate, lane):
                self._read(gate, lane, self._is_unknown)
        fits = self._fitting(gates, lane, count, tail, is_atomic=is_atomic, is_alone=is_alone)
        if not fits and gates:
            binding = self._binding(gates, lane, tail)
            self._read(binding[self._reads % len(binding)], lane, self._is_due)
            fits = self._fitting(gates, lane, count, tail, is_atomic=is_atomic, is_alone=is_alone)
        if fits < count:
            self._short.add(lane.number)
        if not fits:
            names = tuple(gate.subscription for gate in self._binding(gates, lane, tail))
            grant = self.grant(gates, lane)
            raise BackpressureError(self._stream, lane, names, grant, self._retry_seconds())
        return fits

    def grant(self, gates: Sequence[Gate], lane: Lane) -> SequenceNumber | None:
        """Return the sequence up to which a lane may be filled, as far as is known; None: nobody gates it."""
        return least(self._grant_of(gate, lane) for gate in gates)

    def _grant_of(self, gate: Gate, lane: Lane) -> SequenceNumber | None:
        if gate.subscription in self._denied:
            return None
        return self._granted.get(gate.subscription, {}).get(lane.number)

    def _fitting(
        self,
        gates: Sequence[Gate],
        lane: Lane,
        count: int,
        tail: SequenceNumber,
        *,
        is_atomic: bool,
        is_alone: bool,
    ) -> int:
        grant = self.grant(gates, lane)
        if grant is not None and lane.number in self._short:
            return 0
        return fitting(count, tail, grant, is_atomic=is_atomic, is_alone=is_alone)

    def _binding(self, gates: Sequence[Gate], lane: Lane, tail: SequenceNumber) -> Sequence[Gate]:
        """Return the gates that grant nothing beyond the tail; all of them if each one does."""
        grants = [(gate, self._grant_of(gate, lane)) for gate in gates]
        return [gate for gate, grant in grants if grant is not None and grant <= tail] or gates

    def _is_unknown(self, gate: Gate, lane: Lane) -> bool:
        """Tell if a gate may have granted the lane meanwhile for the first time."""
        if self._grant_of(gate, lane) is not None:
            return False
        looked_ms = self._looked_ms.get((gate.subscription, credit_part(lane)))
        if looked_ms is None:  # a process reads before its first append
            return True
        # Whatever was read of other gates meanwhile: of several that are unknown, each counts for the next append.
        return self._clock.steady_ms() - looked_ms >= 1000 * UNKNOWN_SECONDS

    def _is_due(self, gate: Gate, lane: Lane) -> bool:
        return self._clock.steady_ms() >= self._reads_from_ms

    def _read(self, gate: Gate, lane: Lane, is_due: Callable[[Gate, Lane], bool]) -> None:
        """Read what a gate grants, if that is due; not if another thread just did. PortError."""
        if not is_due(gate, lane):
            return
        if not self._lock.acquire(timeout=_WAIT_SECONDS):
            raise ThrottledError("read credits", "another thread has waited for them for too long")
        try:
            if is_due(gate, lane):
                self._learn(gate, credit_part(lane))
        finally:
            self._lock.release()

    def _learn(self, gate: Gate, part: int) -> None:
        name = gate.subscription
        try:
            granted = self._credits.granted(self._stream, name, self._origin, part=part)
        except LastingError as error:
            if not error.is_of_rights:
                raise
            # Whoever may not read is not held back: a right that is missing must not stop a stream.
            self._denied.add(name)
            self._warn(error)
            granted = {}
        else:
            self._denied.discard(name)
        known, slots = self._granted.setdefault(name, {}), 0
        for region, grants in granted.items():
            slots += len(grants)
            if region == self._origin or not gate.is_everywhere:
                for index, grant in grants.items():
                    # The read may be older than one before it.
                    known[index] = max(grant, known.get(index, grant))
        now_ms = self._clock.steady_ms()
        self._looked_ms[name, part] = now_ms
        self._reads_from_ms = now_ms + 1000 * _PAUSE_SECONDS * max(1, -(-slots // _HALF_UNIT_LANES))
        self._reads += 1
        self._short.clear()

    def _warn(self, error: LastingError) -> None:
        now_ms = self._clock.steady_ms()
        if now_ms >= self._warns_from_ms:
            self._warns_from_ms = now_ms + 1000 * WARNING_SECONDS
            _log.warning("what subscriptions of stream %s grant counts for nothing: %s", self._stream, error)

    def _retry_seconds(self) -> float:
        """Return the seconds until the next read, with a jitter: those held back together must not return together."""
        left_seconds = max(0.0, (self._reads_from_ms - self._clock.steady_ms()) / 1000)
        return left_seconds * (0.75 + 0.5 * self._entropy.fraction())
