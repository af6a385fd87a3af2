"""All errors that users meet. An error says what, where and what is allowed; it decides nothing.

    EventFabricError
    ├── DefinitionError              the definition is wrong; lists all problems
    ├── InvalidSchemaError           a schema of events' data may not be registered as it is; lists all problems
    ├── SchemaRefusedError           a schema would break readers or writers of earlier versions; nothing was registered
    ├── InvalidEventError            an event cannot be published as it is
    │   ├── EndedTypeError           the event's type has ended, as was announced
    │   ├── EventTooLargeError       the event is larger than a record may be
    │   └── MalformedCloudEventError one line of a file is not a CloudEvent
    ├── RecordBoundsError            events do not fit into one record together
    ├── OnceConflictError            an event of that source and id was published before, with other content
    ├── NoTransactionsError          a transaction was asked of a stream whose table has none; nothing was written
    ├── UnknownNameError             no stream, subscription or lane has that name
    │   └── UnknownStreamError       the fabric has no such stream in a Region, or there is no such fabric
    ├── WrongRegionError             the stream does not exist in that Region
    │   └── ClosingRegionError       nothing is published in that Region any more
    ├── StreamChangedError           a stream was deployed with other lanes while a publisher was open
    ├── NotDeclaredError             nothing is declared of a stream, so nobody knows its lanes
    ├── DeclarationRefusedError      a deployment would lose something; lists all problems; nothing was changed
    ├── OlderCatalogueError          a table lacks what was declared there before: it was restored from a backup
    ├── FormatsRefusedError          formats cannot be raised; lists all problems; nothing was changed
    ├── FormatError                  another version of this library is needed to read or write a stream
    ├── AppendError
    │   ├── ContendedAppendError     certainly not written in time; `__cause__` has the service's last answer, if any
    │   ├── SealedLaneError          the lane has ended, and its children go on; certainly not written
    │   └── IndeterminateAppendError may or may not be written; publish_again() settles it
    │       └── UnconfirmedAppendError is written in one Region, where two were requested
    ├── TransactionRefusedError      DynamoDB refused a write of a producer's transaction; nothing was written
    │   └── TransactionTooLargeError the transaction exceeds DynamoDB's limits; nothing was sent
    ├── ContendedTransactionError    certainly not written in time; `__cause__` has the service's last answer, if any
    ├── IndeterminateTransactionError may or may not be written; calling commit() again settles it
    ├── OutcomeExpiredError          may have been written, but has expired by now if so: nobody can tell any more
    ├── CopiedProcessError           an object that owns threads was made before this process was forked
    ├── NoThreadError                a thread is needed, but the process can start none
    ├── PublishFailedError           some events of a publisher were not published
    ├── PublishNotAttemptedError     held back because an earlier batch of the lane failed
    ├── BufferFullError              the buffer of a publisher that must not wait is full
    │   └── BackpressureError        subscriptions hold the producers of a lane back; nothing was published
    ├── PortError                    a call to a service failed
    │   ├── OutcomeUnknownError      the call may have taken effect
    │   │   ├── ProbeUnrungError     no timer could be set for a lane's next probe
    │   │   └── UnreadCatalogueError it could not be read how a stream is deployed; nothing was published
    │   └── RefusedError             the call certainly took no effect
    │       ├── ThrottledError       the service is busy; the same call may succeed later
    │       ├── LastingError         fails until somebody fixes what is denied, missing or disabled
    │       └── StateRefusedError    what the fabric itself writes in a commit is refused; no handler is to blame
    ├── LogError                     the log cannot be read any further: the lane stops
    │   ├── UndecodableRecordError   this version cannot decode the record
    │   ├── DivergenceError          the record does not extend the chain before it
    │   ├── UncertainTailError       the end of the lane is in doubt; certainly not written
    │   ├── ExpiredUnreadError       records expired before they were delivered
    │   └── MissingRecordError       a backfill or a proof needs a record that is not there
    ├── UndecodableItemError         the ledger cannot be read there: what the item belongs to stops
    ├── UndecodableMessageError      a message is not one of the fabric's; only this message fails
    ├── NotDeadError                 the event to redrive or discard is not a dead letter
    ├── NotTakenOverError            a lane was handed over to this Region, but its state has not arrived yet
    ├── UnsettledStepError           a step of a dead letter is in doubt: settle it before the redrive
    ├── ContendedCommitError         a lane was too busy for an operator's change; nothing is changed
    ├── ReplayRefusedError           a replay cannot be done as requested; nothing is changed
    ├── QuarantineRefusedError       an item must not be set aside from its lane; nothing is changed
    ├── SkipRefusedError             a lane must not go on past what is missing; nothing is changed
    ├── SplitRefusedError            a lane must not be split, or was split before; nothing is changed
    ├── RestoreRefusedError          a record must not be put back, or is not proven to belong there; nothing is changed
    ├── SettingError                 an argument that configures something is out of its bounds
    ├── MissingExtraError            a package that an extra of this library brings is not installed
    ├── DrainError                   a subscription is not retired, because waiting longer would not drain it
    ├── FailoverError                lanes cannot be handed over as requested
    ├── ChangedDeliverError          a lane stops: `deliver` became "everywhere" where one Region delivers for all
    ├── BackfillError                a backfill cannot be done as requested; lists all problems
    ├── AdoptionRefusedError         retained tables or keys do not fit the stacks that declare them; lists all problems
    ├── LateEventError               a later event of its key was handed out before (`on_late` is "dead_letter")
    ├── ParkedFullError              a lane halts: it has parked as much as it may
    ├── HandlerExitedError           a handler raised SystemExit or the like
    ├── UndecodablePayloadError      a payload does not have the type that the handler asks for
    │   ├── UnfitPayloadError        a payload does not fit the schema with which the function was built
    │   └── UpcastError              an event cannot be brought to the version that the handler knows
    ├── UnknownVersionError          an event names a schema that is not registered, or not in this Region yet
    ├── HandlersFailError            handlers cannot be simulated: they fail even without faults
    ├── NotUnknownError              the outcome of a step is known: there is nothing to settle
    └── HandlerError                 a subscription's handler cannot be used as it is
        ├── UnknownStepError         an outside effect may or may not have happened: a person must find out
        ├── UnlistedStreamError      the handler publishes to a stream that is not in its subscription's `publishes`
        ├── TooManyLanesError        an event publishes into more lanes than one commit can meet the ends of
        └── TooManyHopsError         handlers have published in turn what others of them handled, too often

Every error answers two questions: `retryable` (is it sensible to try the same again?) and `no_effect` (is it certain
that nothing happened?).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from eventfabric import portable
from eventfabric.version import VERSION


class EventFabricError(portable.PortableError):
    """Base of all errors. `retryable` and `no_effect` hold for every instance of a class, with one exception.

    Events given to `publish_all` are taken as far as the one that it raises an error for. `events_taken` is their
    number; if there are any, `no_effect` is False.
    """

    retryable: ClassVar[bool] = False
    no_effect: bool = True
    events_taken: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: its path, what was found there, and what is allowed."""

    path: str
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.path}: found {self.found}, allowed: {self.allowed}"

    def inside(self, where: str) -> "Problem":
        """Return this problem as one of a part of something larger, such as one event of several."""
        return Problem(f"{where}.{self.path}" if self.path else where, self.found, self.allowed)


