"""The bound on texts of operators, which are stored and read with whatever they are about."""

from eventfabric import limits
from eventfabric.errors import SettingError, storable


def operator_text(name: str, text: object) -> str:
    """Return the text as it is stored. SettingError if it is no text, or too long."""
    if not isinstance(text, str):
        raise SettingError(name, type(text).__name__, "text")
    if len(text) > limits.OPERATOR_TEXT_CHARACTERS_MAX:
        allowed = f"at most {limits.OPERATOR_TEXT_CHARACTERS_MAX:,} characters"
        raise SettingError(name, f"{len(text):,} characters", allowed)
    return storable(text)
