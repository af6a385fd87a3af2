"""Operators' texts: one that is too long is refused before anything is changed, wherever it would be kept."""

from collections.abc import Callable

import pytest

from eventfabric import limits
from eventfabric.errors import SettingError
from eventfabric.model import (
    Circuit,
    CircuitState,
    Owner,
    Region,
    StreamName,
    SubscriptionName,
    operator_text,
)
from eventfabric.testing.memory.faults import Faults
from eventfabric.wire import circuit_item, owner_item
from eventfabric.wire.item_size import item_bytes
from tests.support.dead_letters import letters_of, mended_fabric, settled
from tests.support.failing_handlers import the_dead_letter
from tests.support.log_items import FAR, fabric_with, forged, put, quarantine_of
from tests.support.memory_fabric import LANE

LONG = "x" * (limits.OPERATOR_TEXT_CHARACTERS_MAX + 1)
NAMES = (StreamName("s" * limits.NAME_CHARACTERS_MAX), SubscriptionName("n" * limits.NAME_CHARACTERS_MAX))
REGION = Region("r" * limits.REGION_CHARACTERS_MAX)


def test_a_text_at_the_bound_is_kept_and_one_beyond_it_is_refused_by_its_name() -> None:
    assert operator_text("reason", LONG[1:]) == LONG[1:]
    with pytest.raises(SettingError, match=r"^reason: found '1,001 characters', allowed: at most 1,000 char"):
        operator_text("reason", LONG)
    with pytest.raises(SettingError, match=r"^reason: found 'int', allowed: text"):
        operator_text("reason", 5)


@pytest.mark.parametrize("name", ["by", "reason"])
def test_an_intervention_is_refused_before_anything_is_moved(name: str) -> None:
    fabric = fabric_with(3)
    put(fabric, forged(fabric, FAR))
    with pytest.raises(SettingError, match=rf"^{name}: "):
        quarantine_of(fabric).set_aside(LANE, FAR, **{"by": "ana", "reason": "", name: LONG})
    assert fabric.log.interventions(LANE) == ()


@pytest.mark.parametrize("decide", ["redrive", "discard"])
def test_a_decision_about_a_dead_letter_is_refused_before_it_is_made(decide: str) -> None:
    fabric = mended_fabric("a1")
    letters, letter = letters_of(fabric, Faults()), the_dead_letter(fabric)
    edited = letters.event(letter)
    calls: dict[str, Callable[[], None]] = {
        "redrive": lambda: letters.redrive(letter, replacement=edited, by=LONG),
        "discard": lambda: letters.discard(letter, by=LONG),
    }
    with pytest.raises(SettingError, match=r"^by: "):
        calls[decide]()
    assert (the_dead_letter(fabric), settled(fabric)) == (letter, [])


def test_what_functions_read_every_few_seconds_stays_small_with_the_longest_texts() -> None:
    text = "\x00" * limits.OPERATOR_TEXT_CHARACTERS_MAX  # which JSON escapes
    circuit = Circuit(CircuitState.PAUSED, text, by=text, since_ms=limits.MILLISECONDS_MAX)
    owner = Owner(REGION, REGION, limits.SEQUENCE_MAX, REGION, since_ms=limits.MILLISECONDS_MAX, reason=text)
    assert item_bytes(circuit_item.to_item(*NAMES, REGION, circuit)) < 16 * 1024
    assert item_bytes(owner_item.to_item(*NAMES, owner)) < 16 * 1024
