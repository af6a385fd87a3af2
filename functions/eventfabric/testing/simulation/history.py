"""The history of a simulation: what happened, in order, as plain data that checkers read and files keep.

The contents of tables are taken from the tables' own changes, never from the answers that callers got.
"""

from typing import Any

import msgspec

from eventfabric.testing.simulation.history_entry import Entry
from eventfabric.testing.simulation.history_of_credits import OfCredits
from eventfabric.testing.simulation.history_of_deployments import OfDeployments
from eventfabric.testing.simulation.history_of_schemas import OfSchemas
from eventfabric.testing.simulation.plan import Plan


class _OfLane(Entry, frozen=True, kw_only=True):
    """Something that concerns a lane of a subscription, in a Region."""

    region: str
    subscription: str
    lane: str


class _OfEvent(Entry, frozen=True, kw_only=True):
    """Something that a handler of a subscription did for an event, in a Region."""

    region: str
    subscription: str
    id: str


class EventPlace(msgspec.Struct, frozen=True):
    """One event, and its place in the log."""

    id: str
    key: str
    lane: str
    sequence: int
    late: bool = False


class Asked(Entry, frozen=True, kw_only=True):
    """A producer began to publish events."""

    ids: tuple[str, ...]
    how: str


class Acknowledged(Entry, frozen=True, kw_only=True):
    """A producer got the receipt of an event."""

    id: str
    lane: str
    sequence: int


class Unacknowledged(Entry, frozen=True, kw_only=True):
    """A producer was told that events are not published, or (not `certain`) that this is unknown; or it crashed."""

    ids: tuple[str, ...]
    certain: bool
    error: str


class Appended(Entry, frozen=True, kw_only=True):
    """A record appeared in a Region's log. `copied`: from another Region; `time`: hybrid; `skipped`: lost events."""

    region: str
    lane: str
    sequence: int
    ids: tuple[str, ...]
    keys: tuple[str, ...]
    types: tuple[str, ...]
    chain: str
    batch: str
    note: str = ""
    copied: bool = False
    time: int = 0
    skipped: int = 0
    is_seal: bool = False


class Removed(Entry, frozen=True, kw_only=True):
    """A record disappeared from a Region's log."""

    region: str
    lane: str
    sequence: int
    count: int


class LaneRead(_OfLane, frozen=True, kw_only=True):
    """A function read a lane's state."""


class StandingRead(Entry, frozen=True, kw_only=True):
    """A process read a subscription's standing: its circuit, and who owns its lanes."""

    region: str
    subscription: str


