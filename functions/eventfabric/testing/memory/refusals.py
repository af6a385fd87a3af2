"""Codes with which a table refuses calls, and the errors that they become."""

from collections.abc import Callable
from typing import Any, Final

from eventfabric.errors import LastingError, PortError, ThrottledError

CONFLICT: Final = "TransactionConflictException"
THROTTLE: Final = "ProvisionedThroughputExceededException"
REASONS: Final = {CONFLICT: "TransactionConflict", THROTTLE: "ThrottlingError"}
"""Codes with which a table refuses a single call, mapped to the names that a cancelled transaction gives them."""
DENIED: Final = "AccessDeniedException"
KEY_DENIED: Final = "KMSAccessDeniedException"
LASTING: Final = {DENIED: "denied", KEY_DENIED: "key_unusable"}
"""Codes that last until somebody acts, with the cause that LastingError names; they refuse a transaction as a whole."""
Refuser = Callable[[str, tuple[Any, ...]], str | None]
"""Returns the code with which a table refuses an action (Put, Query ...) on a key or a partition; None: it does not."""


def refusal(code: str, action: str, name: str) -> PortError:
    """Make the error for a call that a table refuses with a code."""
    reason = f"{code}: {name}"
    if code in LASTING:
        return LastingError(action, reason, LASTING[code])
    return ThrottledError(action, reason)


def refuse_nothing(action: str, key: tuple[Any, ...]) -> str | None:
    """Let every call through."""
    return None
