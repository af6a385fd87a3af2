"""Replayed key: the parked keys in which the events of one key wait to be handed out again."""

from collections.abc import Iterable

from eventfabric import limits
from eventfabric.definition.schema import Subscription
from eventfabric.model import REPLAYED, Failure, Parked, ParkedState, Place, Rest, SequenceNumber
from eventfabric.ports import Entropy
from eventfabric.services.delivery.retry import first_version, parking_id


def waiting_again(
    places: Iterable[Place],
    key: str,
    *,
    until: SequenceNumber,
    definition: Subscription,
    entropy: Entropy,
    now_ms: int,
) -> list[Parked]:
    """Park a key's events, due now: together, or each by itself if no order is kept. All before `until` are replays."""
    waiting: dict[str, list[Place]] = {}
    for place in places:
        waiting.setdefault(parking_id(definition, key, place), []).append(place)
    failure = Failure(REPLAYED, "", "", "replayed by an operator", 0, 0, now_ms, now_ms)
    most = limits.PARKED_PLACES_MAX
    return [
        Parked(
            name,
            key,
            ParkedState.RETRYING,
            tuple(of_key[:most]),
            now_ms,
            failure,
            version=first_version(entropy),
            rest=_rest(of_key[most], until) if len(of_key) > most else None,
        )
        for name, of_key in waiting.items()
    ]


def _rest(place: Place, end: SequenceNumber) -> Rest:
    """Return what waits from a place on. All of it up to `end` are replays."""
    return Rest(place.base, place.sequence, lane=place.lane).joined_by(place, end)
