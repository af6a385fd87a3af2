"""The fabric for asyncio: the same protocol, run in threads, so that none of it blocks the event loop.

    fabric = AsyncFabric(Fabric.connect("shop"))
    receipt = await fabric.publish("orders", key="customer-17", type="OrderPlaced", data={"order": "A-1"})

    async with fabric.publisher("orders", linger_ms=20) as publisher:
        pending = [await publisher.publish(key="customer-17", type="OrderPlaced") for _ in range(1_000)]
    print((await pending[0]).sequence)

A task that is cancelled stops waiting; what it had begun to publish may still be published.
"""

from asyncio import Future, Lock, get_running_loop, sleep
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar, Unpack

from eventfabric import limits
from eventfabric.errors import BackpressureError, BufferFullError, IndeterminateAppendError, NoThreadError
from eventfabric.model import Event, EventFields
from eventfabric.sdk.bundle import Receipt
from eventfabric.sdk.encoded import Encoded
from eventfabric.sdk.fabric import Fabric
from eventfabric.sdk.pending import PendingReceipt
from eventfabric.sdk.publisher import Publisher
from eventfabric.sdk.workers import Workers

_PAUSE_SECONDS: Final = 0.05
"""Least time after which an event is offered again to a lane that is held back."""
T = TypeVar("T")


class _Run(Protocol):
    async def __call__(self, call: Callable[[], T]) -> T: ...


class AsyncFabric:
    """A Fabric whose calls are awaited. `fabric`: the Fabric that does the work; it may be used directly as well."""

    def __init__(self, fabric: Fabric, *, calls_max: int = limits.ASYNC_CALLS_MAX) -> None:
        """`calls_max`: calls under way at the same time; more wait for their turn."""
        self.fabric = fabric
        self._threads = Workers(calls_max, "eventfabric-async", owner="this AsyncFabric")

    async def publish(
        self,
        stream: str,
        *,
        once: bool = False,
        acks: int = 1,
        **event: Unpack[EventFields],
    ) -> Receipt:
        """Call Fabric.publish. Await each call before the next of its key, or their order is left to chance."""
        return await self._run(partial(self.fabric.publish, stream, once=once, acks=acks, **event))

    async def publish_many(self, stream: str, events: Iterable[Event], *, acks: int = 1) -> list[Receipt]:
        """Publish events as Fabric.publish_many does."""
        async with self.publisher(stream, linger_ms=60_000, acks=acks) as publisher:
            pending = await publisher.take_all(list(events))
        return [await receipt for receipt in pending]

    async def publish_again(self, error: IndeterminateAppendError) -> list[Receipt]:
        """Call Fabric.publish_again."""
        return await self._run(partial(self.fabric.publish_again, error))

    def publisher(
        self,
        stream: str,
        *,
        linger_ms: float = limits.PUBLISHER_LINGER_MILLISECONDS,
        events_max: int = limits.RECORD_EVENTS_MAX,
        buffer_bytes_max: int = limits.PUBLISHER_BUFFER_BYTES_MAX,
        acks: int = 1,
    ) -> "AsyncPublisher":
        """Make a publisher like Fabric.publisher: an asynchronous context manager. While full, `publish` is awaited."""
        self._threads.check()
        make = partial(
            self.fabric.publisher,
            stream,
            linger_ms=linger_ms,
            events_max=events_max,
            buffer_bytes_max=buffer_bytes_max,
            acks=acks,
            when_full="raise",
        )
        return AsyncPublisher(make, self._run)

    async def flush(self, timeout_seconds: float = limits.EXPRESS_FLUSH_SECONDS) -> bool:
        """Call Fabric.flush."""
        return await self._run(partial(self.fabric.flush, timeout_seconds))

    def close(self) -> None:
        """Take no more calls, and wait for those that are under way."""
        self._threads.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        seconds = limits.EXIT_FLUSH_SECONDS if interrupted else None
        await _apart(partial(self._threads.close, seconds))

    async def _run(self, call: Callable[[], T]) -> T:
        # In the caller's context, so that its trace goes on.
        return await get_running_loop().run_in_executor(self._threads, copy_context().run, call)


