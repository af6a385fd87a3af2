"""Takeover at seals: the state from which a Region goes on, root first.

a root      the latest owner's, as far as it was replicated
a child     only beneath a parent that is taken over and past its seal, and by a run of that parent: the latest state
            that was begun by the very passing that the parent notes; if none is here, from the seal on
"""

from collections.abc import Mapping, Sequence

from tests.simulation.models.seals_values import (
    START,
    Cursor,
    Key,
    Parked,
    Passing,
    Region,
    State,
)
from tests.simulation.models.seals_world import Call, Change, RaceLostError, Steps, World


class Takeover:
    """Rules of takeovers, and of the cursor with which a child begins."""

    def begun(self, parent: Cursor, passing: Passing | None, replay_until: int = 0) -> Cursor:
        """Return the cursor with which a child begins: at the seal, under the parent's epoch."""
        return START._replace(
            sequence=parent.sequence,
            chain=parent.chain,
            epoch=parent.epoch,
            begun=passing,
            replay_until=replay_until,
            replay=parent.replay,
        )

    def counts(self, child: Cursor, parent: Cursor) -> bool:
        """Tell if a child's cursor counts beneath a parent's state: it was begun by the passing that is noted there."""
        return child.begun is not None and child.begun == parent.past_seal

    def give(self, world: World, region: Region, parent: State, child: State) -> Steps:
        """Take a child over, beneath a parent that is taken over and past its seal.

        From the latest cursor that counts; if none does, it begins at the seal, with the keys that the parent names.
        """
        above = parent.cursor(region)
        heirs = {writer: cursor for writer, cursor in child.cursors.items() if self.counts(cursor, above)}
        if heirs:
            cursor, parked = self.inherit(child, latest_of(heirs))
            cursor = cursor._replace(epoch=above.epoch)
        else:
            _, parked = self.inherit(parent, region)
            parked = {key: waits for key, waits in parked.items() if parent.lane.child_of(key) == child.lane}
            cursor = self.begun(above, above.past_seal)
        fence = Change(parent.lane, above.version, None)
        yield from self.take_over(world, region, child, cursor, parked, (fence,))

    def inherit(self, state: State, latest: Region) -> tuple[Cursor, Mapping[Key, Parked]]:
        """Return a Region's state to go on with. A key that is named and not here waits from the first that waits."""
        cursor, parked = state.cursor(latest), dict[Key, Parked]()
        for key, digest in cursor.roster:
            there = state.items.get((latest, key))
            if there is not None and hash(there) == digest:
                parked[key] = there._replace(due=0)
            else:
                parked[key] = Parked(key, (), cursor.low, False, 0, 0)
        return cursor, parked

    def take_over(
        self,
        world: World,
        region: Region,
        state: State,
        cursor: Cursor,
        parked: Mapping[Key, Parked],
        fences: Sequence[Change],
    ) -> Steps:
        """Write this Region's own state of a lane."""
        own = state.cursor(region)
        changes = (*fences, Change(state.lane, own.version, cursor.beside(parked), parked))
        if not (yield Call("write", "take over", world.take_over, (region, changes))):
            raise RaceLostError


def latest_of(cursors: Mapping[Region, Cursor]) -> Region:
    """Return the Region that came furthest as the latest owner; empty if none began."""
    return max(
        cursors, key=lambda region: (cursors[region].epoch, cursors[region].sequence, region), default=""
    )
