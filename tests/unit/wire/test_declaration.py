"""Declarations that no version writes: what is beyond its bounds is refused with its place, and never believed."""

from typing import Any

import msgspec
import pytest

from eventfabric.errors import FormatError, UndecodableRecordError
from eventfabric.limits import LANES_MAX, NAME_CHARACTERS_MAX
from eventfabric.model import EMPTY_TAIL, BatchId, DeclarationLane, Record, Region, StreamName, record_at
from eventfabric.model.catalogue import Declaration, DeclaredChange, StreamFacts, SubscriptionFacts
from eventfabric.model.partly_read import readable_of, unread_of
from eventfabric.wire.batch import batch_of_rows
from eventfabric.wire.declaration import TYPE, batch_of, declaration_of
from eventfabric.wire.payload_codec import Row, unpack

LANE = DeclarationLane.of(Region("us-east-1"), StreamName("orders"))
PLAIN = Declaration(
    stream=StreamFacts(name="orders", regions=("us-east-1", "eu-west-1"), lanes=4),
    subscriptions={name: SubscriptionFacts(name=name, handler="a:b") for name in ("billing", "audit")},
    change=DeclaredChange(kind="all deployed", by="stack", request_id="r", version="0.1.0", at_ms=1),
)


def declared(part: str, **members: object) -> Record:
    """Return a record that declares PLAIN with other members in its stream, its change, or one subscription."""
    batch = batch_of(PLAIN, BatchId(bytes(16)), source="/shop/orders")
    [event] = unpack(record_at(EMPTY_TAIL, LANE, batch, now_ms=1, retention_seconds=None))
    declaration: dict[str, Any] = msgspec.json.decode(event.payload.content)
    whole = declaration if part in declaration else declaration["subscriptions"]
    whole[part] |= members
    row: Row = ("r", TYPE, "orders", 1000, "/shop/orders", {}, 1, msgspec.json.encode(declaration))
    batch = batch_of_rows(BatchId(bytes(16)), [row])
    return record_at(EMPTY_TAIL, LANE, batch, now_ms=1, retention_seconds=None)


@pytest.mark.parametrize(
    ("part", "members"),
    [
        *(("stream", {"lanes": lanes}) for lanes in (0, -1, 3, 2 * LANES_MAX, 10**9, "4", None)),
        *(("stream", {"name": name}) for name in ("other", "Orders", "")),
        *(("stream", {"regions": regions}) for regions in ([], ["us-east-1", "a/b"], "us-east-1")),
        *(("stream", {"retention_days": days}) for days in (0, -5, 10**9)),
        *(("stream", {"closing_since_ms": ms}) for ms in (-1, 10**15)),
        ("stream", {"reads_required": -(10**12)}),
        ("stream", {"durability": "archived"}),
        ("stream", {"deprecated": [{"type": "Placed", "since": "soon"}]}),
        ("stream", {"deprecated": [{"type": "Placed", "since": "2026-01-01", "sunset": "2026-02-30"}]}),
        ("stream", {"deprecated": [{"since": "2026-01-01"}]}),
        ("change", {"at_ms": 10**15}),
        ("change", {"at_ms": -1}),
    ],
)
def test_a_stream_beyond_its_bounds_is_no_declaration(part: str, members: dict[str, object]) -> None:
    with pytest.raises(UndecodableRecordError, match="record 0 of lane @us-east-1/orders: is no declaration"):
        declaration_of(declared(part, **members))


@pytest.mark.parametrize(
    "members",
    [
        *({"since_ms": ms} for ms in (-1, 10**15)),
        *({name: number} for name in ("incarnation", "highest") for number in (-1, 10**12)),
        *({"start": start} for start in ("tomorrow", "", 5)),
        {"guarantee": "exactly_thrice"},
        {"state": "resting"},
        {"publishes": ["Not a name"]},
        {"region": "a/b"},
        {"handler": None},
    ],
)
def test_a_subscription_beyond_its_bounds_concerns_only_whoever_asks_for_it(
    members: dict[str, object],
) -> None:
    known = declaration_of(declared("billing", **members)).subscriptions
    assert (list(readable_of(known)), list(unread_of(known))) == (["audit"], ["billing"])
    assert known["audit"] == PLAIN.subscriptions["audit"]
    asked = (
        lambda: known.get("billing"),
        lambda: "billing" in known,
        lambda: list(known),
        lambda: dict(known),
    )
    for ask in asked:
        with pytest.raises(UndecodableRecordError, match="subscription billing is declared as"):
            ask()


@pytest.mark.parametrize("name", ["Billing", "x" * (NAME_CHARACTERS_MAX + 1), "a/b", ""])
def test_what_is_no_name_is_no_subscription(name: str) -> None:
    known = declaration_of(declared("subscriptions", **{name: {"handler": "a:b"}})).subscriptions
    assert list(unread_of(known)) == [name]


def test_what_is_unread_stays_to_the_letter_when_something_else_is_declared() -> None:
    later = {"guarantee": "exactly_thrice", "weight": {"of": [3]}}
    known = declaration_of(declared("billing", **later))
    changed = known.with_subscription(SubscriptionFacts(name="audit", handler="c:d"), PLAIN.change)
    batch = batch_of(changed, BatchId(bytes(16)), source="/shop/orders")
    again = declaration_of(record_at(EMPTY_TAIL, LANE, batch, now_ms=1, retention_seconds=None))
    assert readable_of(again.subscriptions)["audit"].handler == "c:d"
    assert unread_of(again.subscriptions)["billing"].members == {"handler": "a:b", **later}


def test_a_version_that_is_too_old_hears_that_and_not_what_else_it_does_not_know() -> None:
    with pytest.raises(FormatError, match="written in format 9"):
        declaration_of(declared("stream", durability="archived", writes_required=9))
    assert declaration_of(declared("stream", writes_required=9)).stream.writes_required == 9
