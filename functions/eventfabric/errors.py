"""Owns every error that users meet; an error says what, where and what is allowed, and decides nothing.

    EventFabricError
    ├── DefinitionError              the definition is wrong: all its problems
    ├── InvalidEventError            an event cannot be published as it is
    │   ├── EventTooLargeError
    │   └── MalformedCloudEventError one line of a file is not a CloudEvent
    ├── RecordBoundsError            events do not fit into one record together
    ├── OnceConflictError            an event of that source and id was published once, with other content
    ├── UnknownNameError             no such stream, subscription or lane
    ├── WrongRegionError             the stream is not in that Region
    ├── AppendError
    │   ├── ContendedAppendError     certainly not written in time: `__cause__` has the service's last answer, if any
    │   └── IndeterminateAppendError may or may not be written: publish_again() settles it
    │       └── UnconfirmedAppendError is written in one Region, where two were asked for
    ├── TransactionRefusedError      a write of a producer's transaction was refused: nothing was written
    │   └── TransactionTooLargeError it asks for more than one transaction takes: nothing was sent
    ├── ContendedTransactionError    certainly not written in time: the same
    ├── IndeterminateTransactionError may or may not be written: commit() again settles it
    ├── OutcomeExpiredError          may have been written, and would have expired: nothing tells any more
    ├── CopiedProcessError           what owns threads was made before this process was forked
    ├── NoThreadError                a thread is needed, and the process can start none
    ├── PublishFailedError           some events of a publisher were not published
    ├── PublishNotAttemptedError     held back because an earlier batch of the lane failed
    ├── BufferFullError              a publisher that is not to wait holds as much as it may
    ├── PortError                    a call to a service failed
    │   ├── OutcomeUnknownError      it may have taken effect
    │   │   └── ProbeUnrungError     a lane's next probe has no timer
    │   └── RefusedError             it certainly has not
    │       ├── ThrottledError       the service is busy: the same may go through later
    │       └── LastingError         it goes through once somebody has mended what is denied, missing or disabled
    ├── LogError                     the log cannot be read on: the lane stops
    │   ├── UndecodableRecordError
    │   ├── DivergenceError
    │   ├── UncertainTailError       where a lane goes on cannot be told: certainly not written
    │   ├── ExpiredUnreadError       records expired before they were delivered
    │   └── MissingRecordError       a backfill or a proof needs one that is not there
    ├── UndecodableItemError         the ledger cannot be read there: what the item belongs to stops
    ├── UndecodableMessageError      a message is none of ours: it alone fails
    ├── NotDeadError                 what is to be redriven or discarded is no dead letter
    ├── NotTakenOverError            a lane was handed over here, and what it goes on from is not here yet
    ├── UnsettledStepError           a dead letter's step is in doubt: settle it before it is redriven
    ├── ContendedCommitError         a lane was too busy for an operator's change: nothing is changed
    ├── ReplayRefusedError           a replay cannot be done as it was asked for: nothing is changed
    ├── QuarantineRefusedError       an item is not to be set aside from its lane: nothing is changed
    ├── SkipRefusedError             a lane is not to go on past what is missing: nothing is changed
    ├── RestoreRefusedError          a record is not to be put back, or not proven to belong there: nothing is changed
    ├── SettingError                 an argument that sets something up is out of its bounds
    ├── FailoverError                lanes cannot be handed over as was asked
    ├── ChangedDeliverError          a lane stops: `deliver` became "everywhere" where one Region delivers for all
    ├── BackfillError                what is asked of a backfill cannot be done: every problem
    ├── LateEventError           a later event of its key was handed out before (`on_late` is "dead_letter")
    ├── ParkedFullError              a lane halts: it has parked as much as it may
    ├── HandlerExitedError           a handler raised SystemExit or its like
    ├── UndecodablePayloadError      a payload is not of the type that the handler asks for
    ├── HandlersFailError        handlers cannot be simulated: they fail without any fault
    ├── NotUnknownError              the outcome of a step is known: nobody can settle it
    └── HandlerError                 a subscription's handler cannot be used as it is
        └── UnknownStepError         an effect outside may have happened or not: a person finds out

Two questions every error answers: `retryable` (is trying the same again sensible?) and `no_effect` (is it certain
that nothing happened?).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from eventfabric import portable


class EventFabricError(portable.PortableError):
    """Base of all; `retryable` and `no_effect` are true of every instance of a class."""

    retryable: ClassVar[bool] = False
    no_effect: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what was found there, and what is allowed."""

    path: str
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.path}: found {self.found}, allowed: {self.allowed}"

    def inside(self, where: str) -> "Problem":
        """The same problem of a part of something else, such as one event of several."""
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
    """The definition of the fabric is wrong; lists every problem."""


