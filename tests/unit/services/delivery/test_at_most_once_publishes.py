"""At most once, a key that was parked under the guarantee before publishes too, an edited event under another id."""

from eventfabric import Delivery, Event
from eventfabric.testing.memory.faults import Faults
from tests.support.dead_letters import letters_of
from tests.support.failing_handlers import retry
from tests.support.memory_fabric import event
from tests.support.publishing_stream import INVOICES, PublishingStream


def test_a_parked_key_publishes_and_an_edited_event_under_another_id() -> None:
    ids: dict[str, list[str]] = {"same": [], "edited": []}
    failing = {"same", "edited"}

    def handle(event: Event, delivery: Delivery) -> None:
        published = delivery.publish(INVOICES, key=event.key, type="Billed", data={"of": event.key})
        ids[event.key].append(published)
        if event.key in failing:
            raise ValueError

    fabric = PublishingStream(handle, **retry(attempts=1))
    fabric.put(event("a", key="same"), event("b", key="edited"))
    fabric.deliver()
    assert fabric.invoices() == []
    fabric.topology = PublishingStream(handle, guarantee="at_most_once", **retry(attempts=1)).topology
    failing.clear()
    letters = letters_of(fabric, Faults())
    for letter in list(letters.find()):
        is_edited = letter.parked.key == "edited"
        replacement = Event(key="edited", type="placed", data={"name": "mended"}) if is_edited else None
        letters.redrive(letter, replacement=replacement)
    fabric.deliver_all()
    assert sorted(fabric.invoiced()) == ["edited", "same"]
    assert ids["same"][0] == ids["same"][1]
    assert ids["edited"][0] != ids["edited"][1]