async def _apart(call: Callable[[], T]) -> T:
    """Call it in a thread of its own: what closes a pool must not wait for a thread of it, nor what takes long."""
    closer = Workers(1, "eventfabric-close", owner="this AsyncFabric")
    try:
        called = get_running_loop().run_in_executor(closer, copy_context().run, call)
    except NoThreadError:
        return call()  # no other way is left, though the loop waits meanwhile
    return await called


class AsyncReceipt:
    """Future receipt of one event: `await` it. Raises the error that kept the event from being published."""

    def __init__(self, pending: PendingReceipt) -> None:
        self._pending = pending

    @property
    def event_id(self) -> str:
        """Id of the event."""
        return self._pending.event_id

    def done(self) -> bool:
        """Tell if the outcome of the event is known."""
        return self._pending.done()

    def __await__(self) -> Generator[object, None, Receipt]:
        self._pending.hasten()
        if not self._pending.done():
            loop = get_running_loop()
            known: Future[None] = loop.create_future()

            def know() -> None:
                if not known.done():  # else nobody waits any more
                    known.set_result(None)

            def tell() -> None:
                with suppress(RuntimeError):  # the loop was closed, and nobody waits any more
                    loop.call_soon_threadsafe(know)

            self._pending.when_done(tell)
            yield from known
        return self._pending.result()


class AsyncPublisher:
    """Publisher for asyncio: an asynchronous context manager that flushes on exit."""

    def __init__(self, make: Callable[[], Publisher], run: _Run) -> None:
        """`make`: makes the publisher when it is first needed, since that may read what is declared of the stream."""
        self._make = make
        self._run = run
        self._made: Publisher | None = None
        self._making = Lock()

    async def publish(self, **event: Unpack[EventFields]) -> AsyncReceipt:
        """Take an event as soon as there is room, and its lane is not held back. The receipt is to be awaited.

        Arguments as `Event`. InvalidEventError.
        """
        publisher = self._made or await self._publisher()
        return await self._take(publisher, publisher.outgoing.encode(event))

    async def publish_event(self, event: Event) -> AsyncReceipt:
        """Take an Event, like `publish`."""
        publisher = self._made or await self._publisher()
        return await self._take(publisher, publisher.outgoing.encode_event(event))

    async def take_all(self, events: Sequence[Event]) -> list[AsyncReceipt]:
        """Take Events once all are checked; see Fabric.publish_many."""
        publisher = self._made or await self._publisher()
        encoded = await self._run(partial(publisher.encoded, events))
        receipts: list[AsyncReceipt] = []

        def take_rest() -> None:
            for event in encoded[len(receipts) :]:
                receipts.append(AsyncReceipt(publisher.take(event, waits=True, waits_for_credit=False)))

        while len(receipts) < len(encoded):
            try:
                await self._run(take_rest)
            except BackpressureError as error:
                await _pause(error)
        return receipts

    async def flush(self) -> None:
        """Append all that was taken, and wait for it."""
        made = self._made
        if made is None:
            await self._run(_nothing)
        else:
            await _apart(made.flush)  # lanes may be held back for long

    async def close(self) -> None:
        """Close like Publisher.close: raise the failures that nobody has seen, as one PublishFailedError."""
        await _apart((await self._publisher()).close)

    async def __aenter__(self) -> Self:
        await self._publisher()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._made is not None, "entered"
        await _apart(partial(self._made.__exit__, kind, error, trace))

    async def _publisher(self) -> Publisher:
        async with self._making:
            if self._made is None:
                self._made = await self._run(self._make)
            return self._made

    async def _take(self, publisher: Publisher, event: Encoded) -> AsyncReceipt:
        is_full = False
        while True:
            try:
                if not is_full:
                    return AsyncReceipt(publisher.take(event, waits=False))
                take = partial(publisher.take, event, waits=True, waits_for_credit=False)
                return AsyncReceipt(await self._run(take))
            except BackpressureError as error:
                await _pause(error)
                is_full = False
            except BufferFullError:
                is_full = True


async def _pause(error: BackpressureError) -> None:
    """Wait until a lane may take more. Not in a thread: it may be held back for long, and others need the threads."""
    await sleep(max(error.retry_after, _PAUSE_SECONDS))


def _nothing() -> None:
    """Do nothing: of a publisher that was never made, nothing was taken."""
