"""A publisher that obeys credits, on the simulated clock."""

from collections.abc import Iterable
from math import inf

from tests.simulation.models.credits_item import read_units
from tests.simulation.models.credits_world import (
    AWAY,
    DECLARED_SECONDS,
    HERE,
    UNKNOWN_SECONDS,
    Consumer,
    World,
)

TICK_SECONDS = 0.25
RECORD_EVENTS_MAX = 1_000
_NO_SLOTS: dict[int, int] = {}


class Publisher:
    """A publisher that obeys. Events of a lane without credit wait, a record's worth; further ones are refused."""

    def __init__(
        self,
        world: World,
        rate: float,
        *,
        since: float = 0.0,
        until: float = inf,
        burst: int = 1,
        waits_max: int = 100,
        atomic: bool = False,
    ) -> None:
        """`rate`: events a second that it wants. `burst`: events of a key that come at once. `atomic`: transactions."""
        self.world, self.rate, self.burst, self.atomic = world, rate, burst, atomic
        self.until, self.waits_max = until, waits_max
        self._known: dict[tuple[str, str], dict[int, int]] = {}
        self.waiting: dict[int, int] = {}
        self.appended = self.refused = 0
        self.forgot = 0
        self.read_units = 0.0
        self.since = since
        self._owed = world.random.random()
        self._reads_from = 0.0
        self._looked: dict[str, float] = {}
        self._reading = False
        self._short: set[int] = set()
        self._own_tails: dict[int, int] = {}
        self._next_gate = 0
        world.clock.after(since + world.random.random() * TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        world = self.world
        if world.clock.now >= self.until:
            return
        self._owed += self.rate * TICK_SECONDS / self.burst * world.random.choice((0.5, 1.0, 1.5))
        lanes = set()
        for _ in range(int(self._owed)):
            lane = world.draw_lane()
            lanes.add(lane)
            if self.waiting.get(lane, 0) + self.burst > max(self.waits_max, self.burst):
                self.refused += self.burst
            else:
                self.waiting[lane] = self.waiting.get(lane, 0) + self.burst
        self._owed -= int(self._owed)
        self._flush(lanes)
        world.clock.after(TICK_SECONDS, self._tick)

    def wants(self, rate: float) -> None:
        """Want another rate from now on."""
        self.rate = rate

    def _gates(self) -> list[Consumer]:
        now = self.world.clock.now
        return [
            consumer
            for consumer in self.world.consumers
            # A declaration is known within a minute.
            if (consumer.begins == 0 or now >= consumer.begins + DECLARED_SECONDS)
            and self.world.rules.gates(retired=now >= consumer.retired + DECLARED_SECONDS)
        ]

    def known_of(self, gate: Consumer, region: str) -> dict[int, int]:
        """Return what this publisher knows of the slots that a Region wrote."""
        return self._known.get((gate.name, region), _NO_SLOTS)

    def grant_of(self, lane: int) -> int | None:
        """Return the grant of a lane, as far as this publisher knows."""
        rules, now = self.world.rules, self.world.clock.now
        grants: list[int | None] = []
        for gate in self._gates():
            # Two Regions may have granted, one after the other: the more counts.
            here, away = self.known_of(gate, HERE).get(lane), self.known_of(gate, AWAY).get(lane)
            grant = here if away is None else away if here is None else max(here, away)
            grants.append(0 if rules.is_shut_by(halted=gate.is_halted(now)) else grant)
        return rules.least(grants)

    def _is_unknown(self, lane: int) -> bool:
        """Tell if a gate may have granted the lane meanwhile for the first time."""
        now = self.world.clock.now
        return any(
            now - self._looked.get(gate.name, -inf) >= UNKNOWN_SECONDS
            and lane not in self.known_of(gate, HERE)
            and lane not in self.known_of(gate, AWAY)
            for gate in self._gates()
        )

    def _flush(self, lanes: Iterable[int]) -> None:
        """Append what waits in these lanes, as far as there is credit. A lane that was short waits for a read."""
        for lane in lanes:
            count = self.waiting.get(lane, 0)
            if not count or lane in self._short:
                continue
            if self._is_unknown(lane):
                # That there was no slot is no news for long.
                self._want_read(None)
                continue
            left = self._append(lane, count)
            self.waiting[lane] = left
            if left:
                self._short.add(lane)
                self._want_read(lane)
            elif self.world.rules.reads_for(lacks_credit=False):
                self._want_read(None)

    def _append(self, lane: int, count: int) -> int:
        """Append events as records, as far as credit and share go. Return how many are left."""
        world, rules, grant = self.world, self.world.rules, self.grant_of(lane)
        tail = world.tail[lane]
        alone = self._own_tails.get(lane) == tail
        if self.atomic:
            # The caller's own rows are written with the events, or not at all.
            fits = rules.fitting(self.burst, tail, grant, atomic=True, alone=alone)
            world.rows += self.burst if fits or not rules.refuses_first() else 0
            world.row_events += fits
        else:
            fits = rules.fitting(count, tail, grant, atomic=False, alone=alone)
            fits = min(count, fits, RECORD_EVENTS_MAX) if grant is None else fits
        if fits <= 0:
            return count
        world.append(lane, fits, atomic=self.atomic)
        self._own_tails[lane] = world.tail[lane]
        self.appended += fits
        return count - fits

    def _want_read(self, lane: int | None) -> None:
        """Read an item now, or as soon as the read units allow: of the gates that bind, the next in turn."""
        if self._reading:
            return
        self._reading = True
        clock = self.world.clock
        wait = max(0.0, self._reads_from - clock.now)
        # With jitter: publishers that were refused together must not come back together.
        wait = wait * (0.75 + 0.5 * self.world.random.random()) if lane is not None else wait
        clock.after(wait + 0.01, lambda: self._read(lane))

    def _binding(self, lane: int | None) -> list[Consumer]:
        gates = self._gates()
        if lane is None:
            return gates
        tail = self.world.tail[lane]
        binding = [
            gate
            for gate in gates
            if max(self.known_of(gate, region).get(lane, -1) for region in (HERE, AWAY)) <= tail
        ]
        return binding or gates

    def _read(self, lane: int | None) -> None:
        world = self.world
        self._reading = False
        if world.clock.now >= self.until:
            return
        binding = self._binding(lane)
        if lane is not None or not binding:
            self._next_gate += 1
            binding = [binding[self._next_gate % len(binding)]] if binding else []
        units = 0.0
        for gate in binding:
            units += read_units(world.lanes * max(1, sum(bool(item.slots) for item in gate.items.values())))
            if not world.happens(world.faults.read_lost):
                self._looked[gate.name] = world.clock.now
                for region, item in gate.items.items():
                    self._learn((gate.name, region), item.read(world.clock.now - world.lag(region)))
        self.read_units += units
        self._reads_from = world.clock.now + world.rules.pause_after_read(units)
        self._short.clear()
        lanes = [lane for lane, count in self.waiting.items() if count]
        world.random.shuffle(lanes)
        self._flush(lanes)

    def _learn(self, key: tuple[str, str], read: dict[int, int]) -> None:
        known, rules = self._known.setdefault(key, {}), self.world.rules
        for lane in read.keys() | known.keys():
            learnt = rules.known(known.get(lane), read.get(lane))
            if learnt is not None:
                self.forgot += learnt < known.get(lane, learnt)
                known[lane] = learnt
