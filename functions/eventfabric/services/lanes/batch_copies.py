"""Batch copies: if a batch stands in two lanes, which of the two copies is delivered, as far as that is decided."""

from eventfabric.errors import UndecodableItemError, UndecodableRecordError
from eventfabric.model import Lane, LaneKey, LaneState, Record, Region
from eventfabric.ports import Ledger


class BatchCopies:
    """Records of a lane that are stepped over, because the other copy of their batch is delivered instead."""

    def __init__(self, ledger: Ledger, key: LaneKey, state: LaneState, alone: Region | None) -> None:
        self._ledger = ledger
        self._key = key
        self._alone = alone
        self._won = state.won_by(alone)
        self._states: dict[Lane, LaneState] = {}

    def where(self, record: Record) -> str:
        """Return where the delivered copy stands, as far as is known; empty if this record is the delivered one."""
        # This lane holds the first copy: the decision then stands beside this lane's own state.
        if record.batch_id in self._won:
            return "another lane, by a note that its publisher left there"
        if record.note is None:
            return ""
        # This is the noted copy: the decision stands beside the state of the lane that the note names.
        state = self._state_of(record.note.lane)
        part = None if record.lane.is_root else record.lane
        decided = state.is_decided(record.batch_id, self._alone, part)
        noted_wins = (record.batch_id, part) in state.parts_won_by(self._alone)
        return f"{record.note.lane}@{record.note.sequence}" if decided and not noted_wins else ""

    def _state_of(self, lane: Lane) -> LaneState:
        if lane not in self._states:
            try:
                key = LaneKey(self._key.stream, self._key.subscription, lane)
                self._states[lane] = self._ledger.state(key)
            except UndecodableItemError as error:
                raise UndecodableRecordError(lane, 0, f"what was decided about its batch: {error}") from error
        return self._states[lane]
