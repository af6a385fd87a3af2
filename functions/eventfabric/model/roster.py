"""The roster of a lane's parked keys: a few bytes of each, so that a visit reads only those that concern it.

Beside it: a digest of all of them, which tells if they are those that a cursor names.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import pairwise
from typing import Final

from eventfabric.model.identity import is_alone
from eventfabric.model.parked import Parked, ParkedChange, ParkedState

DIGEST_BYTES: Final = 16
_DEAD_BYTES: Final = 3
_SUM_BYTES: Final = 8
_ATTEMPTED: Final = 0


def digest_of_id(parking_id: str) -> bytes:
    """Return the digest by which a parked key is known, however long its id is.

    It begins with a zero byte if the id is that of an event parked by itself, and only then: so a roster tells if it
    holds any.
    """
    digest = blake2b(parking_id.encode(), digest_size=DIGEST_BYTES).digest()
    return bytes([0 if is_alone(parking_id) else digest[0] or 1]) + digest[1:]


@dataclass(frozen=True, slots=True)
class Roster:
    """Names of the parked keys. It is part of the cursor's item, so it is always as up to date as the cursor.

    `retrying`: when each key is due, by the digest of its id; 0 if an attempt is noted. `dead`: the beginnings of
    digests, in order. Two keys may share a beginning, so a key that is not found is certainly not dead, and one that is
    found may be.
    """

    retrying: dict[bytes, int] = field(default_factory=dict)
    dead: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, parked: Iterable[Parked]) -> "Roster":
        """Make the roster that names these keys, and no others."""
        return cls().after(ParkedChange(None, key) for key in parked)

    @property
    def has_alone(self) -> bool:
        """Tell if events are parked by themselves, as where no order is kept."""
        return bool(self.dead and not self.dead[0][0]) or any(not digest[0] for digest in self.retrying)

    @property
    def count(self) -> int:
        """Number of parked keys."""
        return len(self.retrying) + len(self.dead)

    def after(self, changes: Iterable[ParkedChange]) -> "Roster":
        """Return the roster after these changes are committed."""
        retrying, dead = dict(self.retrying), list(self.dead)
        for change in changes:
            if change.before is not None:
                _drop(change.before, retrying, dead)
            if change.after is not None:
                _add(change.after, retrying, dead)
        return Roster(retrying, tuple(dead))

    def due(self, now_ms: int) -> list[bytes]:
        """Return the digests of the keys that are due by then, and of those whose attempt is noted."""
        return [digest for digest, due_ms in self.retrying.items() if due_ms <= now_ms]

    def held(self, digests: Iterable[bytes]) -> list[bytes]:
        """Select the digests whose keys may be parked."""
        beginnings = frozenset(self.dead)
        return [digest for digest in digests if digest in self.retrying or digest[:_DEAD_BYTES] in beginnings]

    def naming(self, parked: Iterable[Parked]) -> "Roster":
        """Return the roster that names these keys as they are, and the others that this one names."""
        keys = list(parked)
        here = {digest_of_id(key.id) for key in keys}
        named = Roster.of(keys)
        retrying = {digest: due_ms for digest, due_ms in self.retrying.items() if digest not in here}
        return Roster(retrying | named.retrying, tuple(sorted([*named.dead, *self.missing_dead(here)])))

    def missing(self, parked: Iterable[Parked]) -> int:
        """Count the keys that it names and that are not among these."""
        here = {digest_of_id(key.id) for key in parked}
        return sum(digest not in here for digest in self.retrying) + len(self.missing_dead(here))

    def missing_dead(self, here: Iterable[bytes]) -> list[bytes]:
        """Return the beginnings of dead keys that are not the beginning of any of these digests."""
        left = Counter(digest[:_DEAD_BYTES] for digest in here if digest not in self.retrying)
        missing = list[bytes]()
        for beginning in self.dead:
            if left[beginning]:
                left[beginning] -= 1
            else:
                missing.append(beginning)
        return missing


def packed_dead(roster: Roster) -> bytes:
    """Return the dead keys of a roster, concatenated."""
    return b"".join(roster.dead)


def unpacked_dead(content: bytes) -> tuple[bytes, ...]:
    """Split the bytes of concatenated dead keys. ValueError if they are none."""
    if len(content) % _DEAD_BYTES:
        raise ValueError(f"{len(content)} bytes are no dead keys")
    dead = tuple(content[start : start + _DEAD_BYTES] for start in range(0, len(content), _DEAD_BYTES))
    if any(later < earlier for earlier, later in pairwise(dead)):
        raise ValueError("dead keys out of order")  # `_drop` finds them by bisection
    return dead


def _drop(parked: Parked, retrying: dict[bytes, int], dead: list[bytes]) -> None:
    digest = digest_of_id(parked.id)
    if parked.state is ParkedState.RETRYING:
        retrying.pop(digest, None)
        return
    index = bisect_left(dead, digest[:_DEAD_BYTES])
    if index < len(dead) and dead[index] == digest[:_DEAD_BYTES]:
        del dead[index]


def _add(parked: Parked, retrying: dict[bytes, int], dead: list[bytes]) -> None:
    digest = digest_of_id(parked.id)
    if parked.state is ParkedState.RETRYING:
        retrying[digest] = _ATTEMPTED if parked.attempting else parked.due_ms
    else:
        insort(dead, digest[:_DEAD_BYTES])


def digest_of(parked: Mapping[str, Parked]) -> bytes:
    """Return a digest of parked keys: equal for equal keys at equal versions. A sum, so that changes can be added."""
    return _bytes_of(sum(_number_of(key) for key in parked.values()))


def digest_after(digest: bytes, changes: Iterable[ParkedChange]) -> bytes:
    """Return the digest of parked keys after these changes are committed."""
    total = int.from_bytes(digest, "big")
    for change in changes:
        if change.before is not None:
            total -= _number_of(change.before)
        if change.after is not None:
            total += _number_of(replace(change.after, version=change.version))
    return _bytes_of(total)


def _number_of(parked: Parked) -> int:
    """Return one parked key at its version as a number, of which `digest_of` takes the sum."""
    content = b"%d %s" % (parked.version, parked.id.encode())
    return int.from_bytes(blake2b(content, digest_size=_SUM_BYTES).digest(), "big")


def _bytes_of(total: int) -> bytes:
    return (total % (1 << 8 * _SUM_BYTES)).to_bytes(_SUM_BYTES, "big")