class _ProblemsError(EventFabricError):
    def __init__(self, problems: Sequence[Problem], *, where: str = "") -> None:
        self.problems = tuple(problems)
        self.where = where
        lines = [str(problem) for problem in self.problems]
        if where:
            lines = [f"{where}: {lines[0]}"] if len(lines) == 1 else [f"{where}:", *lines]
        super().__init__("\n".join(lines))


class DefinitionError(_ProblemsError):
    """The definition of the fabric is wrong. Lists every problem."""


class InvalidSchemaError(_ProblemsError):
    """A schema of events' data may not be registered as it is. Lists every problem, by pointer into the schema."""


class SchemaRefusedError(_ProblemsError):
    """A schema would break readers or writers of earlier versions. Lists every problem; nothing was registered."""


class InvalidEventError(_ProblemsError):
    """An event cannot be published as it is. Lists every problem of the event."""


class EndedTypeError(InvalidEventError):
    """The event is of a type that has ended, as was announced. The problem names the type to publish instead."""


class EventTooLargeError(InvalidEventError):
    """One event is larger than a record may be."""


class MalformedCloudEventError(InvalidEventError):
    """A line of a file is not a CloudEvent. `where` is `file:line`. The message is one searchable line."""

    def __str__(self) -> str:
        return f"{self.where}: {'; '.join(str(problem) for problem in self.problems)}"


