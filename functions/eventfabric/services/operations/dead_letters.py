"""Dead letters: find them, and carry out what an operator decides about them. Everything else is up to their lanes.

Each decision is one commit of the lane, conditional on the state that was read, followed by a ring. So if a delivery
runs at the same time, the two meet like two consumers: one of them loses the race and reads again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from eventfabric import limits
from eventfabric.errors import (
    ContendedCommitError,
    EventTooLargeError,
    NotDeadError,
    NotTakenOverError,
    Problem,
    UnsettledStepError,
)
from eventfabric.model import (
    ANY_TAIL,
    HOPS,
    Committed,
    Cursor,
    Doorbell,
    Event,
    HeaderValue,
    Lane,
    LaneKey,
    LaneState,
    Owner,
    Parked,
    ParkedChange,
    ParkedState,
    RaceLost,
    Region,
    Settled,
    StepKey,
    StepState,
    StreamName,
    SubscriptionName,
    check_event,
    child_of,
    digest_of_id,
    next_count,
    operator_text,
)
from eventfabric.ports import Clock, Doorbells, Ledger, Log, insist
from eventfabric.services.delivery.takeover import is_taken_over, taken_over
from eventfabric.services.lanes.splits import Unreadable
from eventfabric.services.lanes.standing import Standings, is_delivered_by, ledger_of
from eventfabric.services.operations.parked_keys import parked_keys
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.wire.payload_codec import encode_event, stored, unpack_at, unpack_one


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead event, and the events of its key that wait after it."""

    subscription: SubscriptionTopology
    lane: Lane
    parked: Parked

    @property
    def key(self) -> LaneKey:
        """Key of the lane's state in which it stands."""
        stream = StreamName(self.subscription.definition.stream)
        return LaneKey(stream, SubscriptionName(self.subscription.state_name), self.lane)

    @property
    def place(self) -> str:
        """Place of the event in the log: `<lane>@<sequence>`."""
        return f"{self.stands_in}@{self.parked.first.sequence}"

    @property
    def stands_in(self) -> Lane:
        """Lane in whose log the event stands: its own, or one from which that was split off."""
        return self.parked.first.lane or self.lane


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Filter of dead letters, or of parked keys. None: all. `error` is part of the error type's name."""

    key: str | None = field(default=None, repr=False)
    type: str | None = None
    error: str | None = None
    older_than_ms: int | None = None

    def matches(self, parked: Parked, now_ms: int) -> bool:
        """Tell if the filter accepts a parked key, by its first event."""
        failure = parked.failure
        return (
            self.key in (None, parked.key)
            and self.type in (None, failure.event_type)
            and (self.error is None or self.error in failure.error_type)
            and (self.older_than_ms is None or now_ms - failure.last_ms >= self.older_than_ms)
        )


