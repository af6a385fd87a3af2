"""Ownership: may this Region deliver an origin's lanes, as far as one doorbell's run has found out.

    a ring for what another Region is known to own      the standing is read anew: it may have been handed over
    nobody has delivered the lanes yet                  this Region notes that it is the first, unless another was
    nobody has looked at a lane's state for long        the other Regions are asked: this one may have been lost
    a lane's state is of a later handover than known    the standing is read anew

Where every Region delivers for itself there is no owner, and nothing to find out.
"""

from eventfabric.model.cursor import LaneState
from eventfabric.model.identity import Region
from eventfabric.services.lanes.standing import Standings


class Ownership:
    """Finds out if one Region owns an origin's lanes. What is known only ever becomes newer."""

    def __init__(self, standings: Standings, origin: Region, *, region: Region) -> None:
        """Decide by what is known; where that is another Region, by what stands now. ChangedDeliverError."""
        self._standings = standings
        self._origin = origin
        self._region = region
        self._owner = standings.owner(origin)
        standings.check_deliver(origin)
        if not self.is_ours:
            # Somebody rang here, so what is known may be old; that ring is not to be lost.
            self.read_again()

    @property
    def is_ours(self) -> bool:
        """Tell if this Region may deliver the lanes, as far as is known."""
        return self._owner is None or self._owner.region == self._region

    @property
    def is_shared(self) -> bool:
        """Tell if every Region delivers the lanes, each for itself."""
        return self._owner is None

    @property
    def epoch(self) -> int:
        """The number of the latest handover; 0 before the first."""
        return 0 if self._owner is None else self._owner.epoch

    def begin(self) -> bool:
        """Note that this Region delivers the lanes first, where nobody has yet; tell if they are its own then."""
        if self._owner is not None and not self._owner.version:
            self._owner = self._standings.begin(self._origin)
        return self.is_ours

    def read_again(self) -> bool:
        """Look at who owns the lanes now; tell if this Region does."""
        self._owner = self._standings.read_owner(self._origin)
        return self.is_ours

    def covers(self, state: LaneState) -> bool:
        """Tell if this Region owns a lane in such a state.

        That nobody wrote it for long, or that it is of a later handover than is known, is a doubt to settle before.
        """
        if self._owner is None:
            return True
        if self._standings.is_in_doubt(state.written_ms):
            self._owner = self._standings.ask(self._origin)
        if self.is_ours and state.epoch > self.epoch:
            self.read_again()
        return self.is_ours and state.epoch <= self.epoch
