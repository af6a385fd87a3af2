"""Randomness that a seed gives: one seed, the same numbers."""

from random import Random


class SeededEntropy:
    """ports.Entropy of a simulation."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)

    def bytes(self, count: int) -> bytes:
        """Bytes, the next ones of the seed."""
        return self._random.randbytes(count)

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return self._random.random()
