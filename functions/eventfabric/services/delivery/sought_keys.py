"""Sought keys: the parked keys that a takeover looks for in the log, because their items are not here."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from eventfabric.model import (
    Cursor,
    Failure,
    Parked,
    ParkedState,
    Place,
    SequenceNumber,
    digest_of_id,
    event_parking_id,
    is_alone,
)
from eventfabric.services.delivery.retry import EXPIRED

_GONE = "records in which keys may have waited, that another Region had parked, are no longer in the log: discard it"


@dataclass(slots=True)
class SoughtKeys:
    """The keys that are named and not here, by their digests; dead ones by the beginning of theirs."""

    retrying: set[bytes] = field(repr=False)
    dead: set[bytes] = field(repr=False)
    parked_by_id: dict[str, Parked] = field(default_factory=dict, repr=False)
    may_have_expired: bool = False

    @property
    def is_over(self) -> bool:
        """Tell if no key is sought any more."""
        return not (self.retrying or self.dead)

    def has_expired(self, letter: Parked | None) -> None:
        """Note that records have expired which may have held a sought key. `letter`: the dead letter for them."""
        self.may_have_expired = True
        if letter is not None:
            self.parked_by_id[letter.id] = letter

    def meets(self, name: str, dead: Collection[bytes]) -> bool:
        """Tell if an id is sought and was not found before. It counts as found from now on."""
        if name in self.parked_by_id:
            return False
        digest = digest_of_id(name)
        beginning = digest[: len(next(iter(dead), b""))]
        if digest not in self.retrying and beginning not in dead:
            return False
        self.retrying.discard(digest)
        self.dead.discard(beginning)
        return True


def last_of_those_alone(parked_keys: Iterable[Parked]) -> frozenset[str]:
    """Return, for each key with events that are parked alone, the id of the last of these."""
    alone = sorted(
        (parked for parked in parked_keys if is_alone(parked.id)), key=lambda parked: parked.first.sequence
    )
    return frozenset({parked.key: parked.id for parked in alone}.values())


def due_at_once(parked: Parked, now_ms: int) -> Parked:
    """Return another Region's key as this Region's own. Its timer is in the other Region, so it is due at once."""
    due_ms = now_ms if parked.state is ParkedState.RETRYING else 0
    return replace(parked, due_ms=due_ms, attempting=False)


def letter(start: int, end: int, present: Collection[str], *, cursor: Cursor) -> Parked | None:
    """Make a dead letter that stands for expired records. None if each of their events is already parked alone."""
    sequences = map(SequenceNumber, range(start, end))
    free = next((sequence for sequence in sequences if event_parking_id(sequence) not in present), None)
    if free is None:
        return None
    text, written_ms = f"of events {start} to {end - 1}", cursor.written_ms
    failure = Failure(EXPIRED, text, "", _GONE, 0, 0, written_ms, written_ms)
    name, place = event_parking_id(free), Place(free, free)
    return Parked(name, "", ParkedState.DEAD, (place,), 0, failure, version=cursor.version)