class RecordBoundsError(EventFabricError):
    """Events do not fit into one record together: there are more events, types or bytes than a reader accepts."""

    def __init__(self, found: str, allowed: str) -> None:
        self.found, self.allowed = found, allowed
        super().__init__(f"record: found {found}, allowed: {allowed}")


class OnceConflictError(EventFabricError):
    """An event of that source and id was published before, with other content. Nothing was written.

    `differs`: which of key, type and data differ from then. `lane` and `sequence`: the place of the earlier event.
    """

    def __init__(
        self, event_id: str, source: str, differs: Sequence[str], *, lane: object, sequence: int
    ) -> None:
        self.event_id, self.source, self.differs = event_id, source, tuple(differs)
        self.lane, self.sequence = lane, sequence
        super().__init__(
            f"event {event_id!r:.140} of source {source!r:.200} was published once already, at {lane}@{sequence}: "
            f"found another {' and '.join(self.differs)}, allowed: the same key, type and data, or another id"
        )


class NoTransactionsError(EventFabricError):
    """A transaction was asked of a stream whose durability is "quorum". Nothing was written.

    `asked`: what would have been a transaction.
    """

    def __init__(self, stream: str, asked: str) -> None:
        self.stream, self.asked = stream, asked
        super().__init__(
            f"stream {stream}: found {asked}, allowed: publishing without it, since strongly consistent global tables "
            'have no transactions; or a stream whose durability is not "quorum"'
        )


class UnknownNameError(EventFabricError):
    """No stream, subscription or lane has that name."""

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(f"no {kind} is named {name!r}; there are: {', '.join(known) or 'none'}")


class UnknownStreamError(UnknownNameError):
    """A fabric has no such stream in a Region, or there is no such fabric."""

    def __init__(self, fabric: str, stream: str, region: str) -> None:
        super().__init__("stream", stream, ())
        self.args = (
            f"no stream is named {stream!r:.80}: Region {region} has no table {fabric}-{stream:.80} that this account "
            "can see; check the fabric's name, its stage and the Region",
        )


class WrongRegionError(EventFabricError):
    """The stream does not exist in that Region."""

    def __init__(self, subject: str, region: str | None, allowed: Sequence[str]) -> None:
        self.subject, self.region, self.allowed = subject, region, tuple(allowed)
        super().__init__(
            f"{subject} is not in Region {region or '(none given)'}; it is in: {', '.join(allowed)}"
        )


class ClosingRegionError(WrongRegionError):
    """Nothing is published in that Region any more, because it will be taken out."""

    def __init__(self, subject: str, region: str, allowed: Sequence[str]) -> None:
        super().__init__(subject, region, allowed)
        self.args = (
            f"{subject} is closing in Region {region}; events are published in: {', '.join(allowed)}",
        )


class StreamChangedError(EventFabricError):
    """A stream was deployed with another number of lanes since a publisher, or a transaction, was made."""

    def __init__(self, stream: str, before: int, lanes: int) -> None:
        super().__init__(
            f"stream {stream} has {lanes} lanes, and {before} when this publisher or transaction was made: "
            "make another one"
        )


