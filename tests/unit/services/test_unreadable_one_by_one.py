"""Unreadable items in lists of many: each costs only itself or its own lane, and is named."""

import pytest

from eventfabric.errors import UndecodableItemError
from eventfabric.model import Failure, Parked, ParkedState, Place, SequenceNumber
from eventfabric.model.backfill import BackfillState
from eventfabric.sdk.operations import Operations
from eventfabric.services.backfill.lifecycle import Backfiller
from eventfabric.services.backfill.request import BackfillRequest
from eventfabric.wire import parked_item
from eventfabric.wire.keys import Item
from tests.support.failing_handlers import Failing, fabric_of, retry
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def ledger_items(fabric: SubscribedStream, region: str, fragment: str) -> list[Item]:
    """The ledger's items whose keys have that in them."""
    table = fabric.cloud.regions[region].table(fabric.topology.ledger.name)
    return [item for item in table.items if fragment in item["pk"]["S"] + " " + item["sk"]["S"]]


def put(fabric: SubscribedStream, region: str, item: Item) -> None:
    fabric.cloud.regions[region].table(fabric.topology.ledger.name).write("Put", {"Item": item})


def test_an_unreadable_parked_key_leaves_other_lanes_dead_letters_to_be_listed_and_decided() -> None:
    fabric = fabric_of(Failing({"a1": 99, "x1": 99}), **retry(immediate=0, attempts=1))
    fabric.put(event("a1", key="a"))
    fabric.put(event("x1", key="x"), of=lane(1))
    fabric.relay_all()
    fabric.deliver_all()
    (bad,) = [item for item in ledger_items(fabric, HOME, "~parked") if item["k"]["S"] == "a"]
    put(fabric, HOME, {**bad, "m": {"S": "buried"}})
    operations = Operations(fabric.topology, HOME, fabric.ports())
    letters, errors = operations.dead_letters(SUBSCRIPTION), list[Exception]()
    (letter,) = letters.find(unreadable=errors.append)
    assert (letter.parked.key, len(errors)) == ("x", 1)
    assert "field m" in str(errors[0])
    assert [
        parked_key.parked.key for parked_key in operations.parked(SUBSCRIPTION, unreadable=errors.append)
    ] == ["x"]
    letters.discard(letter)
    assert list(letters.find(unreadable=errors.append)) == []
    with pytest.raises(UndecodableItemError, match="field m"):
        list(letters.find())


@pytest.mark.parametrize(
    "change",
    [{"i": {"S": "k/b"}}, {"k": {"S": "b"}}, {"i": {"S": "s/0"}}, {"m": {"S": "dead"}, "g": {"BOOL": True}}],
    ids=str,
)
def test_a_parked_key_that_contradicts_itself_or_the_key_of_its_item_is_refused(change: Item) -> None:
    fabric = fabric_of(Failing({"a1": 99}), **retry(immediate=0, attempts=1))
    fabric.put(event("a1", key="a"))
    fabric.deliver()
    (item,) = ledger_items(fabric, HOME, "~parked")
    put(fabric, HOME, {**item, **change})
    with pytest.raises(UndecodableItemError, match=r"field [ig]"):
        fabric.parked()


@pytest.mark.parametrize(
    ("id", "first", "is_sound"),
    [
        ("s/3", 3, True),
        ("s/3", 4, True),
        ("s/3", 2, False),
        ("s/03", 4, False),
        ("s/", 4, False),
        ("s/x", 4, False),
    ],
)
def test_what_was_parked_alone_is_named_after_its_own_event_whatever_waits_in_it_by_now(
    id: str, first: int, is_sound: bool
) -> None:
    """Once the order of a key is kept again, its later events wait behind the one that was parked alone."""
    failure = Failure("shop:Bad", "", "", "", attempts=1, crashes=0, first_ms=1, last_ms=1)
    places = (Place(SequenceNumber(first), SequenceNumber(first)),)
    written = parked_item.to_item(
        SubscribedStream().key_of(LANE),
        HOME,
        Parked(id, "a", ParkedState.RETRYING, places, 1, failure),
        token=b"",
    )
    if is_sound:
        assert parked_item.from_item(written).id == id
    else:
        with pytest.raises(UndecodableItemError, match="field i"):
            parked_item.from_item(written)


def with_a_backfill() -> tuple[SubscribedStream, Backfiller, str]:
    fabric = SubscribedStream()
    for number in range(3):
        fabric.put(event(f"a{number}"))
        fabric.put(event(f"b{number}"), of=lane(1))
    backfiller = Backfiller(fabric.topology, fabric.ports(AWAY))
    begun = backfiller.begin(BackfillRequest(STREAM, HOME))
    backfiller.hand_out(begun.id, backfiller.hand_out(begun.id).more)
    return fabric, backfiller, begun.id


def test_an_unreadable_slice_leaves_the_others_to_be_copied_and_keeps_the_backfill_incomplete() -> None:
    fabric, backfiller, id = with_a_backfill()
    first, *others = ledger_items(fabric, AWAY, "/slices")
    assert others
    put(fabric, AWAY, {**first, "f": {"S": "{}"}})
    handout = backfiller.hand_out(id)
    assert len(handout.slices) == len(others)
    for progress in handout.slices:
        backfiller.copier(id).copy(progress)
    report = backfiller.finish(id)
    assert report.backfill.state is BackfillState.INCOMPLETE
    assert len(report.unreadable) == 1
    assert report.total.failures == list(report.unreadable)


def test_a_slice_under_the_key_of_another_is_refused() -> None:
    fabric, backfiller, id = with_a_backfill()
    first, second, *_ = ledger_items(fabric, AWAY, "/slices")
    put(fabric, AWAY, {**first, "f": second["f"]})
    assert len(backfiller.report(id).unreadable) == 1


def test_an_unreadable_backfill_is_left_out_of_the_list_of_all() -> None:
    fabric, backfiller, id = with_a_backfill()
    (item,) = [item for item in ledger_items(fabric, AWAY, id) if item["pk"]["S"] == "backfill"]
    put(fabric, AWAY, {**item, "sk": {"S": f"{AWAY}/old"}})
    errors: list[UndecodableItemError] = []
    assert [backfill.id for backfill in backfiller.all(unreadable=errors.append)] == [id]
    assert len(errors) == 1
