"""Items that cannot be read: the error names the key, the field, what stands there, and what may."""

from typing import Any, Final

import msgspec
import pytest

from eventfabric import limits
from eventfabric.errors import UndecodableItemError, UndecodableRecordError
from eventfabric.wire import marks_item, record_item
from eventfabric.wire.fields import key_text
from eventfabric.wire.keys import Item
from eventfabric.wire.ledger_commit import state_of
from tests.support.stored_items import ITEMS

ABSENT: Final = None
BAD: Final[dict[str, Any]] = {
    "absent": ABSENT,
    "of no kind": {},
    "no attribute": 7,
    "a negative number": {"N": "-1"},
    "a number too large": {"N": str(2**53 + 1)},
    "a number of many digits": {"N": "0" * 30},
    "a number that is no text": {"N": 5},
    "an empty text": {"S": ""},
    "a text too long": {"S": "x" * 400_001},
    "a text that is none": {"S": 5},
    "JSON of another form": {"S": "[]"},
    "no bytes": {"B": b""},
    "three bytes": {"B": b"xyz"},
    "bytes that are too many": {"B": b"x" * 400_001},
    "bytes that are none": {"B": "x"},
    "an empty set": {"SS": []},
    "a set of numbers": {"SS": [5]},
    "a set of a text too long": {"SS": ["x" * 400_001]},
    "an empty list": {"L": []},
    "a list that is none": {"L": "x"},
    "a list of texts": {"L": [{"S": "x"}] * 4},
    "a list of no attributes": {"L": [7] * 4},
    "a flag that is none": {"BOOL": "x"},
}
SAID_OF_ANOTHER: Final = {"l": "p", "p": "l", "k": "i", "pk": "f", "sk": "f"}
"""Fields whose change makes another contradict them."""
OF_OTHER_KINDS: Final = {("recent", "sk"), ("seal", "s")}
"""Fields whose change makes an item one of another kind, which lacks other fields."""


def unreadable(item: Item) -> object:
    """Raise what marks keep for whoever asks for what the item holds."""
    for error in marks_item.from_items([item]).unreadable.values():
        raise error
    return None


def in_part(item: Item) -> object:
    """Read a cursor as one who has not the parked keys beside it."""
    return state_of([item], is_whole=False)


DECODES: Final = {kind: decode for kind, (_, decode) in ITEMS.items()} | {
    "declared": record_item.from_item,  # its payload is refused by a reader of its own
    "marks": unreadable,
    "cursors of marks": unreadable,
    "cursor with a roster": in_part,
}


def packed(content: object) -> dict[str, bytes]:
    return {"B": msgspec.msgpack.encode(content)}


def changed(kind: str, changes: dict[str, Any]) -> Item:
    """A good item, with other fields, and without those that are None here."""
    item = {**ITEMS[kind][0], **changes}
    return {name: value for name, value in item.items() if value is not None}


def changed_json(kind: str, **changes: object) -> dict[str, str]:
    """The JSON of a good item, with other values."""
    content = msgspec.json.decode(ITEMS[kind][0]["f"]["S"])
    return {"S": msgspec.json.encode({**content, **changes}).decode()}


@pytest.mark.parametrize("kind", ITEMS)
def test_a_refused_field_is_named_with_its_item_and_what_may_stand_there(kind: str) -> None:
    good, decode = ITEMS[kind][0], DECODES[kind]
    for name in good:
        for attribute in BAD.values():
            item = changed(kind, {name: attribute})
            try:
                decode(item)
            except UndecodableItemError as error:
                assert error.item == key_text(item)
                assert error.field.partition(".")[0] in (name, SAID_OF_ANOTHER.get(name))
                is_said_in_full(error.reason)
            except UndecodableRecordError as error:
                assert str(error.lane) in (key_text(item), key_text(item).rpartition(" ")[0])
                assert f" {name}: " in error.reason or (kind, name) in OF_OTHER_KINDS
                is_said_in_full(error.reason)