class NotDeclaredError(EventFabricError):
    """Nothing is declared of a stream in a Region, so nobody knows its lanes: it was never deployed there."""

    def __init__(self, stream: str, region: str) -> None:
        self.stream, self.region = stream, region
        super().__init__(
            f"stream {stream} is not declared in {region}: deploy it there first, with this version or a later one"
        )


class DeclarationRefusedError(_ProblemsError):
    """A deployment would lose something. Lists every problem; nothing was changed."""


class FormatsRefusedError(_ProblemsError):
    """The formats that a stream requires cannot be raised. Lists every problem; nothing was changed."""


class OlderCatalogueError(EventFabricError):
    """A table lacks what was declared there when this function was deployed: it was restored from a backup."""

    def __init__(self, lane: object, found: object, deployed: object) -> None:
        self.lane = lane
        super().__init__(
            f"lane {lane} was at {deployed} when this function was deployed, and is at {found} now: the table was "
            "restored from a backup; before you deploy again, see if another Region has what is missing "
            "(eventfabric prove)"
        )


class FormatError(EventFabricError):
    """A stream is read or written in a format that this version does not know."""

    def __init__(self, stream: str, verb: str, required: int, known: int, raised_with: str = "") -> None:
        """`verb`: `read` or `written`. `raised_with`: the version with which that format was raised; empty: unknown."""
        self.stream, self.required, self.known = stream, required, known
        super().__init__(
            f"stream {stream} is {verb} in format {required}, and this version, {VERSION}, knows formats up to "
            f"{known}: install {version_needed(raised_with)}"
        )


def version_needed(raised_with: str) -> str:
    """Name the version that knows a stream's formats, by the one with which they were raised; empty: unknown."""
    return f"eventfabric-aws {raised_with} or later" if raised_with else "a later version of eventfabric-aws"


class UnsettledRecord(Protocol):
    """The fields of a record that an error reports. A protocol, since errors do not import the model."""

    @property
    def lane(self) -> object: ...
    @property
    def sequence(self) -> int: ...
    @property
    def batch_id(self) -> bytes: ...


class AppendError(EventFabricError):
    """A batch could not be appended to a lane."""

    def __init__(self, message: str, *, lane: object, batch: object) -> None:
        self.lane, self.batch = lane, batch
        super().__init__(message)


class ContendedAppendError(AppendError):
    """The time is up and nothing is written.

    The message names the last obstacle: throttling or a service that gave no answer, which is then also `__cause__`,
    or other publishers that wrote there first.
    """

    retryable = True


class SealedLaneError(AppendError):
    """The lane was split, so nothing is written to it any more. Events go to one of its `children`, by their keys."""

    retryable = True

    def __init__(self, stream: str, lane: object, children: tuple[object, ...], batch: object) -> None:
        self.stream, self.children = stream, children
        self.doubt: IndeterminateAppendError | None = None
        """Doubt about the batch, which may be written in another Region."""
        allowed = " and ".join(map(str, children))
        super().__init__(
            f"lane {lane} of stream {stream}: found its end, as it was split, allowed: lanes {allowed}",
            lane=lane,
            batch=batch,
        )


class IndeterminateAppendError(AppendError):
    """The batch may or may not be in the log. `fabric.publish_again(error)` settles it without a duplicate.

    `batch_id` (16 bytes) is attribute `b` of the record if it was written. `record` is the record that was put.
    `acks` is the number of Regions that were to have it.
    """

    retryable = True
    no_effect = False
    _says = "may or may not be"

    def __init__(
        self,
        stream: str,
        record: "UnsettledRecord",
        batch: object,
        *,
        cause: BaseException | None = None,
        acks: int = 1,
    ) -> None:
        self.stream, self.record, self.acks = stream, record, acks
        self.batch_id, self.sequence = record.batch_id, record.sequence
        super().__init__(
            f"batch {record.batch_id.hex()} {self._says} at sequence {record.sequence} of lane {record.lane} of "
            f"stream {stream}: {cause or 'no reply'}; publish_again(error) settles it without a duplicate",
            lane=record.lane,
            batch=batch,
        )


