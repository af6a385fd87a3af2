"""Notes: if a batch may stand in two lanes, decide which copy is delivered.

A publisher that had no reply in one Region appends the batch in the next, with a note of the place where the first copy
may be. The visit that comes to the noted copy decides, once, before any of its events is handed out:

    decided before               as it was decided
    the first copy is here       other: the noted copy is stepped over, the first is delivered in its own lane
    it is not                    noted: the noted copy is delivered; the first, should it come, is stepped over

The decision stands beside the state of the first copy's lane, where a visit there reads it with the cursor. It is
committed with the noted lane's cursor unmoved, so that only one of two visits decides. After a crash right after that,
the noted lane comes to the record again, and finds it decided.
"""

from collections.abc import Sequence
from dataclasses import replace

from eventfabric import limits
from eventfabric.model import BatchId, Decided, Decision, LaneKey, Note, Record, SequenceNumber
from eventfabric.services.delivery.context import VisitContext


def settle_notes(
    context: VisitContext, key: LaneKey, noted: Sequence[Record]
) -> tuple[list[Decided], set[BatchId]]:
    """Return the new decisions, and the batches that are delivered elsewhere. Two reads for each undecided batch."""
    alone, decided, elsewhere = context.decides_alone, list[Decided](), set[BatchId]()
    for record in noted:
        assert record.note is not None, "only records with a note are settled"
        first_key = replace(key, lane=record.note.lane)
        state = context.ledger.state(first_key, glance=True)
        noted_wins = record.batch_id in state.won_by(alone)
        # A decision stands, even if the first copy arrives later: the noted one may be handled by then.
        if not state.is_decided(record.batch_id, alone):
            noted_wins = not _is_here(context, record.note, record)
            decision = Decision(context.region, record.batch_id, noted_wins=noted_wins)
            # The decision must outlive both copies: the other one may still arrive.
            keep_seconds = (context.subscription.retention_seconds or 0) + limits.DECISION_KEPT_SECONDS
            decided.append(Decided(first_key, decision, context.clock.now_ms() // 1000 + keep_seconds))
        if not noted_wins:
            elsewhere.add(record.batch_id)
    return decided, elsewhere


def _is_here(context: VisitContext, note: Note, record: Record) -> bool:
    """Tell if this Region has the first copy: at the noted sequence or nowhere, since its put was tried at no other."""
    records = context.log.read(
        note.lane, note.sequence, records_max=1, before=SequenceNumber(note.sequence + 1)
    ).records
    return bool(records) and records[0].sequence == note.sequence and records[0].is_copy_of(record)
