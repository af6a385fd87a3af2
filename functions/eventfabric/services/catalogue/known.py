"""The newest declaration of a Region as one process knows it: read once, and again after a minute, not by event."""

from logging import getLogger
from math import inf
from threading import Lock
from typing import Final

from eventfabric.copies import when_forked
from eventfabric.deadline import Moment, call_within
from eventfabric.errors import PortError, UndecodableRecordError
from eventfabric.model import DeclarationLane
from eventfabric.model.catalogue import Declared
from eventfabric.ports import Clock, Log
from eventfabric.services.catalogue.lane import newest

CATALOGUE_SECONDS: Final = 60.0
"""Time for which a process may go by what it has read of the catalogue."""
READ_SECONDS: Final = 3.0
"""Time after which reading anew is given up; what is known holds for a minute more."""
STALE_SECONDS_MAX: Final = 180.0
"""Time for which a producer goes by what it knows, if it can never read anew: a Region that closes counts on that."""
FORGOTTEN_SECONDS: Final = int(STALE_SECONDS_MAX) + 60
"""Time after which no producer goes by what was declared before, however its clock differs."""
_log = getLogger("eventfabric")


class KnownDeclaration:
    """The newest declaration of one lane. Threads may share it: one of them reads anew, the others go on."""

    def __init__(
        self, log: Log, lane: DeclarationLane, clock: Clock, *, stale_seconds_max: float = inf
    ) -> None:
        """`stale_seconds_max`: time after which what is known holds no more if it cannot be read anew."""
        self._log, self._lane, self._clock = log, lane, clock
        self._stale_seconds_max = stale_seconds_max
        self._known: Declared | None = None
        self._known_since: Moment | None = None
        self._read: Moment | None = None
        self._begin()
        when_forked(self._begin)

    def _begin(self) -> None:
        self._lock = Lock()

    def now(self) -> Declared | None:
        """Return the newest declaration, at most a minute old; None: there is none.

        Raises PortError or UndecodableRecordError the first time. Later, what is known holds if none can be read anew,
        but no longer than `stale_seconds_max`.
        """
        if self._read is None:
            self._read_first()
        elif not self._read.is_within(CATALOGUE_SECONDS, Moment.of(self._clock)):
            self._read_anew()
        return self._known

    def forget(self) -> None:
        """Have the next caller read anew, because what is known seems to be out of date."""
        if self._read is not None:
            self._read = Moment(0, 0)

    def _read_first(self) -> None:
        # Threads do not wait one after the other for a service that does not answer.
        is_alone = self._lock.acquire(timeout=READ_SECONDS)
        try:
            if self._read is None:
                self._note(newest(self._log, self._lane))
        finally:
            if is_alone:
                self._lock.release()

    def _read_anew(self) -> None:
        is_alone = self._lock.acquire(blocking=False)
        if not is_alone and not self._is_stale():
            return  # another thread reads, and what is known holds meanwhile
        try:
            self._note(call_within(READ_SECONDS, newest, self._log, self._lane))
        except (PortError, UndecodableRecordError) as error:
            if self._is_stale():
                raise
            _log.warning(
                "what is declared in %s cannot be read anew, and holds for longer: %s", self._lane, error
            )
            self._read = Moment.of(self._clock)
        finally:
            if is_alone:
                self._lock.release()

    def _note(self, declared: Declared | None) -> None:
        self._known = declared
        self._read = self._known_since = Moment.of(self._clock)

    def _is_stale(self) -> bool:
        since, now = self._known_since, Moment.of(self._clock)
        return since is None or not since.is_within(self._stale_seconds_max, now)
