"""How long a decision about a dead letter is kept, and what of it."""

from eventfabric import limits
from eventfabric.model.finding import FindingKind
from eventfabric.testing.memory.faults import Faults
from eventfabric.wire.keys import Item
from tests.support.dead_letters import letters_of, mended_fabric, settled
from tests.support.failing_handlers import the_dead_letter
from tests.support.memory_fabric import LANE
from tests.support.reconciliations import reconcile
from tests.support.subscribed_stream import SubscribedStream

DAYS = 7


def stored(fabric: SubscribedStream) -> Item:
    (item,) = [
        item
        for item in fabric.cloud.regions[fabric.region].table(fabric.topology.ledger.name).items
        if item["pk"]["S"].endswith("/settled")
    ]
    return item


def test_what_a_discard_keeps_of_a_stream_with_a_retention_expires_and_holds_no_text_of_the_failure() -> None:
    fabric = mended_fabric("a1", behind=["a2"], retention_days=DAYS)
    letter = the_dead_letter(fabric)
    assert letter.parked.failure.message
    letters_of(fabric, Faults()).discard(letter, by="flo")
    (record,) = settled(fabric)
    expires_seconds = fabric.clock.now_ms() // 1000 + DAYS * 86_400 + limits.SETTLED_KEPT_SECONDS
    assert record.expires_seconds == expires_seconds
    assert stored(fabric)["expiration"] == {"N": str(expires_seconds)}
    assert (record.failure.message, record.failure.trace, record.failure.hint) == ("", "", "")
    assert record.failure.error_type == letter.parked.failure.error_type


def test_without_a_retention_all_of_it_is_kept_as_the_events_are() -> None:
    fabric = mended_fabric("a1", behind=["a2"])
    letter = the_dead_letter(fabric)
    letters_of(fabric, Faults()).discard(letter, by="flo")
    (record,) = settled(fabric)
    assert (record.expires_seconds, record.failure) == (None, letter.parked.failure)
    assert "expiration" not in stored(fabric)
    assert record.sequence == letter.parked.first.sequence
    assert fabric.key_of(LANE) == letter.key


def test_what_handlers_said_is_forgotten_of_keys_that_stay_dead_for_longer_than_events_are_kept() -> None:
    fabric = mended_fabric("a1", "b1", behind=["a2"], retention_days=DAYS)
    before = fabric.parked()
    fabric.clock.advance(DAYS * 86_400 - 3_600)
    reconcile(fabric, repair=True)
    assert all(parked.failure.has_texts for parked in fabric.parked().values())
    fabric.clock.advance(2 * 3_600)
    reconcile(fabric)
    assert all(parked.failure.has_texts for parked in fabric.parked().values())
    reconcile(fabric, repair=True)
    after = fabric.parked()
    assert {key: parked.failure for key, parked in after.items()} == {
        key: parked.failure.without_texts() for key, parked in before.items()
    }
    assert after["a"].failure.error_type == before["a"].failure.error_type
    assert after["a"].waiting == before["a"].waiting
    version = fabric.cursor().version
    assert FindingKind.PARKED_DIFFERS not in [finding.kind for finding in reconcile(fabric, repair=True)]
    assert fabric.cursor().version == version


def test_a_stream_that_keeps_its_events_keeps_what_handlers_said_of_them() -> None:
    fabric = mended_fabric("a1")
    fabric.clock.advance(400 * 86_400)
    reconcile(fabric, repair=True)
    assert fabric.parked()["a"].failure.has_texts
