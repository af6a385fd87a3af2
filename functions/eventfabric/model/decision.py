"""Owns which of two copies of a batch is delivered, where its publisher did not know whether the first had landed."""

from dataclasses import dataclass

from eventfabric.model.identity import BatchId, Region


@dataclass(frozen=True, slots=True)
class Decision:
    """What a Region decided for one subscription about a batch that may also stand in the lane beside whose state it is
    kept: `noted_wins`, the other copy is stepped over; otherwise the noted one is. A Region decides once.
    """

    region: Region
    batch_id: BatchId
    noted_wins: bool