class UnconfirmedAppendError(IndeterminateAppendError):
    """The batch is in the log, but no second Region has confirmed that it has it, as acks=2 requires."""

    _says = "is unconfirmed by a second Region, and is"


class PublishNotAttemptedError(EventFabricError):
    """A batch was held back to keep the order of its lane, as an earlier one failed; `__cause__` is that failure."""

    retryable = True


class BufferFullError(EventFabricError):
    """The buffer of a publisher that must not wait is full. The event is not taken; publish it again later."""

    retryable = True

    def __init__(self, size_bytes: int, buffer_bytes_max: int) -> None:
        self.size_bytes, self.buffer_bytes_max = size_bytes, buffer_bytes_max
        super().__init__(
            f"buffer_bytes_max: found {size_bytes:,} bytes more than there is room for, allowed: {buffer_bytes_max:,} "
            "that are not appended yet"
        )


class BackpressureError(BufferFullError):
    """Subscriptions (`gates`) let nobody append to a lane from the sequence `grant` on until they have delivered more.

    Nothing was published. Publish it again after `retry_after` seconds, when it will be known if more is granted.
    """

    def __init__(
        self, stream: str, lane: object, gates: Sequence[str], grant: int | None, retry_after: float
    ) -> None:
        super().__init__(0, 0)
        self.stream, self.lane, self.gates, self.grant = stream, lane, tuple(gates), grant
        self.retry_after = retry_after
        self.args = (
            f"lane {lane} of stream {stream}: found no credit beyond {grant}, allowed: what {', '.join(gates)} grants; "
            f"try again in {retry_after:.1f} s",
        )


class CopiedProcessError(EventFabricError):
    """A publisher or AsyncFabric was made before this process was forked, so its threads are not here. Make another."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what} was made before this process was forked: make one in this process")


class NoThreadError(EventFabricError):
    """A thread is needed, but the process can start none: it has too many, or is about to end."""

    retryable = True

    def __init__(self, owner: str) -> None:
        self.owner = owner
        super().__init__(
            f"{owner} can start no thread: the process has as many as it may, or comes to its end"
        )


class PublishFailedError(EventFabricError):
    """Events given to a publisher were not published and nobody asked for their receipts. `failures` has the causes."""

    no_effect = False

    def __init__(self, failures: Sequence[tuple[str, BaseException]], *, published: int) -> None:
        self.failures, self.published = tuple(failures), published
        count = "1 event was" if len(failures) == 1 else f"{len(failures)} events were"
        first = ""
        if failures:
            event_id, error = failures[0]
            first = f"; event {event_id}: {str(error) or type(error).__name__}"  # an interruption has no text
        super().__init__(f"{count} not published ({published} were){first}")


class PortError(EventFabricError):
    """A call to a service failed. `operation` names the call."""

    retryable = True

    def __init__(self, operation: str, reason: str) -> None:
        self.operation, self.reason = operation, reason
        super().__init__(f"{operation}: {reason}")


class OutcomeUnknownError(PortError):
    """The service gave no reply, or a server error. The call may have taken effect."""

    no_effect = False


class UnreadCatalogueError(OutcomeUnknownError):
    """A producer cannot read what is declared of a stream, as the service gives no reply. Nothing was published."""

    no_effect = True  # unlike a write without a reply

    def __init__(self, stream: str, reason: str) -> None:
        self.stream = stream
        super().__init__(f"read what is declared of stream {stream}", f"{reason}; nothing was published")


class ProbeUnrungError(OutcomeUnknownError):
    """No timer could be set for the next probe of an open circuit, for which a lane waits."""


class RefusedError(PortError):
    """The service refused the call, which certainly took no effect."""

    retryable = False


class ThrottledError(RefusedError):
    """The service asks the caller to wait: it is throttled, or another call is in the way."""

    retryable = True


class LastingError(RefusedError):
    """No retry helps until somebody acts. `cause` says why: `denied`, `missing`, `key_unusable` or `quota`."""

    def __init__(self, operation: str, reason: str, cause: str) -> None:
        self.cause = cause
        super().__init__(operation, reason)

    @property
    def is_of_rights(self) -> bool:
        """Tell if a right is missing. One that is new may not be known everywhere yet."""
        return self.cause in ("denied", "key_unusable")

    @property
    def is_missing(self) -> bool:
        """Tell if what was asked for is not there. DynamoDB says so of a table that is not active, too."""
        return self.cause == "missing"


class StateRefusedError(RefusedError):
    """The service refused what the fabric itself writes in a commit: a lane's state, or records. No write of a handler
    is to blame.
    """


class LogError(EventFabricError):
    """The log cannot be read any further at this place. The lane stops there, and nothing is skipped."""

    def __init__(self, lane: object, sequence: int, reason: str) -> None:
        self.lane, self.sequence, self.reason = lane, sequence, reason
        super().__init__(f"record {sequence} of lane {lane}: {reason}")


class UndecodableRecordError(LogError):
    """This version cannot decode the record."""


class UndecodableItemError(EventFabricError):
    """A field of a ledger item does not have a form that any version writes. `item` is the item's key."""

    def __init__(self, item: str, field: str, reason: str) -> None:
        self.item, self.field, self.reason = item, field, reason
        super().__init__(f"item {item}: field {field}: {reason}")