def is_said_in_full(reason: str) -> None:
    before, output, allowed = reason.rpartition(", allowed: ")
    _, begin, text = before.rpartition("found ")
    assert output
    assert begin
    assert text not in ("", "None")
    assert allowed not in ("", "None")


def sort_key(text: str) -> dict[str, Any]:
    return {"sk": {"S": text}}


AT_2: Final = {"sequence": 2, "chain": "A" * 22 + "=="}
FROM_3: Final = {
    **msgspec.json.decode(ITEMS["slice"][0]["f"]["S"])["slice"],
    "start": {"sequence": 3, "chain": "A" * 22 + "=="},
}
CASES: Final[dict[str, tuple[str, dict[str, Any], str, str]]] = {
    "one of l and p": (
        "cursor with a roster",
        {"p": None},
        "p",
        "one of l and p without the other",
    ),
    "a roster of none": (
        "cursor with a roster",
        {"l": None, "p": None},
        "l",
        "t or d without l",
    ),
    "no roster": (
        "cursor with a roster",
        {"t": None, "d": None},
        "l",
        "l without t and d",
    ),
    "a long digest": (
        "cursor with a roster",
        {"t": packed({b"x" * 32: 1})},
        "t",
        "another digest or time",
    ),
    "a digest due too late": (
        "cursor with a roster",
        {"t": packed({b"x" * 16: limits.MILLISECONDS_MAX + 1})},
        "t",
        "another digest or time",
    ),
    "a place beyond its record": (
        "cursor with a roster",
        {"l": {"L": [{"N": "3"}, {"N": str(4 + limits.RECORD_EVENTS_MAX)}]}},
        "l",
        f"{4 + limits.RECORD_EVENTS_MAX} in a record that begins at 3",
    ),
    "two numbers of three": (
        "cursor with a roster",
        {"l": {"L": [{"N": "3"}] * 3}},
        "l",
        "list",
    ),
    "marks of another part": (
        "cursors of marks",
        {"m": packed({limits.LANES_MAX: (0, 4)})},
        "m",
        "lanes of another part",
    ),
    "an owner that another Region writes": (
        "owner",
        {"sk": {"S": "eu-west-1/owner/us-east-1"}},
        "f",
        "us-east-1 us-east-1",
    ),
    "the id of another key": (
        "parked",
        {"i": {"S": "k/other"}},
        "i",
        "the id of another key",
    ),
    "another key": (
        "parked",
        {"k": {"S": "other"}},
        "i",
        "'k/k'",
    ),
    "an attempt of a dead key": (
        "parked",
        {"m": {"S": "dead"}},
        "g",
        "an attempt of a dead key",
    ),
    "another state": ("parked", {"m": {"S": "lost"}}, "m", "'lost'"),
    "a rest before what is listed": (
        "parked with a rest",
        {"b": packed((4, 8, 0, 0))},
        "b",
        "8",
    ),
    "a rest beyond its record": (
        "parked with a rest",
        {"b": packed((8, 9 + limits.RECORD_EVENTS_MAX, 0, 0))},
        "b",
        f"{9 + limits.RECORD_EVENTS_MAX} in a record that begins at 8",
    ),
    "replays that end before they begin": (
        "parked with a rest",
        {"b": packed((8, 9, 5, 4))},
        "b",
        "replays from 5 to 4",
    ),
    "half a place": (
        "parked",
        {"q": packed([3])},
        "q",
        "1 numbers",
    ),
    "places out of order": (
        "parked",
        {"q": packed([3, 4, 3, 4])},
        "q",
        "4 numbers",
    ),
    "another decision": (
        "settled",
        {"c": {"S": "kept"}},
        "c",
        "'kept'",
    ),
    "a decision at no sequence": (
        "settled",
        sort_key("us-east-1/7"),
        "sk",
        "'7'",
    ),
    "a decision at other digits": (
        "settled",
        sort_key("us-east-1/" + "٣" * 20),
        "sk",
        f"'{'٣' * 20}'",
    ),
    "another status": (
        "step",
        {"status": {"S": "EXPIRED"}},
        "status",
        "'EXPIRED'",
    ),
    "no Region": ("settled", sort_key("/x"), "sk", "another form"),
    "no kind": ("settled", sort_key("us-east-1/"), "sk", "another form"),
    "a lane that is none": ("once", {"l": {"S": "x"}}, "l", "'x'"),
    "no text": ("once", {"l": {"S": 5}}, "l", "int"),
    "a whole number with a sign": (
        "once",
        {"s": {"N": "-1"}},
        "s",
        "-1",
    ),
    "a number that is bytes": ("once", {"s": {"B": b"x"}}, "s", "B"),
    "nothing": ("once", {"s": None}, "s", "nothing"),
    "no attribute at all": ("once", {"s": 7}, "s", "int"),
    "bytes of another length": ("once compared", {"f": {"B": b"x"}}, "f", "1 bytes"),
    "no bytes": ("won", {"w": None, "o": {"S": "both"}}, "o", "'both'"),
    "a batch id that is none": (
        "won",
        sort_key("us-east-1/won/xyz"),
        "sk",
        "'xyz'",
    ),
    "a chain of another length": (
        "cursor",
        {"c": {"B": b"xyz"}},
        "c",
        "3 bytes",
    ),
    "a text for a chain": ("cursor", {"c": {"B": "x"}}, "c", "str"),
    "a flag that is none": ("cursor", {"g": {"BOOL": "x"}}, "g", "str"),
    "a backfill of another key": (
        "backfill",
        {"pk": {"S": "another"}},
        "f",
        "another's",
    ),
    "a slice of another key": (
        "slice",
        {"sk": {"S": "another"}},
        "f",
        "another's",
    ),
    "a number beyond its bounds in JSON": (
        "owner",
        {"f": changed_json("owner", epoch=2**60)},
        "f.epoch",
        "a value beyond its bounds",
    ),
    "a time beyond all in JSON": (
        "owner",
        {"f": changed_json("owner", since_ms=limits.MILLISECONDS_MAX + 1)},
        "f.since_ms",
        "a value beyond its bounds",
    ),
    "a key beyond its bounds beside a good value": (
        "cursors of marks",
        {"m": packed({2**60: (0, 4)})},
        "m",
        "a value beyond its bounds",
    ),
    "a time beyond all": (
        "settled",
        {"u": {"N": str(limits.MILLISECONDS_MAX + 1)}},
        "u",
        f"{limits.MILLISECONDS_MAX + 1}",
    ),
    "more crashes than are counted": (
        "cursor",
        {"n": {"N": str(limits.CRASHES_MAX + 1)}},
        "n",
        f"{limits.CRASHES_MAX + 1}",
    ),
    "an attempt after as many crashes": (
        "cursor",
        {"n": {"N": str(limits.CRASHES_MAX)}, "g": {"BOOL": True}},
        "n",
        f"{limits.CRASHES_MAX}",
    ),
    "a slice that stands before it begins": (
        "slice",
        {
            "f": changed_json("slice", slice=FROM_3, at=AT_2),
            "sk": {"S": "eu-west-1/us-east-1/0.7/00000000000000000003"},
        },
        "f",
        "at 2",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_contradicts_itself_or_its_bounds_is_named_with_what_was_found(case: str) -> None:
    kind, changes, field, actual = CASES[case]
    item = changed(kind, changes)
    with pytest.raises(UndecodableItemError) as raised:
        DECODES[kind](item)
    error = raised.value
    assert (error.item, error.field) == (key_text(item), field)
    is_said_in_full(error.reason)
    assert error.reason.startswith(f"found {actual}, ")
