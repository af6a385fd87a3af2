"""One good item of every kind that is stored, with its decoder."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from eventfabric.model import (
    EMPTY_TAIL,
    START,
    Batch,
    BatchId,
    Circuit,
    Decided,
    Decision,
    DeclarationLane,
    Dropped,
    Failure,
    Generation,
    HybridTime,
    Intervention,
    Lane,
    LaneIndex,
    LaneKey,
    Mark,
    Marks,
    Note,
    Owner,
    Parked,
    ParkedState,
    Passing,
    Place,
    Region,
    Rest,
    Roster,
    SequenceNumber,
    Settled,
    SkippedBy,
    StreamName,
    SubscriptionName,
    digest_of_id,
    pin_of,
    record_at,
    seal_at,
    skip_at,
)
from eventfabric.model.backfill import Backfill, LaneRange, Seam, Slice, SliceProgress
from eventfabric.model.catalogue import Declaration, DeclaredChange, State, StreamFacts, SubscriptionFacts
from eventfabric.wire import (
    backfill_item,
    circuit_item,
    cursor_item,
    declaration,
    intervention_item,
    marks_item,
    once_item,
    owner_item,
    parked_item,
    place_item,
    record_item,
    settled_item,
    start_item,
    step_item,
    won_item,
)
from eventfabric.wire.keys import Item
from eventfabric.wire.ledger_commit import state_of
from eventfabric.wire.payload_codec import pack

US: Final = Region("us-east-1")
STREAM: Final = StreamName("orders")
BILLING: Final = SubscriptionName("billing")
LANE: Final = Lane(US, Generation(0), LaneIndex(7))
KEY: Final = LaneKey(STREAM, BILLING, LANE)
TOKEN: Final = b"t" * 16
FAILURE: Final = Failure("ValueError", "no", "trace", "hint", 2, 0, 1_000, 2_000)
ROW: Final = ("e1", "Placed", "k", 2**50, "/s", {"a": True}, 1, b'{"n":1}')
RECORD: Final = record_at(
    EMPTY_TAIL,
    LANE,
    Batch(BatchId(b"b" * 16), 1, frozenset({"Placed"}), pack([ROW]), Note(LANE, SequenceNumber(3))),
    now_ms=2**40,
    retention_seconds=86_400,
)
DECLARATION: Final = Declaration(
    stream=StreamFacts(name=STREAM, regions=(US,), lanes=4, owner="shop", closing=(), retention_days=9),
    subscriptions={
        BILLING: SubscriptionFacts(
            name=BILLING, state=State.RETIRED, incarnation=1, highest=2, types=("Placed",)
        )
    },
    change=DeclaredChange(kind="retired", of=BILLING, by="me", request_id="q1", version="0.1.0", at_ms=5),
)
DECLARED: Final = record_at(
    EMPTY_TAIL,
    DeclarationLane.of(US, STREAM),
    declaration.batch_of(DECLARATION, BatchId(b"b" * 16), source="/shop/orders"),
    now_ms=2**40,
    retention_seconds=None,
)
SEAM: Final = Seam(SequenceNumber(4), EMPTY_TAIL.chain)
SLICE: Final = SliceProgress(Slice(STREAM, LANE, Seam.of(EMPTY_TAIL), SEAM, US, Region("eu-west-1")), SEAM, 4)
BACKFILL: Final = Backfill(
    "b1", STREAM, US, Region("eu-west-1"), (LaneRange(LANE),), 2.5, 8, None, "me", 1_000, version=1
)
PLACES: Final = (
    Place(SequenceNumber(3), SequenceNumber(4), replay=True),
    Place(SequenceNumber(8), SequenceNumber(8)),
)
PARKED: Final = Parked("k/k", "k", ParkedState.RETRYING, PLACES, 5_000, FAILURE, True, b"r", 3)
ROSTER: Final = Roster({digest_of_id("k"): 5}, (b"abc", b"xyz"))
LISTED: Final = replace(START, low=PLACES[0], parked=b"p" * 8, roster=ROSTER)
DROPPED: Final = Dropped("k", (SequenceNumber(4), SequenceNumber(9)), SequenceNumber(20), SequenceNumber(30))
MARK: Final = Mark(
    SequenceNumber(4),
    EMPTY_TAIL.chain,
    cursors={"billing": (0, 4)},
    again=SequenceNumber(2),
    rounds=1,
    whole_ms=5,
)
MARKS: Final = Marks({LaneIndex(7): MARK})
DECISION: Final = Decision(US, BatchId(b"b" * 16), noted_wins=True)
SKIP: Final = skip_at(
    EMPTY_TAIL,
    LANE,
    until=RECORD.tail,
    chain=pin_of(RECORD),
    expires_at=9,
    skipped=SkippedBy("me", "lost", 1),
)
SEAL: Final = seal_at(EMPTY_TAIL, LANE, now_ms=2**40)
DEEP: Final = LaneKey(STREAM, BILLING, LANE.children[0])
"""Key of a lane into which another was split."""
Decode = Callable[[Item], object]


def items() -> dict[str, tuple[Item, Decode]]:
    """Make a good item of each kind, with what decodes it."""
    return {
        "aside": (
            intervention_item.to_item(
                Intervention(LANE, SequenceNumber(4), "me", "far", 1), record_item.to_item(RECORD)
            ),
            lambda item: intervention_item.from_item(item, LANE),
        ),
        "place": (place_item.put(LANE, RECORD.tail)["Item"], place_item.from_item),
        "recent": (record_item.to_item(RECORD), lambda item: place_item.recent([item], more=False)),
        "record": (record_item.to_item(RECORD), record_item.from_item),
        "declared": (
            record_item.to_item(DECLARED),
            lambda item: declaration.declaration_of(record_item.from_item(item)),
        ),
        "skip": (record_item.to_item(SKIP), record_item.from_item),
        **_of_splits(),
        "cursor": (cursor_item.to_item(KEY, US, START, token=TOKEN, now_ms=1), cursor_item.from_item),
        "cursor with a roster": (
            cursor_item.to_item(KEY, US, LISTED, token=TOKEN, now_ms=1),
            lambda item: state_of([item]),
        ),
        "state": (cursor_item.to_item(KEY, US, START, token=TOKEN, now_ms=1), lambda item: state_of([item])),
        "parked": (parked_item.to_item(KEY, US, PARKED, token=TOKEN), parked_item.from_item),
        "parked with a rest": (
            parked_item.to_item(
                KEY, US, replace(PARKED, rest=Rest(SequenceNumber(8), SequenceNumber(9))), token=TOKEN
            ),
            parked_item.from_item,
        ),
        "discarded with what waited": (
            settled_item.to_item(
                KEY,
                US,
                Settled(SequenceNumber(4), "discarded", FAILURE, 1, "me", dropped=DROPPED, expires_seconds=9),
            ),
            settled_item.from_item,
        ),
        "settled": (
            settled_item.to_item(KEY, US, Settled(SequenceNumber(4), "edited", FAILURE, 1, "me", b"r")),
            settled_item.from_item,
        ),
        "won": (won_item.to_item(Decided(KEY, DECISION, 5), token=TOKEN), won_item.from_item),
        "circuit": (circuit_item.to_item(STREAM, BILLING, US, Circuit(version=1)), circuit_item.from_item),
        "owner": (owner_item.to_item(STREAM, BILLING, Owner(US, US, 1, US, version=1)), owner_item.from_item),
        "standing": (
            owner_item.to_item(STREAM, BILLING, Owner(US, US, 1, US, version=1)),
            lambda item: owner_item.standing_of([item], US),
        ),
        "start": (start_item.to_item(STREAM, BILLING, US, HybridTime(5)), start_item.from_item),
        "marks": (
            marks_item.changed_items(STREAM, US, US, Marks(), MARKS)[0][0],
            lambda item: marks_item.from_items([item]),
        ),
        "cursors of marks": (
            marks_item.changed_items(STREAM, US, US, Marks(), MARKS)[1][0],
            lambda item: marks_item.from_items([item]),
        ),
        "backfill": (backfill_item.to_item(BACKFILL), backfill_item.from_item),
        "slice": (backfill_item.slice_to_item("b1", SLICE), backfill_item.slice_from_item),
        "step": (step_item.begun("k", US, owner=5, expires_seconds=9), step_item.from_item),
        "once": (once_item.to_item(RECORD, ROW), once_item.place_of),
        "once compared": (once_item.to_item(RECORD, ROW), lambda item: once_item.differing(item, ROW)),
    }


def _of_splits() -> dict[str, tuple[Item, Decode]]:
    """Make items as they are where a lane was split."""
    return {
        "seal": (record_item.to_item(SEAL), record_item.from_item),
        "cursor between splits": (
            cursor_item.to_item(
                DEEP,
                US,
                replace(
                    START,
                    low=replace(PLACES[0], replay=False, lane=LANE),
                    parked=b"p",
                    begun=Passing(US, 1, 2),
                    past_seal=Passing(US, 1, 5),
                ),
                token=TOKEN,
                now_ms=1,
            ),
            cursor_item.from_item,
        ),
        "parked in a lane above": (
            parked_item.to_item(
                DEEP,
                US,
                replace(
                    PARKED,
                    waiting=(replace(PLACES[0], lane=LANE),),
                    rest=Rest(SequenceNumber(8), SequenceNumber(9), lane=LANE),
                ),
                token=TOKEN,
            ),
            parked_item.from_item,
        ),
    }


ITEMS: Final = items()
