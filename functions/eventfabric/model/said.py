"""The bound on texts of operators: a text stands in an item with what it is about, and is read with it."""

from eventfabric import limits
from eventfabric.errors import SettingError, storable


def said(name: str, text: str) -> str:
    """Return the text as it is stored. SettingError if it is too long."""
    if len(text) > limits.SAID_CHARACTERS_MAX:
        allowed = f"at most {limits.SAID_CHARACTERS_MAX:,} characters"
        raise SettingError(name, f"{len(text):,} characters", allowed)
    return storable(text)
