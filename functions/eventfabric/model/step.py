"""Owns what is known of an effect outside: by which key, and whether it was done."""

from dataclasses import dataclass
from urllib.parse import quote

from eventfabric.model.identity import StreamName, SubscriptionName


@dataclass(frozen=True, slots=True)
class StepKey:
    """One step of one subscription for one event; the same at each attempt, in each Region, and after a redrive.

    As text it is ASCII without spaces, fit for an Idempotency-Key header: `<stream>/<subscription>/step/<name>/<id>`.
    """

    stream: StreamName
    subscription: SubscriptionName
    name: str
    event_id: str

    def __str__(self) -> str:
        return (
            f"{self.stream}/{self.subscription}/step/{self.name}/{quote(self.event_id, safe='/:@+,;=!$&()*')}"
        )


@dataclass(frozen=True, slots=True)
class StepState:
    """A step that was begun: `done` with `result` (JSON text), or not known to be."""

    done: bool
    result: str = "null"
