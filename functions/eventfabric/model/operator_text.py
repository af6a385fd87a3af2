"""The bound on texts of operators: a text stands in an item with what it is about, and is read with it."""

from eventfabric import limits
from eventfabric.errors import SettingError, storable


def operator_text(name: str, text: str) -> str:
    """Return the text as it is stored. SettingError if it is too long."""
    if len(text) > limits.OPERATOR_TEXT_CHARACTERS_MAX:
        allowed = f"at most {limits.OPERATOR_TEXT_CHARACTERS_MAX:,} characters"
        raise SettingError(name, f"{len(text):,} characters", allowed)
    return storable(text)