class UndecodableMessageError(EventFabricError):
    """A message of a queue is not a doorbell, or not one that its reader can serve."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not a doorbell: {reason}")


class DivergenceError(LogError):
    """The record does not extend the chain that was verified before it."""


class QuarantineRefusedError(EventFabricError):
    """An item must not be set aside: it belongs to the lane, is not there, or needs another remedy."""

    def __init__(self, lane: object, sequence: int, reason: str) -> None:
        self.lane, self.sequence, self.reason = lane, sequence, reason
        super().__init__(f"{lane}@{sequence} stays: {reason}")


class RestoreRefusedError(EventFabricError):
    """A record is not put back: it is there, the copy lacks it, or the chain does not prove that it belongs there."""

    def __init__(self, lane: object, sequence: int, reason: str) -> None:
        self.lane, self.sequence, self.reason = lane, sequence, reason
        super().__init__(f"{lane}@{sequence} is not restored: {reason}")


class SkipRefusedError(EventFabricError):
    """A lane does not go on past a place: nothing is missing there, it is not lost, or it needs another remedy."""

    def __init__(self, lane: object, sequence: int, reason: str) -> None:
        self.lane, self.sequence, self.reason = lane, sequence, reason
        super().__init__(f"{lane}@{sequence} is not skipped: {reason}")


class SplitRefusedError(EventFabricError):
    """A lane is not split: it was before, or it cannot be, or whoever reads the stream might not know seals."""

    def __init__(self, lane: object, reason: str) -> None:
        self.lane, self.reason = lane, reason
        super().__init__(f"lane {lane} is not split: {reason}")


class UncertainTailError(LogError):
    """The place at which the lane goes on is in doubt, so nothing was written. An operator has to look at it."""


class ExpiredUnreadError(LogError):
    """Records of the lane expired before they were delivered, and the subscription halts there (`on_expired`)."""


class MissingRecordError(LogError):
    """The log lacks a record that a backfill was to copy, or that a cursor has passed."""


class HandlerError(EventFabricError):
    """A subscription's handler is missing, or did something that it must not do."""


class UnknownStepError(HandlerError):
    """The process died in the middle of a step. Only a person can find out if its effect happened."""

    no_effect = False

    def __init__(self, message: str, step: str = "") -> None:
        self.step = step
        super().__init__(message, step) if step else super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])


