"""Randomness from a seed: the same seed gives the same numbers."""

from random import Random


class SeededEntropy:
    """ports.Entropy of a simulation."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)

    def bytes(self, count: int) -> bytes:
        """Return the next `count` bytes that follow from the seed."""
        return self._random.randbytes(count)

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        return self._random.random()
