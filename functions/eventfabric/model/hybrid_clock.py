"""The hybrid logical clock of appends: 48 bits of milliseconds, 16 of counter. It never runs back within a lane."""

from eventfabric import limits
from eventfabric.model.identity import HybridTime

_COUNTER_BITS = 16


def next_time(previous: HybridTime, now_ms: int) -> HybridTime:
    """Return the time of an append at `now_ms` after one at `previous`: the wall clock, unless it would not advance.

    At the largest time that can be stored it stands still: the lane goes on, and reconciliation reports its clock.
    """
    return HybridTime(min(max(previous + 1, now_ms << _COUNTER_BITS), limits.HYBRID_TIME_MAX))


def to_ms(time: HybridTime) -> int:
    """Return the milliseconds since 1970 in a hybrid time."""
    return time >> _COUNTER_BITS