class UnlistedStreamError(HandlerError):
    """A handler publishes to a stream that is not in its subscription's `publishes`. Nothing is published."""

    def __init__(self, subscription: str, stream: str, allowed: Sequence[str]) -> None:
        self.subscription, self.stream, self.allowed = subscription, stream, tuple(allowed)
        super().__init__(
            f"subscription {subscription} publishes to stream {stream!r:.80}, allowed: "
            f"{', '.join(allowed) or 'none'}; list it in `publishes` of the definition"
        )


class TooManyHopsError(HandlerError):
    """An event came from a handler that published for an event, which came from another, and so on. Nothing is
    published. Most likely subscriptions publish in a circle.
    """

    def __init__(self, subscription: str, hops: int) -> None:
        self.subscription, self.hops = subscription, hops
        super().__init__(
            f"subscription {subscription} publishes at hop {hops} from the first event, allowed: fewer; look for a "
            "circle of subscriptions"
        )


class TooManyLanesError(HandlerError):
    """An event publishes into more lanes than one commit can meet the ends of while others write there. Nothing is
    published.
    """

    def __init__(self, subscription: str, lanes: int, allowed: int) -> None:
        self.subscription, self.lanes, self.allowed = subscription, lanes, allowed
        super().__init__(
            f"subscription {subscription} publishes into {lanes} lanes for one event, allowed: at most {allowed} under "
            "exactly_once; publish under fewer keys, or one event from which another handler publishes, or use "
            "at_least_once with once=True"
        )


class UnsettledStepError(EventFabricError):
    """An event is not redriven because a step of it is in doubt: it would die again. Nothing is changed."""


class NotUnknownError(EventFabricError):
    """The outcome of a step is known, or it never began. There is nothing to settle, and nothing is changed."""


class BackfillError(_ProblemsError):
    """A backfill cannot be done as requested. Lists every problem, with the facts that decided it."""


class AdoptionRefusedError(_ProblemsError):
    """Retained tables or keys do not fit the stacks that declare them, or a stack is in the way. Lists all problems."""


class DrainError(EventFabricError):
    """A subscription is not retired, because waiting longer would not drain it. It stays declared as draining."""

    def __init__(self, subscription: str, reason: str) -> None:
        self.subscription, self.reason = subscription, reason
        super().__init__(f"{subscription} is draining, and not retired: {reason}, and retire it again")


class FailoverError(EventFabricError):
    """Lanes cannot be handed over as requested. Says which facts decided it."""


class ChangedDeliverError(EventFabricError):
    """A lane stops: the definition now has every Region deliver it, while one Region delivers it for all of them."""


class ParkedFullError(EventFabricError):
    """A lane has parked as much as it may. It goes on when some of that is redriven or discarded."""


class UndecodablePayloadError(EventFabricError):
    """The payload of an event does not have the type that the handler asks for. No further attempt can help."""


class UnfitPayloadError(UndecodablePayloadError):
    """A payload does not fit the schema with which the function was built. `problems`: where, and by which rules."""

    def __init__(self, event_id: str | None, problems: Sequence[Problem]) -> None:
        self.event_id, self.problems = event_id, tuple(problems)
        super().__init__(f"event {event_id}: {'; '.join(map(str, self.problems))}")


class UpcastError(UndecodablePayloadError):
    """An event cannot be brought to the version that the handler knows. No further attempt can help."""

    def __init__(self, event_id: str | None, reason: str) -> None:
        self.event_id, self.reason = event_id, reason
        super().__init__(f"event {event_id}: {reason}")


class UnknownVersionError(EventFabricError):
    """An event names a schema that nobody has registered, or that has not come to this Region yet."""

    retryable = True

    def __init__(self, event_id: str | None, event_type: str, digest: str) -> None:
        self.event_id, self.event_type, self.digest = event_id, event_type, digest
        super().__init__(
            f"event {event_id}: found schema {digest} of {event_type!r:.140}, allowed: one that is registered here "
            "(eventfabric schemas push)"
        )


