"""Stored items and doorbells of the last released version: this one reads them, and writes them so that it reads on."""

import json
import re
from typing import Any, Final

import msgspec
import pytest

from eventfabric.wire import keys
from eventfabric.wire.doorbell import from_body, to_body
from tests.versions.recorded import COMPRESSED, DOORBELLS, recorded, stored

RECORDED: Final = recorded()
SENT: Final = {"timer", "doorbell"}
"""Kinds in the catalogue that are messages, and no items."""
PASSING: Final = {"progress"}
"""Kinds in the catalogue that no other version has to read: what cannot be read is worth no more than one pass."""
NEW: Final = {"seal", "credit", "declared"}
"""Kinds in the catalogue that the recorded version does not write yet."""


def known(value: Any, of: Any) -> Any:
    """Return a value without what the version that wrote `of` does not know: fields that were added since."""
    if isinstance(value, dict) and isinstance(of, dict):
        return {name: known(value[name], of[name]) for name in of if name in value}
    if isinstance(value, str) and isinstance(of, str) and of.startswith("{"):
        return known(json.loads(value), json.loads(of))
    if isinstance(value, bytes) and isinstance(of, bytes) and isinstance(unpacked(of), dict):
        return known(unpacked(value), unpacked(of))
    return value


def unpacked(value: bytes) -> Any:
    """Return what MessagePack holds; None for bytes that are something else."""
    try:
        return msgspec.msgpack.decode(value)
    except msgspec.MsgspecError:
        return None


def plain(value: Any) -> Any:
    """Return a recorded value in the form in which `known` compares it."""
    return known(value, value)


def test_every_kind_of_the_catalogue_is_recorded() -> None:
    assert keys.__doc__ is not None
    catalogue = set(re.findall(r"^(\w+) +(?:table|queue) `", keys.__doc__, re.MULTILINE))
    assert len(catalogue) > len(SENT)
    assert catalogue - SENT - PASSING - NEW <= set(RECORDED["items"])
    assert not NEW & set(RECORDED["items"])
    assert len(RECORDED["doorbells"]) == len(DOORBELLS)


@pytest.mark.parametrize("kind", RECORDED["items"])
def test_this_version_reads_what_the_released_one_stored(kind: str) -> None:
    item, decode = stored()[kind]
    assert decode(RECORDED["items"][kind]) == decode(item)


@pytest.mark.parametrize("kind", sorted({*RECORDED["items"]} - COMPRESSED))
def test_this_version_stores_all_that_the_released_one_reads_as_it_was(kind: str) -> None:
    before, (item, _) = RECORDED["items"][kind], stored()[kind]
    assert known(item, before) == plain(before)


def test_a_record_of_many_events_is_one_that_is_compressed() -> None:
    codecs = {kind: RECORDED["items"][kind]["d"]["B"][0] for kind in ("record", "record of many")}
    assert codecs == {"record": 3, "record of many": 4}


@pytest.mark.parametrize("name", RECORDED["doorbells"])
def test_doorbells_are_read_and_rung_as_the_released_version_does(name: str) -> None:
    body = RECORDED["doorbells"][name]
    assert from_body(body) == DOORBELLS[name]
    assert known(to_body(DOORBELLS[name]), body) == plain(body)


def test_a_field_that_was_added_is_no_change_and_one_that_is_gone_is_one() -> None:
    before = {"f": {"S": '{"a":1}'}, "v": {"N": "1"}}
    more = {"f": {"S": '{"a":1,"b":2}'}, "v": {"N": "1"}, "x": {"N": "2"}}
    assert known(more, before) == plain(before)
    for less in (
        {"f": {"S": '{"b":2}'}, "v": {"N": "1"}},
        {"f": {"S": '{"a":1}'}},
        {**more, "v": {"N": "2"}},
    ):
        assert known(less, before) != plain(before)
