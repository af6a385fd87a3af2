"""Bounds of one pass of reconciliation. What others must keep as well is in limits.py."""

from typing import Final

from eventfabric import limits

PASS_THREADS: Final = 16
"""Lanes that are checked at the same time. Most of a function's processor is busy with the calls of so many."""
PASS_MARGIN_SECONDS: Final = 60
"""End of an invocation's time, in which a pass begins with no other lane: for calls under way, and for its notes."""
PASS_NOTE_SECONDS: Final = 60
"""Time after which a pass that is still under way notes how far it has come."""
PASS_LATE_SECONDS: Final = 900
"""Age of a pass that is under way from which it counts as one that does not come round."""
PASS_FAILURES_MAX: Final = 2 * PASS_THREADS
"""Lanes that may fail in one pass before it gives up: a service is away then."""
UNANSWERED_MAX: Final = 3
"""Calls without an answer after which one pass does not ask the other Region again."""
REST_SECONDS: Final = 3_600
"""Time after which all state of a lane at rest is read again. Until then, a pass reads only where the lane ends."""

assert limits.CALL_SECONDS < PASS_MARGIN_SECONDS < limits.FUNCTION_TIMEOUT_SECONDS
assert PASS_NOTE_SECONDS < limits.UNRUNG_SECONDS  # so that the next invocation sees that a pass is under way