class DeadLetters:
    """The dead letters of one subscription in one Region."""

    def __init__(
        self,
        subscription: SubscriptionTopology,
        lanes: Iterable[Lane],
        *,
        log: Log,
        ledger: Ledger,
        doorbells: Doorbells,
        clock: Clock,
        step: Callable[[StepKey], StepState | None] = lambda key: None,
        elsewhere: Callable[[Region], Ledger] | None = None,
        check_delivered: Callable[[], object] = lambda: None,
        as_published: Callable[[Event, Event | None], Event] = lambda event, replaced: event,
    ) -> None:
        """`step`: returns what is known of an effect outside. `elsewhere`: returns another Region's ledger.

        `check_delivered`: raises if nothing is delivered any more, so that nothing can be redriven.
        `as_published`: returns a replacement as it would be published, or raises InvalidEventError. It is given the
        dead event, too; None if that has expired.
        """
        self._subscription = subscription
        self._lanes = list(lanes)
        self._log = log
        self._ledger = ledger
        self._doorbells = doorbells
        self._clock = clock
        self._step = step
        self._check_delivered = check_delivered
        self._as_published = as_published
        self._standings = Standings(subscription, ledger=ledger, clock=clock, elsewhere=elsewhere)

    @property
    def subscription(self) -> str:
        """Name of their subscription."""
        return self._subscription.name

    def find(
        self, wanted: DeadLetterFilter | None = None, *, unreadable: Unreadable = insist
    ) -> Iterator[DeadLetter]:
        """Yield the dead letters that are wanted, lane by lane. One read for each lane.

        `unreadable`: told of each lane that cannot be read, which is left out; default: raise that error.
        """
        wanted = wanted or DeadLetterFilter()
        now_ms = self._clock.now_ms()
        keys = parked_keys(
            self._subscription,
            self._lanes,
            ledger=self._ledger,
            log=self._log,
            standing=self._standings.read(),
            clock=self._clock,
            unreadable=unreadable,
        )
        for parked_key in keys:
            if parked_key.parked.state is ParkedState.DEAD and wanted.matches(parked_key.parked, now_ms):
                yield DeadLetter(self._subscription, parked_key.lane, parked_key.parked)

    def event(self, letter: DeadLetter) -> Event | None:
        """Return the dead event, or its replacement. None if its record has expired or is lost."""
        place = letter.parked.first
        if letter.parked.replacement is not None:
            return unpack_one(letter.parked.replacement, letter.stands_in, place.sequence)
        record = self._log.read(letter.stands_in, place.base, records_max=1).first
        if record is None or record.sequence != place.base or record.is_skip:
            return None
        return unpack_at(record, place.sequence)

    def redrive(
        self, letter: DeadLetter, *, replacement: Event | None = None, by: str = "", unsettled: bool = False
    ) -> None:
        """Have the key tried again from its dead event on, in order. A replacement is tried in place of the event.

        If the replacement has no id, time, source or number of hops, it gets those of the dead event. `unsettled`:
        redrive even if a step is in doubt, for example because the handler can verify it by now.

        Raises:
            UnsettledStepError: a step of the event is in doubt; nothing is changed.
            InvalidEventError: the replacement could not be published either; nothing is changed.
            SettingError: the subscription is retired.
            NotDeadError: it is not dead (any more), not this subscription's or not delivered by this Region (any more),
                or the replacement has another key; nothing is changed.
            NotTakenOverError: the lane was handed over to this Region, and the records that it goes on from are not
                here yet.
            ContendedCommitError: the lane is too busy; nothing is changed.
        """
        self._check_delivered()
        # Checked first, so that a replacement that is refused has changed nothing.
        edited = None if replacement is None else self._encoded(letter, replacement)
        if not unsettled:
            self.check_settled(letter, replacement)

        def redriven(parked: Parked, cursor: Cursor) -> tuple[Parked, Settled | None]:
            again = _retrying(parked, self._clock.now_ms())
            if edited is None:
                return again, None
            return replace(again, replacement=edited), self._settled(parked, "edited", by, edited)

        self._decide(letter, redriven)

    def check_settled(self, letter: DeadLetter, replacement: Event | None = None) -> None:
        """Raise UnsettledStepError if the step for which the event is dead is still in doubt."""
        name = letter.parked.failure.step
        dead = self.event(letter) if name else None
        if dead is None:
            return
        event_id, source = dead.id or "", dead.source or ""
        if replacement is not None:
            event_id, source = replacement.id or event_id, replacement.source or source
        key = StepKey(letter.key.stream, letter.key.subscription, name, source, event_id)
        # Only the other side knows if the effect happened. Tried again unasked, it might happen twice.
        known = self._step(key)
        if known is not None and known.is_in_doubt:
            settle = f"eventfabric steps settle {self.subscription} {letter.place} {name}"
            raise UnsettledStepError(
                f"{letter.place}: step {name!r} may have happened: ask the other side for {str(key)!r}, then "
                f"`{settle} --done` or `--not-done`"
            )

    def check_replacement(self, letter: DeadLetter, replacement: Event) -> None:
        """Raise the error that `redrive` would raise for this replacement."""
        self._encoded(letter, replacement)

    def discard(self, letter: DeadLetter, *, all_waiting: bool = False, by: str = "") -> None:
        """Drop the dead event, and have the events after it tried, in order; or drop everything that waits there, too.

        `all_waiting`: drop all that waits in the key, which reaches up to the lane's cursor. Later events of the key
        are handed out as usual. Raises the errors of `redrive`.
        """

        def discarded(parked: Parked, cursor: Cursor) -> tuple[Parked | None, Settled | None]:
            settled = self._settled(parked, "discarded", by, parked.replacement)
            if all_waiting:
                # What is dropped stays on record as a list and a range, so
                # that a proof names every event of it.
                return None, replace(settled, dropped=parked.dropped(cursor.sequence))
            rest = parked.without_first()
            return _retrying(rest, self._clock.now_ms()) if rest else None, settled

        self._decide(letter, discarded)

    def _encoded(self, letter: DeadLetter, replacement: Event) -> bytes:
        """Encode the replacement as it is stored. Check it here: one that cannot be read would stop its whole lane."""
        if replacement.key != letter.parked.key:
            difference = f"found {replacement.key!r:.80}, allowed: {letter.parked.key!r:.80}"
            raise NotDeadError(f"{letter.place}: the edited event has another key: {difference}")
        dead = self.event(letter)
        replacement = self._as_published(replacement, dead)
        id_, time, source, headers = self._origin(dead or replacement, replacement)
        check_event(id=id_, type=replacement.type, key=replacement.key, source=source, headers=headers)
        with_hops = replacement.copy()
        with_hops.headers = headers
        encoded = encode_event(stored(with_hops, id=id_, time=time, source=source))
        if len(encoded) > limits.RECORD_PAYLOAD_BYTES_MAX:
            allowed = f"at most {limits.RECORD_PAYLOAD_BYTES_MAX} bytes"
            raise EventTooLargeError([Problem("event", f"{len(encoded)} bytes encoded", allowed)])
        return encoded

    def _origin(
        self, dead: Event, replacement: Event
    ) -> tuple[str | None, int | str, str | None, Mapping[str, HeaderValue]]:
        """Return id, time, source and headers of a replacement: those of the dead event as far as it has none.

        Of the headers, only the number of hops is taken from there: a circle must not begin anew with an edit.
        """
        id_ = dead.id if replacement.id is None else replacement.id
        time = dead.stored_time if replacement.stored_time is None else replacement.stored_time
        source = dead.source if replacement.source is None else replacement.source
        headers = replacement.headers
        if HOPS in dead.headers:
            headers = {HOPS: dead.headers[HOPS], **headers}
        return id_, self._clock.now_ms() * 1000 if time is None else time, source, headers

    def _decide(
        self, letter: DeadLetter, decide: Callable[[Parked, Cursor], tuple[Parked | None, Settled | None]]
    ) -> None:
        """Commit a decision about the letter's key, on the state as it is now, and ring the lane."""
        owner = self._check(letter)
        ledger = ledger_of(self._ledger, self._subscription, letter.lane.origin)
        for _ in range(limits.LANE_RACES_MAX):
            # By the state as it is now: somebody else may have decided
            # about the same letter, or its key may be free.
            cursor, parked, parked_by_id = self._look(letter, owner, ledger)
            if cursor.past_seal is not None:
                letter = self._in_child(letter)
                continue
            is_same = parked is not None and parked.first.sequence == letter.parked.first.sequence
            if parked is None or parked.state is not ParkedState.DEAD or not is_same:
                raise NotDeadError(
                    f"{letter.place} of {self._subscription.name} is no dead letter (any more)"
                )
            after, settled = decide(parked, cursor)
            changes = [ParkedChange(parked, after)]
            moved = (
                cursor.beside_changed(cursor, changes)
                if parked_by_id is None
                else cursor.beside_after(cursor, parked_by_id, changes)
            )
            outcome = ledger.commit(
                letter.key, cursor, moved, parked=changes, settled=[settled] if settled else []
            )
            # Without transactions the key is written before the cursor, and stands even if that lost its
            # race.
            is_beside_written = isinstance(outcome, RaceLost) and outcome.is_beside_written
            if isinstance(outcome, Committed) or is_beside_written:
                # If this ring is lost, the key is still due: it is tried with the lane's next doorbell.
                bell = Doorbell(letter.key.stream, letter.lane, ANY_TAIL, again=next_count(cursor.version))
                self._doorbells.ring(self._subscription.name, [bell])
                return
        raise ContendedCommitError(f"lane {letter.lane} of {self._subscription.name} is busy: try again")

    def _look(
        self, letter: DeadLetter, owner: Owner | None, ledger: Ledger
    ) -> tuple[Cursor, Parked | None, Mapping[str, Parked] | None]:
        """Read the cursor and the letter's key; and all keys only if this one is the first that waits, or unknown.

        Otherwise a thousand decisions about a lane of a thousand dead letters would read a million keys.
        """
        region, parking_id = ledger.region, letter.parked.id
        state = ledger.state(letter.key, glance=True)
        if not letter.lane.is_root:
            self._check_begun(letter, state, owner)
        cursor = state.cursor(region)
        named = cursor.roster.held([digest_of_id(parking_id)])
        is_first = cursor.low is None or cursor.low.sequence == letter.parked.first.sequence
        if named and not (state.is_whole or is_first) and is_taken_over(state, region, owner):
            same_digest = ledger.look_up(letter.key, named)
            return cursor, next((parked for parked in same_digest if parked.id == parking_id), None), None
        state = taken_over(
            letter.key,
            owner,
            subscription=self._subscription,
            ledger=ledger,
            log=self._log,
            clock=self._clock,
        )
        parked_by_id = state.parked.get(region, {})
        return state.cursor(region), parked_by_id.get(parking_id), parked_by_id

    def _in_child(self, letter: DeadLetter) -> DeadLetter:
        """Return the letter as it is where its lane was split and delivered to its end since."""
        return replace(letter, lane=child_of(letter.lane, letter.parked.key, self._subscription.lanes))

    def _check_begun(self, letter: DeadLetter, state: LaneState, owner: Owner | None) -> None:
        """Refuse a decision about a child that this Region has not taken over: only a run of its parent does that."""
        own = state.cursor(self._ledger.region)
        if own.begun is None or (owner is not None and own.epoch < owner.epoch):
            raise NotTakenOverError(
                f"lane {letter.lane} of {self._subscription.name} goes on once lane {letter.lane.parent} was "
                "delivered: ring that (eventfabric lanes --ring)"
            )

    def _check(self, letter: DeadLetter) -> Owner | None:
        """Refuse a decision that would be lost silently, because another Region delivers the lane. Return the owner.

        Other Regions are asked, because a handover may not be replicated yet.
        """
        region, name = self._ledger.region, f"{letter.place} of {letter.subscription.name}"
        if letter.subscription.name != self.subscription:
            raise NotDeadError(f"{name} is no dead letter of {self.subscription}")
        self._standings.read()
        owner = self._standings.ask(letter.lane.origin)
        if not is_delivered_by(region, self._subscription, letter.lane.origin, self._standings.known):
            raise NotDeadError(f"{name} is not delivered by {region} (any more)")
        return owner

    def _settled(self, parked: Parked, action: str, by: str, replacement: bytes | None) -> Settled:
        """Make the record of a decision. In a stream with a retention, leave out what may hold an event's content."""
        by = operator_text("by", by)
        sequence, now_ms = parked.first.sequence, self._clock.now_ms()
        retention_seconds = self._subscription.retention_seconds
        if retention_seconds is None:
            return Settled(sequence, action, parked.failure, now_ms, by, replacement)
        facts = parked.failure.without_texts()
        # Kept for longer than the event, because a proof names the decision as an exception.
        expires_seconds = now_ms // 1000 + retention_seconds + limits.SETTLED_KEPT_SECONDS
        return Settled(sequence, action, facts, now_ms, by, expires_seconds=expires_seconds)


def _retrying(parked: Parked, now_ms: int) -> Parked:
    """Return the key as due at once, with all its attempts before it again."""
    failure = replace(parked.failure, attempts=0, crashes=0)
    return replace(parked, state=ParkedState.RETRYING, due_ms=now_ms, failure=failure)
