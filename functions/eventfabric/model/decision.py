"""The choice between two copies of a batch whose publisher did not know if the first one had been written."""

from dataclasses import dataclass

from eventfabric.model.identity import BatchId, Region


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of one Region, for one subscription, about a batch that may also stand in the lane beside whose
    state the decision is kept.

    `noted_wins`: the noted copy is delivered, and the copy in that lane is stepped over; otherwise the reverse. A
    Region decides once.
    """

    region: Region
    batch_id: BatchId
    noted_wins: bool
