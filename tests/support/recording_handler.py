"""A handler that remembers what it was given."""

from collections.abc import Callable, Sequence

from eventfabric.model import Event, Lane, Write
from eventfabric.ports import Attempt

EFFECTS = "effects"


class Recorder:
    """A handler that remembers what it was given; `before` may fail, or do something in the middle.

    With `effects`, each event adds one to a row of its own, and moves its key's row on: backwards is refused.
    """

    def __init__(
        self,
        *,
        batch_events_max: int = 1,
        effects: bool = False,
        before: Callable[[Sequence[Event]], None] = lambda events: None,
    ) -> None:
        self.batch_events_max = batch_events_max
        self.effects = effects
        self.before = before
        self.events: list[Event] = []
        self.attempts: list[Attempt] = []
        self.replays: list[bool] = []

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Write]:
        self.attempts.append(attempt)
        self.before(events)
        self.events += events
        self.replays += [attempt.replay] * len(events)
        return [write for event in events for write in _effects(event)] if self.effects else ()

    def ids(self, of: Lane | None = None) -> list[str]:
        return [str(event.id) for event in self.events if of in (None, event.lane)]

    def handled(self) -> list[tuple[str, bool]]:
        """Return the ids as they were handled, each with True for a replay."""
        return list(zip(self.ids(), self.replays, strict=True))


def _effects(event: Event) -> list[Write]:
    move_on = {
        "TableName": EFFECTS,
        "Key": {"id": {"S": f"key:{event.lane}:{event.key}"}},
        "UpdateExpression": "SET s = :s",
        "ConditionExpression": "attribute_not_exists(s) OR s < :s",
        "ExpressionAttributeValues": {":s": {"N": str(event.sequence)}},
    }
    return [add_one(f"event:{event.id}"), Write("Update", move_on)]


def add_one(row: str) -> Write:
    request = {"TableName": EFFECTS, "Key": {"id": {"S": row}}, "UpdateExpression": "ADD n :one"}
    return Write("Update", {**request, "ExpressionAttributeValues": {":one": {"N": "1"}}})
