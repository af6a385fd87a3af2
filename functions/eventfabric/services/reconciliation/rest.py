"""Rest: lanes in which nothing can have changed that their tails would not show, so that their states need no read.

    a pass finds every cursor at the tail, nothing parked, nothing wrong     the lane rests from then on
    later passes find the same tail, and the same subscriptions to deliver   only the tail is read
    an hour later, or when either has changed                                every state is read again

What moves a lane without moving its tail: a replay, which has the states of all lanes of its subscription read by the
next pass; a handover, which changes who delivers; and what nobody should do, which is found within the hour.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from eventfabric.model import CHAIN_BYTES, Mark, Owner, Tail
from eventfabric.services.reconciliation import pass_bounds
from eventfabric.services.reconciliation.look import Look


def digest_of_delivered(owners: Mapping[str, Owner | None]) -> bytes:
    """Return what tells apart who delivers an origin's lanes. `owners`: by the subscription delivered here."""
    names = [
        f"{name} {owner.region if owner else ''} {owner.epoch if owner else 0}"
        for name, owner in owners.items()
    ]
    return blake2b("\n".join(sorted(names)).encode(), digest_size=CHAIN_BYTES).digest()


def may_rest(marks: Iterable[Mark], *, now_ms: int) -> bool:
    """Tell if lanes at rest may rest for another pass. All of a part are read at once, and so noted at once."""
    within_ms = 1000 * pass_bounds.REST_SECONDS
    return all(0 <= now_ms - mark.rests_ms < within_ms for mark in marks if mark.rests_ms)


def rests(before: Mark, tail: Tail, delivered: bytes) -> bool:
    """Tell if a lane that was at rest still is: nothing was appended, and its subscriptions and owners are the same."""
    # A last record whose chain is another one is a finding, and so no lane at rest.
    return bool(before.rests_ms) and tail.sequence == before.sequence and before.rests_for == delivered


def is_done(look: Look) -> bool:
    """Tell if a subscription has nothing to do in a lane until something is appended to it."""
    cursor = look.cursor
    is_at_end = cursor.version > 0 and cursor.sequence == look.tail.sequence >= cursor.replay_until
    # The roster counts keys that were read beside the cursor, and those that it names.
    # Keys of a lane past its seal wait in its children.
    return is_at_end and (cursor.past_seal is not None or not cursor.roster.count)
