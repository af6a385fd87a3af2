"""Ownership: find out if this Region may deliver an origin's lanes, in one doorbell's run.

    a ring for what another Region is known to own      the standing is read anew: it may have been handed over
    nobody has delivered the lanes yet                  this Region notes that it is the first, unless another was
    nobody has looked at a lane's state for long        the other Regions are asked: this one may have been lost
    a lane's state is of a later handover than known    the standing is read anew

If every Region delivers for itself, there is no owner, and nothing to find out.
"""

from eventfabric.model import LaneState, Region
from eventfabric.services.lanes.standing import Standings


class Ownership:
    """Knowledge of one run about who owns an origin's lanes. It only ever becomes newer."""

    def __init__(self, standings: Standings, origin: Region, *, region: Region) -> None:
        """Decide by what is known; if that names another Region, by a new read. ChangedDeliverError."""
        self._standings = standings
        self._origin = origin
        self._region = region
        self._owner = standings.owner(origin)
        standings.check_deliver(origin)
        if not self.is_ours:
            # A doorbell came here, so what is known may be old. The doorbell must not be lost for that.
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
        """Note that this Region delivers the lanes first, if nobody has yet. Tell if they are its own then."""
        # Written once, before the first event. From then on a changed definition moves no lanes: it
        # reaches Regions one after the other, and for minutes two of them would be named as owner.
        if self._owner is not None and not self._owner.version:
            self._owner = self._standings.begin(self._origin)
        return self.is_ours

    def read_again(self) -> bool:
        """Read anew who owns the lanes. Tell if this Region does."""
        self._owner = self._standings.read_owner(self._origin)
        return self.is_ours

    def covers(self, state: LaneState) -> bool:
        """Tell if this Region owns a lane whose state is as given.

        Two doubts are settled first: that nobody wrote the state for long, and that it is of a later handover than is
        known.
        """
        if self._owner is None:
            return True
        if self._standings.is_in_doubt(state.written_ms):
            self._owner = self._standings.ask(self._origin)
        # The lane's state may be replicated before the handover that it is of.
        if self.is_ours and state.epoch > self.epoch:
            self.read_again()
        return self.is_ours and state.epoch <= self.epoch
