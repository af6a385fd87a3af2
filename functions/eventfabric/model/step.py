"""The step: an effect outside the fabric, the key by which it is known, and if it was done."""

from dataclasses import dataclass, field
from hashlib import blake2b
from urllib.parse import quote

from eventfabric.model.identity import StreamName, SubscriptionName

_SOURCE_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class StepKey:
    """One step of one subscription for one event. It is the same at each attempt, in each Region, and after a redrive.

    An event is identified by its source and its id, since producers that know nothing of each other may use the same
    id. The text of the key is ASCII without spaces, fit for an Idempotency-Key header, and shared with no other key:
    `<stream>/<subscription>/step/<name>/<digest of the source>/<id>`. The id stands last, and everything before it is
    free of slashes or of a fixed length.
    """

    stream: StreamName
    subscription: SubscriptionName
    name: str
    source: str
    event_id: str

    def __str__(self) -> str:
        source = blake2b(self.source.encode(), digest_size=_SOURCE_DIGEST_BYTES).hexdigest()
        event_id = quote(self.event_id, safe="/:@+,;=!$&()*")
        return f"{self.stream}/{self.subscription}/step/{self.name}/{source}/{event_id}"


@dataclass(frozen=True, slots=True)
class StepState:
    """State of a step that was begun: `done` with `result` (JSON text), or not known to be done.

    `released`: somebody found out that it did not happen, whatever other Regions noted of it, so it may begin again.
    """

    done: bool
    result: str = field(default="null", repr=False)
    released: bool = False

    @property
    def is_in_doubt(self) -> bool:
        """Tell if it may have happened, and nobody knows."""
        return not (self.done or self.released)

    @property
    def outcome(self) -> str:
        """Description of a state that is not in doubt, with its result, for people."""
        return f"is done, with the result {self.result:.200}" if self.done else "may begin again"
