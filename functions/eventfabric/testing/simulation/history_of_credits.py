"""Entries of a history about credits: how far subscriptions let producers append, and who was held back."""

from eventfabric.testing.simulation.history_entry import Entry


class ProducerBegan(Entry, frozen=True, kw_only=True):
    """A producer's process began. `gates`: subscriptions that hold it back, by what it was deployed with."""

    gates: tuple[str, ...]


class GatesDeployed(Entry, frozen=True, kw_only=True):
    """From now on, what begins goes by another definition, in which these subscriptions hold producers back."""

    gates: tuple[str, ...]


class Granted(Entry, frozen=True, kw_only=True):
    """A lane's slot was written. `copied`: in another Region than `region`, by `writer`. `before`: -1 if it is new."""

    region: str
    writer: str
    stream: str
    subscription: str
    lane: str
    before: int
    grant: int
    copied: bool = False


class CreditsRead(Entry, frozen=True, kw_only=True):
    """A process heard what a subscription grants in the lanes of `origin`: by Region, then by the lane's index."""

    region: str
    stream: str
    subscription: str
    origin: str
    granted: dict[str, dict[int, int]]


class HeldBack(Entry, frozen=True, kw_only=True):
    """A producer was told that a lane has no credit, so that events are not published. It tries them again later."""

    ids: tuple[str, ...]
    lane: str = ""
    gates: tuple[str, ...] = ()


class Drained(Entry, frozen=True, kw_only=True):
    """Everything has come to rest since faults ended. From now on, passes of reconciliation put right what is left."""


class GivenUp(Entry, frozen=True, kw_only=True):
    """A producer is still held back when all is over."""

    ids: tuple[str, ...]


OfCredits = ProducerBegan | GatesDeployed | Granted | CreditsRead | HeldBack | Drained | GivenUp
