"""Owns how what is counted goes on where the largest number that can be stored is reached."""

from eventfabric import limits


def next_count(count: int) -> int:
    """The number after this one; after the last that every reader takes, 1. For what is only compared for equality."""
    return count % limits.SEQUENCE_MAX + 1
