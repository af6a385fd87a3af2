"""Owns how long a text of an operator may be: it stands in an item with what it is about, and is read with that."""

from eventfabric import limits
from eventfabric.errors import SettingError, storable


def said(name: str, text: str) -> str:
    """The text as it is stored. SettingError where it is too long."""
    if len(text) > limits.SAID_CHARACTERS_MAX:
        allowed = f"at most {limits.SAID_CHARACTERS_MAX:,} characters"
        raise SettingError(name, f"{len(text):,} characters", allowed)
    return storable(text)
