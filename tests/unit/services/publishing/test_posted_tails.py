"""Posted tails: what a process remembers of the ends of lanes, and for how long it believes that."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.model import EMPTY_TAIL, Chain, Record, SequenceNumber, record_at
from eventfabric.services.publishing.posted_tails import PostedTails, Posting
from eventfabric.testing.memory.faults import Faults
from tests.support.memory_fabric import HOME, STREAM, batch_of, event, lane
from tests.support.subscribed_stream import SubscribedStream


class Posted:
    """Postings to lanes of an empty log, the tails that their process remembers, and the calls of the log."""

    def __init__(self) -> None:
        self.fabric = SubscribedStream()
        self.faults = Faults()
        self.log = self.faults.log(self.fabric.cloud.log(STREAM, HOME))
        self.tails = PostedTails(self.fabric.clock)

    def posting(self, index: int = 0) -> Posting:
        batch = batch_of([event("a")], self.fabric.entropy.bytes(16))
        return Posting("t", self.log, lane(index), batch, None)

    def record(self, index: int = 0) -> Record:
        """Make the record of a posting."""
        (record,) = self.tails.records([self.posting(index)])
        return record

    def other(self, index: int = 0) -> Record:
        """The first record of a lane, of another publisher."""
        batch = self.posting(index).batch
        return record_at(EMPTY_TAIL, lane(index), batch, now_ms=0, retention_seconds=None)

    @property
    def reads(self) -> int:
        return len(self.faults.calls)


def test_a_tail_is_read_once_and_again_when_what_followed_may_have_expired() -> None:
    posted = Posted()
    posted.record()
    posted.fabric.clock.advance(limits.EXPIRY_MARGIN_SECONDS - 1)
    posted.record()
    assert posted.reads == 1
    posted.fabric.clock.advance(1)
    posted.record()
    assert posted.reads == 2


@pytest.mark.parametrize("goes_on", [True, False])
def test_an_occupant_is_believed_if_it_continues_the_lane(goes_on: bool) -> None:
    posted = Posted()
    posted.record()
    other = posted.other()
    posted.tails.meet(posted.posting(), other if goes_on else replace(other, chain=Chain(bytes(16))))
    assert posted.record().sequence == (1 if goes_on else 0)
    assert posted.reads == (1 if goes_on else 2)


@pytest.mark.parametrize("sequence", [1, 7])
def test_an_occupant_of_another_place_is_not_believed(sequence: int) -> None:
    posted = Posted()
    posted.record()
    posted.tails.meet(posted.posting(), replace(posted.other(), sequence=SequenceNumber(sequence)))
    assert posted.record().sequence == 0
    assert posted.reads == 2


def test_what_lands_touches_no_lane_of_another_commit() -> None:
    posted = Posted()
    posted.record(0)
    posted.tails.meet(posted.posting(0), posted.other(0))
    posting = posted.posting(1)
    posted.tails.landed([posting], posted.tails.records([posting]))
    reads = posted.reads
    assert posted.record(0).sequence == 1
    assert posted.record(1).sequence == 1
    assert posted.reads == reads


def test_a_lane_in_which_others_were_faster_is_read_until_nobody_was() -> None:
    posted = Posted()
    posted.record()
    other = posted.other()
    assert posted.log.append(other) is None
    posted.tails.meet(posted.posting(), other)
    for _ in range(2):
        posting = posted.posting()
        records = posted.tails.records([posting])
        assert posted.log.append(records[0]) is None
        posted.tails.landed([posting], records)
        posted.record()
        assert sum(called != "log.append" for called in posted.faults.calls) == 2
