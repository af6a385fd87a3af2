"""Origin seen: one origin as far as a pass of reconciliation has come in it."""

from dataclasses import dataclass, field

from eventfabric.services.reconciliation.checked_lane import CheckedLane
from eventfabric.services.reconciliation.parts import PassPart


@dataclass
class OriginSeen:
    """An origin as far as a pass has come in it. `units_left`: read units that its rounds may still use."""

    parts_left: int
    units_left: int
    moves: bool = False
    silent: dict[PassPart, list[int]] = field(default_factory=dict)
    """Lanes that got nothing by replication since they stalled."""

    def note(self, part: PassPart, checked: CheckedLane) -> None:
        """Note if replication moves in a lane, or is silent."""
        self.moves = self.moves or checked.moves
        if checked.is_silent:
            self.silent.setdefault(part, []).append(checked.lane.number)