class InvalidEventError(_ProblemsError):
    """An event cannot be published as it is; lists every problem of it."""


class EventTooLargeError(InvalidEventError):
    """One event is larger than a record may be."""


class MalformedCloudEventError(InvalidEventError):
    """A line of a file is not a CloudEvent; `where` is `file:line`, and the message is one line, to be searched for."""

    def __str__(self) -> str:
        return f"{self.where}: {'; '.join(str(problem) for problem in self.problems)}"


class RecordBoundsError(EventFabricError):
    """Events do not fit into one record together: they, their types or their bytes are more than a reader takes."""

    def __init__(self, found: str, allowed: str) -> None:
        self.found, self.allowed = found, allowed
        super().__init__(f"record: found {found}, allowed: {allowed}")


class OnceConflictError(EventFabricError):
    """An event of that source and id was published once already, and was another one; nothing was written.

    `differs`: which of key, type and data are not as they were then. `lane` and `sequence`: where that one stands.
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


class UnknownNameError(EventFabricError):
    """There is no stream, subscription or lane of that name."""

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(f"no {kind} is named {name!r}; there are: {', '.join(known) or 'none'}")


class WrongRegionError(EventFabricError):
    """The stream does not exist in that Region."""

    def __init__(self, subject: str, region: str | None, allowed: Sequence[str]) -> None:
        self.subject, self.region, self.allowed = subject, region, tuple(allowed)
        super().__init__(
            f"{subject} is not in Region {region or '(none given)'}; it is in: {', '.join(allowed)}"
        )


class UnsettledRecord(Protocol):
    """What an error tells of a record; errors know no model."""

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
    """The time was up and nothing is written.

    The message names what stood in the way last: throttling or a service that gave no answer, which is `__cause__`
    then, or other publishers that wrote there first.
    """

    retryable = True


class IndeterminateAppendError(AppendError):
    """The batch may be in the log or not; `fabric.publish_again(error)` settles it without a duplicate.

    `batch_id` (16 bytes) stands in attribute `b` of the record if it landed; `record` is what was put; `acks` is how
    many Regions were to have it.
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
    """The batch is in the log, and no second Region has confirmed that it has it, as acks=2 asks."""

    _says = "is unconfirmed by a second Region, and is"


class PublishNotAttemptedError(EventFabricError):
    """Held back, to keep the order of the lane, because an earlier batch of it failed; `__cause__` is that failure."""

    retryable = True


class BufferFullError(EventFabricError):
    """A publisher that is not to wait holds as much as it may: the event is not taken. Publish it again, later.

    `events_taken`: of those given to `publish_all`, the ones before it.
    """

    retryable = True
    events_taken = 0

    def __init__(self, size_bytes: int, buffer_bytes_max: int) -> None:
        self.size_bytes, self.buffer_bytes_max = size_bytes, buffer_bytes_max
        super().__init__(
            f"buffer_bytes_max: found {size_bytes:,} bytes more than there is room for, allowed: {buffer_bytes_max:,} "
            "that are not appended yet"
        )


