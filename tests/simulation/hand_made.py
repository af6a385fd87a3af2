"""Histories made by hand, entry by entry, for checkers to be tested on."""

from typing import Any

from eventfabric.testing.simulation import history as h
from eventfabric.testing.simulation.history import (
    AnyEntry,
    CursorStand,
    EventPlace,
    History,
    LaneStand,
    ParkedStand,
)
from eventfabric.testing.simulation.plan import Happening, Plan, PlannedSubscription

HOME, AWAY = "us-east-1", "eu-west-1"
LANE = f"{HOME}/0.0"
SUB = "billing"


def plan_of(
    *subscriptions: PlannedSubscription, happenings: tuple[Happening, ...] = (), **others: Any
) -> Plan:
    """Two Regions, one lane each, one subscription unless others are named."""
    fields: dict[str, Any] = {
        "seed": 0,
        "profile": "hand",
        "regions": (HOME, AWAY),
        "lanes": 1,
        "durability": "replicated",
        "subscriptions": subscriptions or (PlannedSubscription(SUB),),
        "producers": (HOME,),
        "publishes": (),
        "happenings": happenings,
        "rates": {},
        **others,
    }
    return Plan(**fields)


class Hand:
    """Writes a history; each call is an entry, a second after the one before unless `after_s` says otherwise."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.plan = plan or plan_of()
        self.entries: list[AnyEntry] = []
        self._ms = 0
        self.version: dict[str, int] = {}

    @property
    def history(self) -> History:
        """Return the history that was written."""
        return History(self.plan, self.entries)

    def tell(self, kind: Any, *, actor: str = "deliver 1", after_s: float = 1, **about: Any) -> "Hand":
        """Any entry."""
        self._ms += int(1000 * after_s)
        self.entries.append(kind(at_ms=self._ms, actor=actor, **about))
        return self

    def appended(
        self,
        id_: str,
        sequence: int,
        *,
        key: str = "k",
        lane: str = LANE,
        region: str = HOME,
        batch: str = "",
        note: str = "",
        chain: str = "",
        type_: str = "placed",
    ) -> "Hand":
        """A record of one event, in its origin or (another `region`) as a copy."""
        return self.tell(
            h.Appended,
            region=region,
            lane=lane,
            sequence=sequence,
            ids=(id_,),
            keys=(key,),
            types=(type_,),
            chain=chain or f"c{sequence}",
            batch=batch or f"b{id_}",
            note=note,
            copied=not lane.startswith(region),
        )

    def acknowledged(self, id_: str, sequence: int) -> "Hand":
        """A receipt."""
        return self.tell(h.Acknowledged, actor="producer", id=id_, lane=LANE, sequence=sequence)

    def read(self, *, actor: str = "deliver 1", lane: str = LANE, region: str = HOME) -> "Hand":
        """A function read its standing and then the lane."""
        self.tell(h.StandingRead, actor=actor, region=region, subscription=SUB)
        return self.tell(h.LaneRead, actor=actor, region=region, subscription=SUB, lane=lane)

    def began(
        self,
        id_: str,
        sequence: int,
        *,
        actor: str = "deliver 1",
        key: str = "k",
        replay: bool = False,
        region: str = HOME,
        lane: str = LANE,
        after_s: float = 1,
    ) -> "Hand":
        """An attempt began."""
        return self.tell(
            h.AttemptBegan,
            actor=actor,
            region=region,
            subscription=SUB,
            number=1,
            replay=replay,
            code=0,
            events=(EventPlace(id_, key, lane, sequence),),
            after_s=after_s,
        )

    def tried(self, id_: str, sequence: int, *, error: str = "", **about: Any) -> "Hand":
        """An attempt began and ended."""
        self.began(id_, sequence, **about)
        begun = self.entries[-1]
        assert isinstance(begun, h.AttemptBegan)
        return self.tell(
            h.AttemptEnded,
            actor=begun.actor,
            region=begun.region,
            subscription=SUB,
            events=begun.events,
            replay=begun.replay,
            error=error,
        )

    def moved(
        self,
        before: int | None,
        after: int,
        *,
        region: str = HOME,
        actor: str = "deliver 1",
        epoch: int = 0,
        epoch_before: int = 0,
        skips: int = 0,
        replay_until: int = 0,
        low: int = -1,
        copied_to: str = "",
        lane: str = LANE,
        began: int = 0,
        is_past_seal: bool = False,
        after_s: float = 1,
    ) -> "Hand":
        """A cursor was written, at the next version."""
        version = self.version.get(region, 0)
        if not copied_to:
            self.version[region] = version + 1 + skips
        stand = CursorStand(
            after,
            self.version.get(region, 1),
            epoch=epoch,
            replay_until=replay_until,
            low=low,
            began=began,
            is_past_seal=is_past_seal,
        )
        first = None if before is None else CursorStand(before, version, epoch=epoch_before)
        return self.tell(
            h.CursorMoved,
            actor=actor,
            region=copied_to or region,
            writer=region,
            subscription=SUB,
            lane=lane,
            before=first,
            after=stand,
            copied=bool(copied_to),
            after_s=after_s,
        )

    def parked(
        self,
        *waiting: int,
        state: str = "retrying",
        key: str = "k",
        was: ParkedStand | None = None,
        error: str = "",
        attempts: int = 0,
        crashes: int = 0,
        after_s: float = 1,
    ) -> "Hand":
        """A parked key was written; without events it is free."""
        version = (was.version if was else 0) + 1
        after = ParkedStand(state, waiting, version, attempts, crashes, error) if waiting else None
        return self.tell(
            h.KeyChanged,
            region=HOME,
            writer=HOME,
            subscription=SUB,
            lane=LANE,
            id=f"k/{key}",
            key=key,
            before=was,
            after=after,
            after_s=after_s,
        )

    def ended(self, *ends: LaneStand, quiet: bool = True, waiting: int = 0) -> History:
        """It is over."""
        self.tell(
            h.Ended,
            actor="world",
            steps=1,
            quiet=quiet,
            why="" if quiet else "too many steps",
            waiting=waiting,
            ends=ends,
            circuits={},
        )
        return self.history
