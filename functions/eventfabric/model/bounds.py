"""Bounds of what is stored: a count starts again at its own, and an operator's text must keep to its own."""

from eventfabric import limits
from eventfabric.errors import SettingError, storable


def next_count(count: int) -> int:
    """Return the number after this one: 1 after the largest. For numbers that are only compared for equality."""
    return count % limits.SEQUENCE_MAX + 1


def operator_text(name: str, text: str) -> str:
    """Return the text as it is stored. SettingError if it is too long: it is read with whatever it is about."""
    if len(text) > limits.OPERATOR_TEXT_CHARACTERS_MAX:
        allowed = f"at most {limits.OPERATOR_TEXT_CHARACTERS_MAX:,} characters"
        raise SettingError(name, f"{len(text):,} characters", allowed)
    return storable(text)