class SettingError(EventFabricError):
    """An argument that configures something is out of its bounds."""

    def __init__(self, name: str, found: object, allowed: str) -> None:
        super().__init__(f"{name}: found {found!r:.80}, allowed: {allowed}")


class MissingExtraError(EventFabricError, ImportError):
    """A package that an extra of this library brings is not installed."""

    def __init__(self, user: str, package: str, *, extra: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(
            f"{user} needs {package}, which is not installed: pip install 'eventfabric-aws[{extra}]'"
        )


class HandlersFailError(EventFabricError):
    """Handlers that are to be simulated, or the code that makes their tables, fail without any other fault."""


class NotDeadError(EventFabricError):
    """The event to redrive or discard is not a dead letter, or not any more. Nothing is changed."""


class NotTakenOverError(EventFabricError):
    """A lane was handed over to this Region, which cannot take it over yet. Nothing is changed."""

    retryable = True


class ReplayRefusedError(EventFabricError):
    """A replay cannot be done as requested. Says which facts decided it; nothing is changed."""


class ContendedCommitError(EventFabricError):
    """Deliveries of the lane were always faster than the change. Nothing is changed."""

    retryable = True


class TransactionRefusedError(EventFabricError):
    """DynamoDB refused a write of a producer's transaction. Nothing was written.

    `index`: the refused write, in the order in which they were made (-1: the transaction as a whole). `code`: such as
    ConditionalCheckFailed. `item`: the item that is there, if the write asked for it.
    """

    def __init__(
        self, index: int, code: str, message: str, item: "dict[str, dict[str, object]] | None"
    ) -> None:
        self.index, self.code, self.item = index, code, item
        which = f"write {index}" if index >= 0 else "the transaction"
        super().__init__(f"{which} was refused: {code}: {message}")


class TransactionTooLargeError(TransactionRefusedError):
    """A transaction asks for more than DynamoDB accepts. Found out before anything was sent."""


class ContendedTransactionError(EventFabricError):
    """The time is up and nothing is written.

    The message names the last obstacle: throttling or a service that gave no answer, which is then also `__cause__`,
    or other publishers that wrote there first.
    """

    retryable = True


class IndeterminateTransactionError(EventFabricError):
    """A producer's transaction may or may not be written. Calling `commit()` again settles it; it is written once."""

    retryable = True
    no_effect = False


class OutcomeExpiredError(EventFabricError):
    """A write of unknown outcome may have been made, and have expired since. Nobody can tell; nothing is written now.

    Only someone who knows if a second delivery does harm can decide to publish its events again.
    """

    no_effect = False

    def __init__(self, record: "UnsettledRecord | None") -> None:
        """`record` is None for a transaction without an event, which only DynamoDB could recognise, for ten minutes."""
        self.record = record
        if record is None:
            super().__init__(
                "the transaction had no reply, and without an event in it nothing tells any more whether it was "
                "written; allowed: to commit it again within 9 minutes"
            )
            return
        super().__init__(
            f"batch {record.batch_id.hex()} was put at sequence {record.sequence} of lane {record.lane}, and what "
            "stood there has expired, or is about to: whether it was written cannot be told any more; allowed: to "
            "settle it an hour before the stream's retention ends, at the latest"
        )


class LateEventError(EventFabricError):
    """An event was published before one of its key that is already handled, which the subscription does not accept."""


class HandlerExitedError(EventFabricError):
    """A handler raised SystemExit or the like, which would have ended all lanes of its invocation."""

    retryable = True


def said_by(error: BaseException, *, characters_max: int | None = None) -> str:
    """Return an error's message as text that can be stored, whatever the error's own class does when asked for it."""
    try:
        said = str.__getitem__(str(error), slice(characters_max))
    except BaseException:  # the class may be anybody's and may raise anything, SystemExit as well
        return "<exception str() failed>"
    return storable(said)


def storable(text: str) -> str:
    """Return the text with everything escaped that has no UTF-8."""
    return str.encode(text, "utf-8", "backslashreplace").decode("utf-8")
