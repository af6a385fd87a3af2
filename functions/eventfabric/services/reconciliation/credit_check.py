"""Credit check: how much producers may still append to lanes, by what subscriptions granted (decision 0083).

    a lane ends at its grant       it is short: counted, with since when
    little is granted beyond it, and nothing waits
                                   rung: a copy of the grant was lost, or somebody else moved the cursor
    the same, and deliveries are paused
                                   rung, unless the subscription holds its producers while it is paused

One query for each part of an origin's lanes and each subscription that holds producers back; none without one. Grants
only grow and are read after the lanes' ends, so a lane that is short by that was short.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from eventfabric.definition.sections import Backpressure, WhilePaused
from eventfabric.model import (
    CircuitState,
    Lane,
    Mark,
    Marks,
    Region,
    SequenceNumber,
    Standing,
    StreamName,
    SubscriptionName,
    Tail,
    to_ms,
)
from eventfabric.model.credit import greatest, is_low
from eventfabric.rare_ports import Credits
from eventfabric.services.reconciliation.vitals import Vitals
from eventfabric.services.reconciliation.watch import Bells
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.wire.keys import credit_part


class LaneSeen(Protocol):
    """A lane as a pass has checked it."""

    lane: Lane
    mark: Mark
    tail: Tail | None
    """End of the lane; None: it is not known."""
    waiting: set[str]
    """Subscriptions that have events of it to deliver, or of which nobody knows."""


@dataclass(frozen=True, slots=True)
class CreditCheck:
    """Check of credit in one Region, as of one pass. `before_ms`: beginning of the pass before it; 0: unknown.

    `rings`: have lanes rung whose producers wait for nothing.
    """

    stream: StreamName
    region: Region
    credits: Credits
    standings: Mapping[str, Standing]
    now_ms: int
    before_ms: int
    rings: bool

    def check(
        self,
        lanes: Iterable[LaneSeen],
        marks: Marks,
        subscriptions: Iterable[SubscriptionTopology],
        *,
        vitals: Vitals,
        bells: Bells,
    ) -> None:
        """Count the lanes that are short, note in their marks since when, and have others rung. PortError.

        `marks`: those of the pass before. `subscriptions`: those that this Region delivers for the lanes' origin.
        """
        ended = _ended(lanes)
        short: dict[Lane, list[str]] = {}
        for gate in _gates_among(subscriptions) if ended else ():
            for lane, grant in self._grants(gate, ended).items():
                seen, tail = ended[lane]
                if grant <= tail.sequence:
                    short.setdefault(lane, []).append(gate.name)
                if self._is_to_be_rung(gate, seen, grant - tail.sequence):
                    bells.add_lane(gate.name, lane)
        for lane, (seen, tail) in ended.items():
            before = marks.of(lane.number).believed(self.now_ms)
            # Where nobody gates any more, a mark may still say so.
            if lane in short or before.short_ms:
                since_ms = self._since_ms(before, tail) if lane in short else 0
                seen.mark = replace(seen.mark, short_ms=since_ms)
                vitals.short(short.get(lane, ()), since_ms)

    def _grants(self, gate: SubscriptionTopology, lanes: Iterable[Lane]) -> dict[Lane, SequenceNumber]:
        """Return what a gate grants in lanes, as their publishers see it, where it grants anything. PortError."""
        is_everywhere, name = gate.definition.deliver == "everywhere", SubscriptionName(gate.state_name)
        parts: dict[tuple[Region, int], list[Lane]] = {}
        for lane in lanes:
            parts.setdefault((lane.origin, credit_part(lane)), []).append(lane)
        grants: dict[Lane, SequenceNumber] = {}
        for (origin, part), of_part in parts.items():
            if is_everywhere and origin != self.region:
                continue  # what this Region grants counts for nobody there
            granted = self.credits.granted(self.stream, name, origin, part=part)
            by_number = greatest(granted, only=origin if is_everywhere else None)
            grants |= {lane: by_number[lane.number] for lane in of_part if lane.number in by_number}
        return grants

    def _is_to_be_rung(self, gate: SubscriptionTopology, seen: LaneSeen, left: int) -> bool:
        """Tell if a run of the lane would grant more than the `left` events, and none may be on its way."""
        settings = gate.definition.backpressure
        assert settings is not None, "only gates are asked"
        if not self.rings or not is_low(left, settings):
            return False
        state = self.standings.get(gate.name, Standing()).circuit.state
        if state is CircuitState.PAUSED:
            return _passes_paused(settings)
        return state is CircuitState.CLOSED and gate.name not in seen.waiting

    def _since_ms(self, before: Mark, tail: Tail) -> int:
        """Return since when a lane that is short has been: all passes since then saw it so.

        At the first of them, that is the time of its last record, since grants only grow: a producer's clock says that,
        which is believed as far as the pass before allows, where the lane was not short.
        """
        if before.short_ms:
            return before.short_ms
        appended_ms = min(to_ms(tail.time), self.now_ms)
        return max(appended_ms, self.before_ms if before != Mark() else 0, 1)


def _ended(lanes: Iterable[LaneSeen]) -> dict[Lane, tuple[LaneSeen, Tail]]:
    """Return the lanes of which the end is known. Nobody appends to those that were split."""
    known = [(seen, seen.tail) for seen in lanes if seen.tail is not None]
    return {seen.lane: (seen, tail) for seen, tail in known if not tail.is_sealed}


def _gates_among(subscriptions: Iterable[SubscriptionTopology]) -> list[SubscriptionTopology]:
    """List the subscriptions that hold producers back."""
    return [own for own in subscriptions if own.definition.backpressure is not None]


def _passes_paused(settings: Backpressure) -> bool:
    return settings.while_paused is WhilePaused.PASS