class CopiedProcessError(EventFabricError):
    """A publisher or an AsyncFabric was made before this process was forked: its threads are not here. Make another."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what} was made before this process was forked: make one in this process")


class NoThreadError(EventFabricError):
    """A thread is needed, and the process can start none: it has too many, or comes to its end."""

    retryable = True

    def __init__(self, owner: str) -> None:
        self.owner = owner
        super().__init__(
            f"{owner} can start no thread: the process has as many as it may, or comes to its end"
        )


class PublishFailedError(EventFabricError):
    """Events given to a publisher were not published and nobody asked for their receipts; `failures` has each cause."""

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
    """A call to a service failed; `operation` names it."""

    retryable = True

    def __init__(self, operation: str, reason: str) -> None:
        self.operation, self.reason = operation, reason
        super().__init__(f"{operation}: {reason}")


class OutcomeUnknownError(PortError):
    """No reply, or a server error: the call may have taken effect."""

    no_effect = False


class ProbeUnrungError(OutcomeUnknownError):
    """No timer could be had for the next probe of an open circuit, for which a lane waits."""


class RefusedError(PortError):
    """The service refused the call: it certainly took no effect."""

    retryable = False


class ThrottledError(RefusedError):
    """The service asks for patience: it is throttled, or another call is in the way."""

    retryable = True


class LastingError(RefusedError):
    """No retry helps until somebody acts; `cause` says why: `denied`, `missing`, `key_unusable` or `quota`."""

    def __init__(self, operation: str, reason: str, cause: str) -> None:
        self.cause = cause
        super().__init__(operation, reason)


class LogError(EventFabricError):
    """The log cannot be read on at this place; the lane stops there and nothing is skipped."""

    def __init__(self, lane: object, sequence: int, reason: str) -> None:
        self.lane, self.sequence, self.reason = lane, sequence, reason
        super().__init__(f"record {sequence} of lane {lane}: {reason}")


class UndecodableRecordError(LogError):
    """This version cannot decode the record."""


class UndecodableItemError(EventFabricError):
    """A field of an item of the ledger is not as any version writes it; `item` is the item's key."""

    def __init__(self, item: str, field: str, reason: str) -> None:
        self.item, self.field, self.reason = item, field, reason
        super().__init__(f"item {item}: field {field}: {reason}")


class UndecodableMessageError(EventFabricError):
    """A message of a queue is no doorbell, or none of those that its reader can serve."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not a doorbell: {reason}")


class DivergenceError(LogError):
    """The record does not extend the chain that was verified before it."""


class QuarantineRefusedError(EventFabricError):
    """An item is not to be set aside: it is the lane's own, or is not there, or another remedy is right."""

    def __init__(self, lane: object, sequence: int, reason: str) -> None:
        self.lane, self.sequence, self.reason = lane, sequence, reason
        super().__init__(f"{lane}@{sequence} stays: {reason}")


class RestoreRefusedError(EventFabricError):
    """A record is not put back: it is there, the copy lacks it, or the chain does not prove it to belong there."""

    def __init__(self, lane: object, sequence: int, reason: str) -> None:
        self.lane, self.sequence, self.reason = lane, sequence, reason
        super().__init__(f"{lane}@{sequence} is not restored: {reason}")


class SkipRefusedError(EventFabricError):
    """A lane does not go on past a place: nothing is missing there, or it is not lost, or another remedy is right."""

    def __init__(self, lane: object, sequence: int, reason: str) -> None:
        self.lane, self.sequence, self.reason = lane, sequence, reason
        super().__init__(f"{lane}@{sequence} is not skipped: {reason}")


class UncertainTailError(LogError):
    """Where the lane goes on cannot be told, so nothing was written: an operator has to look at it."""


class ExpiredUnreadError(LogError):
    """Records of the lane expired before they were delivered, and the subscription halts there (`on_expired`)."""


class MissingRecordError(LogError):
    """The log lacks a record: one that a backfill was to copy from it, or that a cursor has passed."""


class HandlerError(EventFabricError):
    """A subscription's handler is missing, or did what it must not."""


class UnknownStepError(HandlerError):
    """The process died in the middle of a step, and nobody but a person can find out whether its effect happened."""

    no_effect = False

    def __init__(self, message: str, step: str = "") -> None:
        self.step = step
        super().__init__(message, step) if step else super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])


