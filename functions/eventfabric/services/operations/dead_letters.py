"""Dead letters: finding them, and what an operator may decide about them. Their lanes decide everything else.

Each decision is one commit of the lane, conditional on the state that was read, and then a ring; so it meets a delivery
that runs at the same time as two consumers would: one of them reads again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from eventfabric import limits
from eventfabric.errors import (
    ContendedCommitError,
    EventTooLargeError,
    NotDeadError,
    Problem,
    UnsettledStepError,
)
from eventfabric.model.count import next_count
from eventfabric.model.cursor import Cursor, LaneKey
from eventfabric.model.event import Event, check_event
from eventfabric.model.identity import Lane, Region, StreamName, SubscriptionName
from eventfabric.model.owner import Owner
from eventfabric.model.parked import Parked, ParkedChange, ParkedState, Settled
from eventfabric.model.roster import digest_of_id
from eventfabric.model.said import said
from eventfabric.model.step import StepKey, StepState
from eventfabric.ports import Clock, Committed, Doorbells, Ledger, Log, RaceLost, insist
from eventfabric.services.delivery.takeover import is_taken_over, taken_over
from eventfabric.services.lanes.standing import Standings, is_delivered_by, ledger_of
from eventfabric.services.lanes.tails import Unreadable
from eventfabric.services.operations.parked_keys import parked_keys
from eventfabric.topology import SubscriptionTopology
from eventfabric.wire.doorbell import ANY_TAIL, Doorbell
from eventfabric.wire.payload_codec import encode_event, stored, unpack_at, unpack_one


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead event, and the events of its key that wait behind it."""

    subscription: SubscriptionTopology
    lane: Lane
    parked: Parked

    @property
    def key(self) -> LaneKey:
        """Whose state it stands in."""
        stream = StreamName(self.subscription.definition.stream)
        return LaneKey(stream, SubscriptionName(self.subscription.name), self.lane)

    @property
    def place(self) -> str:
        """Where the event stands: `<lane>@<sequence>`."""
        return f"{self.lane}@{self.parked.first.sequence}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters, or parked keys; None: all. `error` is part of the error type's name."""

    key: str | None = field(default=None, repr=False)
    type: str | None = None
    error: str | None = None
    older_than_ms: int | None = None

    def matches(self, parked: Parked, now_ms: int) -> bool:
        """Whether a parked key's first event is one of them."""
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
    ) -> None:
        """`step`: says what is known of an effect outside. `elsewhere`: other Regions' ledgers."""
        self._subscription = subscription
        self._lanes = list(lanes)
        self._log = log
        self._ledger = ledger
        self._doorbells = doorbells
        self._clock = clock
        self._step = step
        self._standings = Standings(subscription, ledger=ledger, clock=clock, elsewhere=elsewhere)

    @property
    def subscription(self) -> str:
        """Whose they are."""
        return self._subscription.name

    def find(self, wanted: Wanted | None = None, *, unreadable: Unreadable = insist) -> Iterator[DeadLetter]:
        """Those that are wanted, lane by lane: one read a lane.

        `unreadable`: told of each lane that cannot be read, which is left out; default: raise that.
        """
        wanted = wanted or Wanted()
        now_ms = self._clock.now_ms()
        every = parked_keys(
            self._subscription,
            self._lanes,
            ledger=self._ledger,
            log=self._log,
            standing=self._standings.read(),
            clock=self._clock,
            unreadable=unreadable,
        )
        for found in every:
            if found.parked.state is ParkedState.DEAD and wanted.matches(found.parked, now_ms):
                yield DeadLetter(self._subscription, found.lane, found.parked)

    def event(self, letter: DeadLetter) -> Event | None:
        """The dead event, or what replaces it; None where its record has expired or is lost."""
        place = letter.parked.first
        if letter.parked.replacement is not None:
            return unpack_one(letter.parked.replacement, letter.lane, place.sequence)
        page = self._log.read(letter.lane, place.base, records_max=1)
        if not page.records or page.records[0].sequence != place.base or page.records[0].is_skip:
            return None
        return unpack_at(page.records[0], place.sequence)

    def redrive(
        self, letter: DeadLetter, *, replacement: Event | None = None, by: str = "", unsettled: bool = False
    ) -> None:
        """Have the key tried again from its dead event on, in order; with a replacement, that in its place.

        What the replacement leaves out of id, time and source is as in the dead event. `unsettled`: even where a
        step is in doubt, as for a handler that can verify it by now.

        Raises:
            UnsettledStepError: a step of the event is in doubt; nothing is changed.
            InvalidEventError: the replacement could not be published either; nothing is changed.
            NotDeadError: it is not dead (any more), not this subscription's or not delivered by this Region (any more),
                or the replacement has another key; nothing is changed.
            NotTakenOverError: the lane was handed over to this Region, and what it goes on from is not here yet.
            ContendedCommitError: the lane is too busy; nothing is changed.
        """
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
        """Raise UnsettledStepError where the step for which the event is dead is in doubt still."""
        name = letter.parked.failure.step
        dead = self.event(letter) if name else None
        if dead is None:
            return
        event_id, source = dead.id or "", dead.source or ""
        if replacement is not None:
            event_id, source = replacement.id or event_id, replacement.source or source
        key = StepKey(letter.key.stream, letter.key.subscription, name, source, event_id)
        known = self._step(key)
        if known is not None and known.is_in_doubt:
            settle = f"eventfabric steps settle {self.subscription} {letter.place} {name}"
            raise UnsettledStepError(
                f"{letter.place}: step {name!r} may have happened: ask the other side for {str(key)!r}, then "
                f"`{settle} --done` or `--not-done`"
            )

    def check_replacement(self, letter: DeadLetter, replacement: Event) -> None:
        """Raise what `redrive` would of this replacement."""
        self._encoded(letter, replacement)

    def discard(self, letter: DeadLetter, *, all_waiting: bool = False, by: str = "") -> None:
        """Drop the dead event, and have those behind it tried, in order; or drop all that waits there, too.

        `all_waiting`: what waits in the key, which is all of it up to the lane's cursor. Events of the key that the
        lane has not come to yet are handed out as ever. Errors as `redrive`.
        """

        def discarded(parked: Parked, cursor: Cursor) -> tuple[Parked | None, Settled | None]:
            settled = self._settled(parked, "discarded", by, parked.replacement)
            if all_waiting:
                return None, replace(settled, dropped=parked.dropped(cursor.sequence))
            rest = parked.without_first()
            return _retrying(rest, self._clock.now_ms()) if rest else None, settled

        self._decide(letter, discarded)

    def _encoded(self, letter: DeadLetter, replacement: Event) -> bytes:
        """The replacement as it is stored. Checked here: one that cannot be read again would stop its whole lane."""
        if replacement.key != letter.parked.key:
            found = f"found {replacement.key!r:.80}, allowed: {letter.parked.key!r:.80}"
            raise NotDeadError(f"{letter.place}: the edited event has another key: {found}")
        id_, time, source = replacement.id, replacement.stored_time, replacement.source
        if id_ is None or time is None or source is None:
            dead = self.event(letter) or replacement  # its record has expired
            id_ = dead.id if id_ is None else id_
            time = dead.stored_time if time is None else time
            source = dead.source if source is None else source
        if time is None:
            time = self._clock.now_ms() * 1000
        check_event(
            id=id_, type=replacement.type, key=replacement.key, source=source, headers=replacement.headers
        )
        encoded = encode_event(stored(replacement, id=id_, time=time, source=source))
        if len(encoded) > limits.RECORD_PAYLOAD_BYTES_MAX:
            allowed = f"at most {limits.RECORD_PAYLOAD_BYTES_MAX} bytes"
            raise EventTooLargeError([Problem("event", f"{len(encoded)} bytes encoded", allowed)])
        return encoded

    def _decide(
        self, letter: DeadLetter, decide: Callable[[Parked, Cursor], tuple[Parked | None, Settled | None]]
    ) -> None:
        owner = self._check(letter)
        ledger = ledger_of(self._ledger, self._subscription, letter.lane.origin)
        for _ in range(limits.LANE_RACES_MAX):
            cursor, parked, stood = self._look(letter, owner, ledger)
            if parked is None or parked.state is not ParkedState.DEAD or parked.first != letter.parked.first:
                raise NotDeadError(
                    f"{letter.place} of {self._subscription.name} is no dead letter (any more)"
                )
            after, settled = decide(parked, cursor)
            changes = [ParkedChange(parked, after)]
            moved = (
                cursor.beside_changed(cursor, changes)
                if stood is None
                else cursor.beside_after(cursor, stood, changes)
            )
            outcome = ledger.commit(
                letter.key, cursor, moved, parked=changes, settled=[settled] if settled else []
            )
            is_beside_written = isinstance(outcome, RaceLost) and outcome.is_beside_written
            if isinstance(outcome, Committed) or is_beside_written:
                # Should this ring be lost, the key is due all the same: with the lane's next doorbell.
                bell = Doorbell(letter.key.stream, letter.lane, ANY_TAIL, again=next_count(cursor.version))
                self._doorbells.ring(self._subscription.name, [bell])
                return
        raise ContendedCommitError(f"lane {letter.lane} of {self._subscription.name} is busy: try again")

    def _look(
        self, letter: DeadLetter, owner: Owner | None, ledger: Ledger
    ) -> tuple[Cursor, Parked | None, Mapping[str, Parked] | None]:
        """Read the cursor and the letter's key; and all keys beside it, unless what becomes of the one says enough.

        So that a thousand decisions about a lane of a thousand dead letters do not read a million.
        """
        region, parking_id = ledger.region, letter.parked.id
        state = ledger.state(letter.key, glance=True)
        cursor = state.cursor(region)
        named = cursor.roster.held([digest_of_id(parking_id)])
        is_first = cursor.low is None or cursor.low.sequence == letter.parked.first.sequence
        if named and not (state.is_whole or is_first) and is_taken_over(state, region, owner):
            found = ledger.look_up(letter.key, named)
            return cursor, next((one for one in found if one.id == parking_id), None), None
        state = taken_over(
            letter.key, owner, subscription=self._subscription, ledger=ledger, log=self._log,
            clock=self._clock,
        )  # fmt: skip
        stood = state.parked.get(region, {})
        return state.cursor(region), stood.get(parking_id), stood

    def _check(self, letter: DeadLetter) -> Owner | None:
        """Refuse what is not decided here: a change of state that another Region took over would be lost in silence.

        Other Regions are asked: a handover may not be replicated yet. Returns who owns the lane.
        """
        region, of = self._ledger.region, f"{letter.place} of {letter.subscription.name}"
        if letter.subscription.name != self.subscription:
            raise NotDeadError(f"{of} is no dead letter of {self.subscription}")
        self._standings.read()
        owner = self._standings.ask(letter.lane.origin)
        if not is_delivered_by(region, self._subscription, letter.lane.origin, self._standings.known):
            raise NotDeadError(f"{of} is not delivered by {region} (any more)")
        return owner

    def _settled(self, parked: Parked, action: str, by: str, replacement: bytes | None) -> Settled:
        """The record of a decision; of a stream with a retention, without what may hold an event's content."""
        by = said("by", by)
        sequence, now_ms = parked.first.sequence, self._clock.now_ms()
        retention_seconds = self._subscription.retention_seconds
        if retention_seconds is None:
            return Settled(sequence, action, parked.failure, now_ms, by, replacement)
        facts = parked.failure.without_texts()
        expires_seconds = now_ms // 1000 + retention_seconds + limits.SETTLED_KEPT_SECONDS
        return Settled(sequence, action, facts, now_ms, by, expires_seconds=expires_seconds)


def _retrying(parked: Parked, now_ms: int) -> Parked:
    """The key, due at once, with all its attempts before it."""
    failure = replace(parked.failure, attempts=0, crashes=0)
    return replace(parked, state=ParkedState.RETRYING, due_ms=now_ms, failure=failure)
