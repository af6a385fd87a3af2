"""The real clock and real randomness of this machine: not AWS, but not pure either."""

from os import urandom
from threading import Lock
from time import monotonic_ns, sleep, time_ns

from eventfabric.copies import when_copied


class SystemClock:
    """ports.Clock of this machine."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970."""
        return time_ns() // 1_000_000

    def steady_ms(self) -> int:
        """Return milliseconds since some moment of this process."""
        return monotonic_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        """Wait."""
        sleep(seconds)


class SystemEntropy:
    """ports.Entropy of the operating system, drawn in blocks: one system call serves hundreds of ids.

    No block is ever shared: a copied process, and a copy of this object, draw their own.
    """

    _BLOCK_BYTES = 8192

    def __init__(self) -> None:
        self._begin()
        when_copied(self._begin)

    def _begin(self) -> None:
        self._block = b""
        self._position = 0
        self._lock = Lock()

    def __reduce__(self) -> tuple[type["SystemEntropy"], tuple[()]]:
        return SystemEntropy, ()

    def bytes(self, count: int) -> bytes:
        """Return unpredictable bytes."""
        with self._lock:
            position = self._position
            if position + count > len(self._block):
                self._block, position = urandom(max(self._BLOCK_BYTES, count)), 0
            self._position = position + count
            return self._block[position : position + count]

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        return (int.from_bytes(self.bytes(7)) >> 3) / 2**53
