"""Copying: put the records that a lane lacks into a Region's log, as far as they extend what was verified there."""

from eventfabric import limits
from eventfabric.model import Lane, SequenceNumber, Tail
from eventfabric.ports import Log


def copy_records(lane: Lane, source: Log, target: Log, verified: Tail, end: SequenceNumber) -> bool:
    """Put identical records from `verified` up to `end`, as far as they extend the chain. Tell if all were put."""
    sequence, chain = verified.sequence, verified.chain
    while sequence < end:
        page = source.read(lane, sequence, records_max=limits.PAGE_RECORDS_MAX)
        for record in page.records:
            # The source may itself be wrong: only what continues the
            # records that were verified here is taken.
            if record.sequence != sequence or not record.extends(chain):
                return False
            # A conditional put: nothing that stands here is overwritten.
            present = target.append(record)
            if present is not None and present.chain != record.chain:
                return False
            sequence, chain = record.tail.sequence, record.chain
            if sequence >= end:
                return True
        if not page.more:
            return False
    return True
