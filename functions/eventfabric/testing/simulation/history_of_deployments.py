"""Entries of a history about deployments: how stacks ended, and what is declared in the end."""

import msgspec

from eventfabric.testing.simulation.history_entry import Entry


class StackEnded(Entry, frozen=True, kw_only=True):
    """An operation on a subscription's stack ended. `content`: what is deployed now; empty: the stack is gone.

    `state`: in which the subscription is then; empty: as before the deployment by `request`, which failed.
    """

    region: str
    subscription: str
    content: str
    state: str = ""
    request: str = ""


class Retired(Entry, frozen=True, kw_only=True):
    """An operator was told that a subscription is retired in a Region."""

    region: str
    subscription: str


class RegionTakenOut(Entry, frozen=True, kw_only=True):
    """A deployment was let take a Region out of the fabric. From now on, nobody may publish there any more."""

    region: str


class CatalogueRead(Entry, frozen=True, kw_only=True):
    """A producer used what it knew of what is declared in its Region: the lane up to a sequence."""

    region: str
    sequence: int


class ListedSubscription(msgspec.Struct, frozen=True):
    """A subscription in a declaration."""

    state: str
    incarnation: int
    highest: int
    content: str


class ListedChange(msgspec.Struct, frozen=True):
    """A declaration as it stands in a lane. `is_next`: it continues the one before, by its place and its chain."""

    kind: str
    of: str
    request: str
    is_next: bool
    subscriptions: dict[str, ListedSubscription]


class CatalogueListed(Entry, frozen=True, kw_only=True):
    """All declarations of a Region's `lane` as another Region's table has them in the end."""

    region: str
    lane: str
    changes: tuple[ListedChange, ...]


OfDeployments = StackEnded | Retired | RegionTakenOut | CatalogueRead | CatalogueListed
