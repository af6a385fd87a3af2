"""The newest declaration of a Region as one process knows it: read once, and again after a minute, not by event."""

from dataclasses import dataclass, replace
from logging import getLogger
from math import inf
from threading import Lock
from typing import Final

from eventfabric.copies import when_forked
from eventfabric.deadline import Moment, call_within
from eventfabric.errors import FormatError, PortError, UndecodableRecordError
from eventfabric.model import DeclarationLane
from eventfabric.model.catalogue import Declared
from eventfabric.model.partly_read import unread_of
from eventfabric.ports import Clock, Log
from eventfabric.services.catalogue.lane import before_unreadable, newest

CATALOGUE_SECONDS: Final = 60.0
"""Time for which a process may go by what it has read of the catalogue."""
READ_SECONDS: Final = 3.0
"""Time after which reading anew is given up."""
PAUSE_SECONDS: Final = 1.0
"""Time between two reads while they fail, or while what they say seems to be out of date each time."""
STALE_SECONDS_MAX: Final = 180.0
"""Time for which a producer goes by what it knows, if it can never read anew: a Region that closes counts on that."""
FORGOTTEN_SECONDS: Final = int(STALE_SECONDS_MAX) + 60
"""Time after which no producer goes by what was declared before, however its clock differs."""
_log = getLogger("eventfabric")


@dataclass(frozen=True, slots=True)
class _Look:
    """Knowledge after the last read, which may have failed.

    `tried`: moment of that read. `since`: moment before the last one that did not fail; None: all have.
    """

    tried: Moment
    known: Declared | None = None
    since: Moment | None = None
    failure: PortError | UndecodableRecordError | FormatError | None = None
    is_forgotten: bool = False


class KnownDeclaration:
    """The newest declaration of one lane. Threads may share it: one of them reads anew, the others go on."""

    def __init__(
        self,
        log: Log,
        lane: DeclarationLane,
        clock: Clock,
        *,
        stale_seconds_max: float = inf,
        goes_back: bool = False,
    ) -> None:
        """`stale_seconds_max`: time after which what is known holds no more if it cannot be read anew.

        `goes_back`: if the newest declaration cannot be read, and nothing else is known, the one before it holds.
        """
        self._log, self._lane, self._clock = log, lane, clock
        self._goes_back = goes_back
        self._stale_seconds_max = stale_seconds_max
        self._look: _Look | None = None
        self._begin()
        when_forked(self._begin)

    def _begin(self) -> None:
        self._lock = Lock()

    def now(self) -> Declared | None:
        """Return the newest declaration, at most a minute old; None: there is none.

        What is known holds while none can be read anew, but no longer than `stale_seconds_max`. Then, and if none was
        ever read, this raises PortError or UndecodableRecordError, without a call for `PAUSE_SECONDS` after the last.
        FormatError: the stream requires a later version.
        """
        look = self._look
        if self._is_due(look):
            look = self._read(look)
        assert look is not None, "what was never read is due"
        if look.failure is not None and not self._holds(look):
            raise look.failure.with_traceback(None)
        return look.known

    @property
    def unreadable(self) -> UndecodableRecordError | None:
        """Why the newest declaration could not be read when it was read last; None: it could."""
        look = self._look
        failure = look and (look.failure or (look.known and look.known.unreadable))
        return failure if isinstance(failure, UndecodableRecordError) else None

    def forget(self) -> None:
        """Have a caller read anew soon, because what is known seems to be out of date."""
        if self._look is not None:
            self._look = replace(self._look, is_forgotten=True)

    def _is_due(self, look: _Look | None) -> bool:
        if look is None:
            return True
        now = Moment.of(self._clock)
        # What was just read holds for longer than until it is due.
        lasts = not look.is_forgotten and (look.failure is None or self._holds(look, now))
        return not look.tried.is_within(CATALOGUE_SECONDS if lasts else PAUSE_SECONDS, now)

    def _holds(self, look: _Look | None, now: Moment | None = None) -> bool:
        if look is None or look.since is None:
            return False
        # If the wall clock was set back, the steady one decides.
        return look.since.seconds_until(now or Moment.of(self._clock)) < self._stale_seconds_max

    def _read(self, before: _Look | None) -> _Look:
        """Read, unless another thread does and what is known holds meanwhile, or it has just read."""
        is_alone = False
        try:
            # Without knowledge that holds, threads wait for one, but not one after the other for a silent service.
            is_alone = self._lock.acquire(timeout=0 if self._holds(before) else READ_SECONDS)
            if before is not None and not is_alone and self._holds(before):
                return before
            meanwhile = self._look
            if meanwhile is not None and not self._is_due(meanwhile):
                return meanwhile
            self._look = look = self._looked(meanwhile)
            return look
        finally:
            if is_alone:
                self._lock.release()

    def _looked(self, before: _Look | None) -> _Look:
        began = Moment.of(self._clock)
        try:
            if before is None or before.since is None:
                known = self._first()
            else:
                known = call_within(READ_SECONDS, newest, self._log, self._lane)
        except FormatError as error:  # what is known holds no longer
            return _Look(began, failure=error)
        except (PortError, UndecodableRecordError) as error:
            ended = Moment.of(self._clock)  # the pause counts from here, however long the read took
            last = self._look or before or _Look(ended)  # another thread may have read what holds meanwhile
            failed = replace(last, tried=ended, failure=error, is_forgotten=False)
            if self._holds(failed):
                _log.error("what is declared in %s cannot be read anew: %s", self._lane, error)
            return failed
        for unread in unread_of(known.declaration.subscriptions).values() if known is not None else ():
            _log.error("%s", unread.error)
        return _Look(began, known, since=began)

    def _first(self) -> Declared | None:
        try:
            return newest(self._log, self._lane)
        except UndecodableRecordError as error:
            if not self._goes_back:
                raise
            before = before_unreadable(self._log, self._lane, error)
            _log.error("the declaration before holds: %s", error)
            return before
