"""The publisher: packs events of a lane into records, appends several lanes at once, tells callers each outcome."""

from collections.abc import Iterable
from logging import getLogger
from math import inf
from types import TracebackType
from typing import Literal, Self, TypeAlias, Unpack
from warnings import warn

from eventfabric import limits
from eventfabric.errors import (
    EventFabricError,
    InvalidEventError,
    Problem,
    PublishFailedError,
    SettingError,
)
from eventfabric.model import Event, EventFields
from eventfabric.sdk.bundles import Bundles
from eventfabric.sdk.encoded import Encoded
from eventfabric.sdk.outgoing import Outgoing
from eventfabric.sdk.pending import PendingReceipt, PendingReceipts

_log = getLogger("eventfabric")
WhenFull: TypeAlias = Literal["wait", "raise"]


class Publisher:
    """Publisher to one stream of a Fabric; a context manager that flushes on exit. Safe to use from several threads,
    but not from a signal's handler that may interrupt a call of it in the same thread.

    On exit, failures that nobody has seen through `result()` are raised as one PublishFailedError.
    """

    def __init__(
        self,
        outgoing: Outgoing,
        *,
        linger_ms: float = limits.PUBLISHER_LINGER_MILLISECONDS,
        events_max: int = limits.RECORD_EVENTS_MAX,
        buffer_bytes_max: int = limits.PUBLISHER_BUFFER_BYTES_MAX,
        parallel_lanes: int = limits.PUBLISHER_PARALLEL_LANES,
        acks: int = 1,
        when_full: WhenFull = "wait",
    ) -> None:
        _check_settings(linger_ms, events_max, buffer_bytes_max, when_full)
        self.outgoing = outgoing
        self._bundles = Bundles(
            outgoing,
            linger_seconds=linger_ms / 1000,
            events_max=events_max,
            buffer_bytes_max=buffer_bytes_max,
            parallel_lanes=parallel_lanes,
            acks=outgoing.check_acks(acks),
            waits=when_full == "wait",
        )

    def publish(self, **event: Unpack[EventFields]) -> PendingReceipt:
        """Take an event. Return at once with its future receipt. Arguments as `Event`.

        Raises:
            InvalidEventError: it cannot be published.
            BufferFullError: there is no room, and the publisher must not wait for some.
        """
        return self.take(self.outgoing.encode(event))

    def publish_event(self, event: Event) -> PendingReceipt:
        """Take an Event, like `publish`."""
        return self.take(self.outgoing.encode_event(event))

    def publish_all(self, type: str, items: Iterable[tuple[str, object]]) -> PendingReceipts:
        """Take events of one type like `publish`, each a key and its data; the cheapest way to publish many.

        Raises as `publish`, with the index of the event, or what the iterator raises: events before it are taken, and
        none after it. An error of the fabric's says how many, as `events_taken`, and has `no_effect` only if none was;
        to go on there, keep the source of `items`. Meant for items that are at hand: up to 256 are drawn before the
        first of them is taken, so each needs a data object of its own.
        """
        receipts = PendingReceipts()
        try:
            for encoded in self.outgoing.encode_all(type, items):
                self._bundles.take(encoded, receipts)
        except EventFabricError as error:
            error.events_taken = len(receipts)
            error.no_effect = error.no_effect and not receipts
            raise
        return receipts

    def encoded(self, events: Iterable[Event]) -> list[Encoded]:
        """Encode events once all are checked. An error lists what is wrong with any; see Fabric.publish_many."""
        outgoing, stream = self.outgoing, self.outgoing.stream.name
        encoded: list[Encoded] = []
        problems: list[Problem] = []
        kinds = set[type[InvalidEventError]]()
        for index, event in enumerate(events):
            try:
                encoded.append(outgoing.encode_event(event))
            except InvalidEventError as error:
                problems += [problem.inside(f"events[{index}]") for problem in error.problems]
                kinds.add(type(error))
        if problems:
            kind = kinds.pop() if len(kinds) == 1 else InvalidEventError
            raise kind(problems, where=f"stream {stream}")
        return encoded

    def take(
        self, event: Encoded, *, waits: bool | None = None, waits_for_credit: bool | None = None
    ) -> PendingReceipt:
        """Take an encoded event, like `publish`. `waits`: wait for room; default: as `when_full` says.

        `waits_for_credit`: wait while the lane is held back, too; default: as for room.
        """
        receipts = PendingReceipts()
        self._bundles.take(event, receipts, waits=waits, waits_for_credit=waits_for_credit)
        return PendingReceipt(receipts.bundles[0], receipts.indices[0])

    def flush(self) -> None:
        """Append all that was taken, and wait for it, however long subscriptions hold lanes back."""
        self._bundles.flush()

    def close(self) -> None:
        """Take no more, flush, stop, and raise the failures that nobody has seen. Does nothing in a forked child.

        What subscriptions hold back for 30 s more fails with BackpressureError.
        """
        self._close(inf)

    def _close(self, within_seconds: float) -> None:
        failed, published = self._bundles.close(within_seconds)
        failures = [failure for bundle in failed for failure in bundle.unseen()]
        if failures:
            raise PublishFailedError(failures, published=published)

    @property
    def buffered_bytes(self) -> int:
        """Memory of events that are taken and not yet appended: their bytes, and what Python needs to hold each."""
        return self._bundles.buffered_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        try:
            # Whoever interrupts the program must not wait for an endpoint that may be gone.
            self._close(limits.EXIT_FLUSH_SECONDS if interrupted else inf)
        except PublishFailedError as failed:
            if error is None:
                raise
            # The note is seen where the error is: nowhere, if that ends the process, a generator or a task.
            error.add_note(str(failed))
            _log.error("%s", failed)

    def __del__(self) -> None:
        bundles = getattr(self, "_bundles", None)  # none if its settings were refused
        if bundles is not None and bundles.abandon():
            warn(
                f"a publisher of stream {self.outgoing.stream.name} was not closed",
                ResourceWarning,
                stacklevel=2,
            )


def _check_settings(linger_ms: float, events_max: int, buffer_bytes_max: int, when_full: str) -> None:
    """Raise SettingError for a setting that is out of its bounds."""
    if not 0 <= linger_ms <= limits.PUBLISHER_LINGER_MILLISECONDS_MAX:
        raise SettingError("linger_ms", linger_ms, f"0 to {limits.PUBLISHER_LINGER_MILLISECONDS_MAX:,}")
    if type(events_max) is not int or not 1 <= events_max <= limits.RECORD_EVENTS_MAX:
        raise SettingError("events_max", events_max, f"1 to {limits.RECORD_EVENTS_MAX:,}")
    if type(buffer_bytes_max) is not int or buffer_bytes_max < 1:
        raise SettingError("buffer_bytes_max", buffer_bytes_max, "1 or more")
    if when_full not in ("wait", "raise"):
        raise SettingError("when_full", when_full, '"wait" or "raise"')
