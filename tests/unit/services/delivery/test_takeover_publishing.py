"""Takeovers of lanes whose handler publishes: which events are published again."""

import pytest

from eventfabric import Delivery, Event, limits
from eventfabric.model import SequenceNumber
from eventfabric.wire.keys import is_parked, ledger_region_and_kind
from eventfabric.wire.payload_codec import unpack
from tests.support.failing_handlers import retry
from tests.support.handovers import hand_over, without_parked
from tests.support.memory_fabric import AWAY, HOME, event, lane
from tests.support.publishing_stream import INVOICES, PublishingStream, bill_and_count
from tests.support.replays import replay
from tests.unit.services.operations.test_replay_key import A, C, D


class Billing:
    """A stream in which some events fail, the Region that takes it over, and what was published twice by then."""

    def __init__(self, *, attempts: int = 5) -> None:
        self.failing: set[str] = set()
        self.home = PublishingStream(
            self._handle, guarantee="exactly_once", **retry(attempts=attempts, immediate=0)
        )

    def _handle(self, event: Event, delivery: Delivery) -> None:
        if event.id in self.failing:
            raise ValueError
        if event.id == "a2":
            self.home.clock.advance(2)  # the invocation of a second has no time left
        bill_and_count(event, delivery)

    def delivered(self, *names: str) -> None:
        """Publish these events, each under the key by which its name begins, and deliver them."""
        for name in names:
            self.home.put(event(name, key={"a": A, "c": C, "d": D}[name[0]]))
        self.home.deliver()

    def taken_over(self) -> PublishingStream:
        """Lose the Region. What it had is replicated by then; see without_parked."""
        self.home.cloud.cut(HOME)
        self.failing.clear()
        away = self.home.in_region(AWAY)
        assert isinstance(away, PublishingStream)
        away.calls = []
        hand_over(away)
        for _ in range(10):
            away.deliver()
            away.clock.advance(60)
        return away

    def twice(self) -> list[str]:
        """The events of which both Regions published an invoice."""
        log = self.home.cloud.log(INVOICES, AWAY)
        of = [
            invoice.data["of"]
            for origin in (HOME, AWAY)
            for index in range(4)
            for record in log.read(lane(index, origin), SequenceNumber(0), records_max=100).records
            for invoice in unpack(record)
        ]
        return sorted(name for name in set(of) if of.count(name) > 1)


@pytest.mark.parametrize("is_here", [True, False])
def test_a_key_that_a_replay_under_way_parked_publishes_nothing_again_though_it_is_made_anew(
    monkeypatch: pytest.MonkeyPatch, is_here: bool
) -> None:
    monkeypatch.setattr(limits, "PAGE_RECORDS_MAX", 2)
    billing = Billing()
    billing.delivered("a1", "c1", "a2", "c2", "c3")
    replay(billing.home, 1)
    billing.failing.add("c1")
    billing.home.deliver(time_ms=1000)
    assert (billing.home.cursor().sequence, billing.home.cursor().is_replay) == (3, True)
    billing.home.cloud.replicate()
    if not is_here:
        without_parked(billing.home)
    away = billing.taken_over()
    assert sorted(away.calls) == ["c1", "c2", "c3"]
    assert billing.twice() == []


@pytest.mark.parametrize("is_here", [True, False])
def test_a_key_that_was_replayed_by_itself_publishes_again_if_it_is_made_anew(is_here: bool) -> None:
    billing = Billing()
    billing.delivered("a1", "c1", "a3")
    replay(billing.home, 0, key=A)
    billing.home.cloud.replicate()
    if not is_here:
        without_parked(billing.home)
    billing.taken_over()
    assert billing.twice() == ([] if is_here else ["a1", "a3"])


@pytest.mark.parametrize("searched", [0, 2, 9])
def test_what_a_replay_had_marked_stays_marked_where_the_new_owner_goes_back(
    monkeypatch: pytest.MonkeyPatch, searched: int
) -> None:
    """a1 is a dead letter, and its key is not here; the replay begins at c3."""
    monkeypatch.setattr(limits, "TAKEOVER_RECORDS_MAX", searched)
    monkeypatch.setattr(limits, "PAGE_RECORDS_MAX", 1)
    billing = Billing(attempts=1)
    billing.failing.add("a1")
    billing.delivered("c1", "a1", "c2", "c3", "c4")
    replay(billing.home, 3)
    billing.home.cloud.replicate()
    without_parked(billing.home)
    away = billing.taken_over()
    assert away.calls[-2:] == ["c3", "c4"]
    assert billing.twice() == ([] if searched else ["c2"])


def test_where_the_search_ends_before_the_cursor_only_what_lies_behind_it_is_published_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The key of an old dead letter is here; that of c1, parked just now, is not."""
    monkeypatch.setattr(limits, "TAKEOVER_RECORDS_MAX", 4)
    monkeypatch.setattr(limits, "PAGE_RECORDS_MAX", 1)
    billing = Billing(attempts=1)
    billing.failing |= {"a1", "c1"}
    billing.delivered("a1", "d1", "d2", "d3", "d4", "c1")
    billing.home.cloud.replicate()
    table = billing.home.cloud.regions[AWAY].table(billing.home.topology.ledger.name)
    for item in table.items:
        if is_parked(ledger_region_and_kind(item)[1]) and item["k"]["S"] == C:
            table.write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})
    away = billing.taken_over()
    assert away.calls == ["d4", "c1"]
    assert set(away.parked()) == {A}
    assert billing.twice() == ["d4"]