class CursorStand(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cursor as it is stored. `low`: the first event that waits in a parked key, or -1; `granted`: to producers."""

    sequence: int
    version: int
    epoch: int = 0
    replay_until: int = 0
    began: int = 0
    attempting: bool = False
    crashes: int = 0
    low: int = -1
    granted: int = -1
    is_past_seal: bool = False
    has_begun: bool = False


class CursorMoved(Entry, frozen=True, kw_only=True):
    """A Region's cursor was written. `copied`: it came from another Region, to `region`; `writer` wrote it."""

    region: str
    writer: str
    subscription: str
    lane: str
    before: CursorStand | None
    after: CursorStand
    copied: bool = False


class ParkedStand(msgspec.Struct, frozen=True, omit_defaults=True):
    """A parked key as it is stored."""

    state: str
    waiting: tuple[int, ...]
    version: int
    attempts: int = 0
    crashes: int = 0
    error: str = ""
    attempting: bool = False
    rest: int = -1
    """Sequence from which further events wait that are not listed, up to the cursor; -1: there are none."""
    rest_key: str = ""
    """Key of these further events."""

    def holds(self, sequence: int, key: str) -> bool:
        """Tell if an event of a key waits in this parked key. The cursor must have passed the event."""
        return sequence in self.waiting or (key == self.rest_key and -1 < self.rest <= sequence)


class KeyChanged(Entry, frozen=True, kw_only=True):
    """A parked key was written (`after`), or is free (None). Comes before the cursor of the same commit."""

    region: str
    writer: str
    subscription: str
    lane: str
    id: str
    key: str
    before: ParkedStand | None
    after: ParkedStand | None
    copied: bool = False


class Settled(_OfLane, frozen=True, kw_only=True):
    """Somebody discarded or edited a dead letter."""

    sequence: int
    action: str
    key: str = ""
    dropped: tuple[int, ...] = ()
    """Sequences of the key that were discarded with it, besides all of the key in `since` <= sequence < `until`."""
    since: int = 0
    until: int = 0


class Decided(_OfLane, frozen=True, kw_only=True):
    """An operator was told that a dead letter is redriven, discarded or edited."""

    sequence: int
    action: str


class ProofBegan(Entry, frozen=True, kw_only=True):
    """An operator started the proof of a lane."""

    region: str
    lane: str


class Proved(_OfLane, frozen=True, kw_only=True):
    """An operator got the result of a lane's proof up to a cursor. `wrong`: the finding; empty: proven."""

    sequence: int
    wrong: str = ""


class CopyDecided(_OfLane, frozen=True, kw_only=True):
    """A Region learned which copy of a noted batch is delivered. It is noted beside the lane of the other copy.

    `copied`: another Region decided it.
    """

    batch: str
    noted_wins: bool
    copied: bool = False


class HandedOver(Entry, frozen=True, kw_only=True):
    """A handover appeared in a Region's ledger. `copied`: it came from the Region that wrote it."""

    region: str
    subscription: str
    origin: str
    to: str
    epoch: int
    since_ms: int = 0
    copied: bool = False


class CircuitSwitched(Entry, frozen=True, kw_only=True):
    """A circuit was written."""

    region: str
    subscription: str
    state: str
    probe_ms: int


class EffectMade(_OfEvent, frozen=True, kw_only=True):
    """A handler incremented the counter in a row of its own, in the transaction that commits the cursor."""

    count: int


class EffectCalled(_OfEvent, frozen=True, kw_only=True):
    """A project's handler did something outside the fabric, such as an AWS call. `id`: the event in its hands."""

    effect: str


class Charged(_OfEvent, frozen=True, kw_only=True):
    """A handler had its effect outside, in a step that has this key."""

    key: str


class Published(_OfEvent, frozen=True, kw_only=True):
    """An event appeared in the second stream that a handler had published for another, `id`."""

    published: str
    lane: str
    sequence: int


class AttemptBegan(Entry, frozen=True, kw_only=True):
    """A handler was given events."""

    region: str
    subscription: str
    events: tuple[EventPlace, ...]
    number: int
    replay: bool
    code: int


class AttemptEnded(Entry, frozen=True, kw_only=True):
    """A handler returned (`error` is empty) or raised. An attempt without this entry crashed."""

    region: str
    subscription: str
    events: tuple[EventPlace, ...]
    replay: bool
    error: str = ""


class RunEnded(Entry, frozen=True, kw_only=True):
    """An invocation ended by itself. `failed`: how many of its items come again."""

    function: str
    items: int
    failed: int


class Crashed(Entry, frozen=True, kw_only=True):
    """A process died, or its function `raised` an error of that name."""

    reason: str
    raised: str = ""


class Called(Entry, frozen=True, kw_only=True):
    """A call of a port met a fault."""

    call: str
    fault: str


class Happened(Entry, frozen=True, kw_only=True):
    """A planned happening took place: a Region lost, a link cut, a clock moved, an operator's action."""

    what: str
    about: str = ""
    outcome: str = "done"


class Tampered(Entry, frozen=True, kw_only=True):
    """Somebody changed stored data behind the fabric's back."""

    what: str
    region: str
    lane: str
    sequence: int


class Backfilled(Entry, frozen=True, kw_only=True):
    """A backfill into `region` ended. It had begun with the `backfill_begins` of the same actor."""

    region: str
    source: str
    state: str


class Found(Entry, frozen=True, kw_only=True):
    """Reconciliation reported a finding."""

    region: str
    lane: str
    finding: str
    subscription: str = ""
    sequence: int = 0
    repaired: bool = False
    alarm: bool = False


class Gauged(Entry, frozen=True, kw_only=True):
    """A pass of reconciliation reported a gauge of a subscription."""

    region: str
    subscription: str
    metric: str
    value: float


class Healed(Entry, frozen=True, kw_only=True):
    """From now on nothing fails, nobody publishes, and everything must drain."""


class LaneStand(msgspec.Struct, frozen=True):
    """The end of a lane in a Region's log, and the number of its records."""

    region: str
    lane: str
    sequence: int
    chain: str
    records: int


class Ended(Entry, frozen=True, kw_only=True):
    """The simulation is over. `quiet`: it came to rest. `waiting`: number of messages in queues and timers."""

    steps: int
    quiet: bool
    why: str
    waiting: int
    ends: tuple[LaneStand, ...]
    circuits: dict[str, str]


_Outside = Asked | Acknowledged | Unacknowledged | EffectMade | EffectCalled | Charged | Published
_OfTables = Appended | Removed | CursorMoved | KeyChanged | Settled | CopyDecided | HandedOver
_OfRuns = (
    LaneRead | StandingRead | AttemptBegan | AttemptEnded | RunEnded | CircuitSwitched | Crashed | Called
)
_OfOperators = Decided | ProofBegan | Proved | Happened | Tampered | Backfilled | Found | Gauged
AnyEntry = (
    _Outside | OfCredits | OfDeployments | OfSchemas | _OfTables | _OfRuns | _OfOperators | Healed | Ended
)


class History(msgspec.Struct):
    """One run: its plan, and what happened. Entries are in the order in which they took effect."""

    plan: Plan
    entries: list[AnyEntry]

    def encode(self) -> bytes:
        """Return the plan as one line of JSON, then one line for each entry."""
        encode = msgspec.json.encode
        return b"\n".join([encode(self.plan), *(encode(entry) for entry in self.entries)]) + b"\n"

    @classmethod
    def decode(cls, text: bytes) -> "History":
        """Return the history that `encode` wrote. msgspec.MsgspecError for anything else."""
        first, *rest = text.splitlines()
        kinds: Any = AnyEntry
        return cls(
            msgspec.json.decode(first, type=Plan), [msgspec.json.decode(line, type=kinds) for line in rest]
        )
