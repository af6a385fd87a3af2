"""Patience of a pass: until when it begins with another lane, and how many lanes may fail before it gives up."""

from eventfabric.errors import PortError
from eventfabric.ports import Clock
from eventfabric.services.reconciliation import pass_bounds


class PassPatience:
    """Judge of one pass, shared by all lanes that are checked at a time. `until_ms`: None: it has all the time."""

    def __init__(self, clock: Clock, until_ms: int | None = None) -> None:
        self._clock = clock
        self._until_ms = until_ms
        self._errors: list[Exception] = []
        self._has_ended = False
        self.has_left_lanes = False
        """True if the time was over before a lane was checked to its end."""

    def is_over(self) -> bool:
        """Tell if the time is over."""
        return self._has_ended or (self._until_ms is not None and self._clock.now_ms() >= self._until_ms)

    def end(self) -> None:
        """Have lanes that are being checked end soon: nobody waits for their outcome any more."""
        self._has_ended = True

    def leave(self) -> None:
        """Note that a lane was left, or not checked to its end, because the time is over."""
        self.has_left_lanes = True

    def fail(self, error: Exception) -> None:
        """Note that a lane could not be checked. The others are, as long as few calls fail."""
        self._errors.append(error)

    @property
    def is_exhausted(self) -> bool:
        """True if so many calls failed that a service must be away."""
        # Any other error is of its lane alone, and costs no waiting.
        failed_calls = sum(isinstance(error, PortError) for error in self._errors)
        return failed_calls >= pass_bounds.PASS_FAILURES_MAX

    @property
    def error(self) -> Exception | None:
        """The first failure of a lane; None: all that were tried were checked."""
        return self._errors[0] if self._errors else None
