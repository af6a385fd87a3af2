"""Keywords that classes check as JSON Schema does. Others would refuse what a schema accepts, and are only noted."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from eventfabric.contracts.keywords import KEYWORDS, Form

_NUMBERS: Final = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf")
INTEGERS: Final = range(-(2**63), 2**63)
"""Integers that decoders take for bounds, sizes, constants and tags."""
# In Python they are about all of Unicode, in JSON Schema mostly about ASCII.
_OTHERWISE: Final = re.compile(r"\\[DWsSbBpP]|\[\^[^\]]*\\")


def words_unchecked(keywords: Mapping[str, Any], kind: str) -> list[str]:
    """Return the keywords that a class cannot check, or need not. `kind`: of JSON, as Python calls it."""
    checked = {word: value for word, value in keywords.items() if _is_checked_alike(word, value, kind)}
    return [*(word for word in keywords if word not in checked), *_implied_bounds(checked)]


def _is_checked_alike(keyword: str, value: Any, kind: str) -> bool:
    """Tell if a class accepts all that a keyword accepts."""
    if keyword == "pattern":
        return _OTHERWISE.search(value) is None and _is_pattern(value)
    if keyword not in _NUMBERS and KEYWORDS[keyword] is not Form.COUNT:
        return True
    if isinstance(value, int):
        return value in INTEGERS
    # 19.99 is a multiple of 0.01 for who counts in tens, and not for who counts in twos.
    return kind == "float" and keyword != "multipleOf"


def _implied_bounds(keywords: Mapping[str, Any]) -> Iterator[str]:
    """Yield the bounds that others imply: classes may have one at each end."""
    low, high = keywords.get("minimum"), keywords.get("maximum")
    open_low, open_high = keywords.get("exclusiveMinimum"), keywords.get("exclusiveMaximum")
    if low is not None and open_low is not None:
        yield "minimum" if open_low >= low else "exclusiveMinimum"
    if high is not None and open_high is not None:
        yield "maximum" if open_high <= high else "exclusiveMaximum"


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True
