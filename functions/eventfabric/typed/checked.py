"""Keywords that classes check as JSON Schema does. Others would refuse what a schema accepts, and are only noted."""

import re
from typing import Any, Final

_NUMBERS: Final = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf")
_INTEGERS: Final = range(-(2**63), 2**63)
# In Python they are about all of Unicode, in JSON Schema mostly about ASCII.
_OTHERWISE: Final = re.compile(r"\\[DWsSbBpP]|\[\^[^\]]*\\")


def is_checked_alike(keyword: str, value: Any, kind: str) -> bool:
    """Tell if a class accepts all that a keyword accepts, of a kind of JSON, as Python calls it."""
    if keyword == "pattern":
        return _OTHERWISE.search(value) is None and _is_pattern(value)
    if keyword not in _NUMBERS:
        return True
    if kind == "int":
        return isinstance(value, int) and value in _INTEGERS
    # 19.99 is a multiple of 0.01 for who counts in tens, and not for who counts in twos.
    return keyword != "multipleOf" or isinstance(value, int)


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True
