"""Owns the tests of how long a decision about a dead letter is kept, and what of it."""

from eventfabric import limits
from eventfabric.memory.faults import Faults
from eventfabric.wire.keys import Item
from tests.simulation.world import LANE, World
from tests.unit.failing import the_dead_letter
from tests.unit.test_dead_letters import letters_of, mended_world, settled

DAYS = 7


def stored(world: World) -> Item:
    (item,) = [
        item
        for item in world.cloud.regions[world.region].table(world.topology.ledger.name).items
        if item["pk"]["S"].endswith("/settled")
    ]
    return item


def test_what_a_discard_keeps_of_a_stream_with_a_retention_expires_and_holds_no_text_of_the_failure() -> None:
    world = mended_world("a1", behind=["a2"], retention_days=DAYS)
    letter = the_dead_letter(world)
    assert letter.parked.failure.message
    letters_of(world, Faults()).discard(letter, by="flo")
    (record,) = settled(world)
    expires_seconds = world.clock.now_ms() // 1000 + DAYS * 86_400 + limits.SETTLED_KEPT_SECONDS
    assert record.expires_seconds == expires_seconds
    assert stored(world)["expiration"] == {"N": str(expires_seconds)}
    assert (record.failure.message, record.failure.trace, record.failure.hint) == ("", "", "")
    assert record.failure.error_type == letter.parked.failure.error_type


def test_without_a_retention_all_of_it_is_kept_as_the_events_are() -> None:
    world = mended_world("a1", behind=["a2"])
    letter = the_dead_letter(world)
    letters_of(world, Faults()).discard(letter, by="flo")
    (record,) = settled(world)
    assert (record.expires_seconds, record.failure) == (None, letter.parked.failure)
    assert "expiration" not in stored(world)
    assert record.sequence == letter.parked.first.sequence
    assert world.key_of(LANE) == letter.key
