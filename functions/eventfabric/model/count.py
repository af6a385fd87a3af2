"""Counters that start again when they reach the largest number that can be stored."""

from eventfabric import limits


def next_count(count: int) -> int:
    """Return the number after this one: 1 after the largest. For numbers that are only compared for equality."""
    return count % limits.SEQUENCE_MAX + 1