class UnsettledStepError(EventFabricError):
    """An event is not redriven, since a step of it is in doubt: it would be dead again; nothing is changed."""


class NotUnknownError(EventFabricError):
    """The outcome of a step is known, or it never began, so there is nothing to settle; nothing is changed."""


class BackfillError(_ProblemsError):
    """What is asked of a backfill cannot be done; lists every problem, with the facts that decided it."""


class FailoverError(EventFabricError):
    """Lanes cannot be handed over as was asked, with the facts that decided it."""


class ChangedDeliverError(EventFabricError):
    """A lane stops: by the definition every Region delivers it now, while one Region delivers it for all of them."""


class ParkedFullError(EventFabricError):
    """A lane has parked all it may; it goes on when some of it is redriven or discarded."""


class UndecodablePayloadError(EventFabricError):
    """The payload of an event is not of the type that the handler asks for: no further attempt can mend it."""


class SettingError(EventFabricError):
    """An argument that sets something up is out of its bounds."""

    def __init__(self, name: str, found: object, allowed: str) -> None:
        super().__init__(f"{name}: found {found!r:.80}, allowed: {allowed}")


class HandlersFailError(EventFabricError):
    """Handlers that are to be simulated, or what makes their tables, fail where nothing else does."""


class NotDeadError(EventFabricError):
    """What is to be redriven or discarded is no dead letter (any more); nothing is changed."""


class NotTakenOverError(EventFabricError):
    """A lane was handed over to this Region, which cannot take it over yet; nothing is changed."""

    retryable = True


class ReplayRefusedError(EventFabricError):
    """A replay cannot be done as it was asked for; says which facts decided it, and nothing is changed."""


class ContendedCommitError(EventFabricError):
    """Deliveries of the lane were always faster; nothing is changed."""

    retryable = True


class TransactionRefusedError(EventFabricError):
    """DynamoDB refused a write of a producer's transaction; nothing was written.

    `index`: which write, in the order they were made (-1: the transaction as a whole). `code`: such as
    ConditionalCheckFailed. `item`: what stands there, where the write asked for it.
    """

    def __init__(
        self, index: int, code: str, message: str, item: "dict[str, dict[str, object]] | None"
    ) -> None:
        self.index, self.code, self.item = index, code, item
        which = f"write {index}" if index >= 0 else "the transaction"
        super().__init__(f"{which} was refused: {code}: {message}")


class TransactionTooLargeError(TransactionRefusedError):
    """A transaction asks for more than DynamoDB takes; found out before anything was sent."""


class ContendedTransactionError(EventFabricError):
    """The time was up and nothing is written.

    The message names what stood in the way last: throttling or a service that gave no answer, which is `__cause__`
    then, or other publishers that wrote there first.
    """

    retryable = True


class IndeterminateTransactionError(EventFabricError):
    """A producer's transaction may be written or not; its `commit()` again settles it, once."""

    retryable = True
    no_effect = False


class OutcomeExpiredError(EventFabricError):
    """A write of unknown outcome may have landed and expired since: nothing tells any more, and nothing is written now.

    Whether to publish its events again is for those to say who know whether a second delivery does harm.
    """

    no_effect = False

    def __init__(self, record: "UnsettledRecord | None") -> None:
        """`record` None: of a transaction without an event, which only DynamoDB knew again, for ten minutes."""
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
    """An event was published before one of its key that is handled already, and the subscription takes none so."""


class HandlerExitedError(EventFabricError):
    """A handler raised SystemExit or its like, which would have ended all lanes of its invocation."""

    retryable = True


def said_by(error: BaseException, *, characters_max: int | None = None) -> str:
    """An error's message as text that can be stored, whatever somebody's own class does when it is asked for one."""
    try:
        said = str.__getitem__(str(error), slice(characters_max))
    except BaseException:  # a class of its own may raise anything, SystemExit as well
        return "<exception str() failed>"
    return storable(said)


def storable(text: str) -> str:
    """The text with everything escaped that has no UTF-8."""
    return str.encode(text, "utf-8", "backslashreplace").decode("utf-8")
