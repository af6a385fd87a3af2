"""Marks in a history's picture: the symbol, short label and full text of each kind of entry."""

from typing import Final

import msgspec

from eventfabric.testing.simulation import (
    history,
    history_of_credits,
    history_of_deployments,
    history_of_schemas,
)
from eventfabric.testing.simulation.history import AnyEntry
from eventfabric.testing.simulation.history_entry import Entry
from eventfabric.testing.simulation.schedule import START_MS


class Symbol(msgspec.Struct, frozen=True):
    """A mark. `shape`: an SVG path around 0,0, of about 12 by 12; `tone`: the classes that colour it."""

    name: str
    meaning: str
    shape: str
    tone: str
    is_slight: bool = False
    """True for frequent marks of little importance; they take less room."""


_SQUARE: Final = "M-4,-4H4V4H-4Z"
_DIAMOND: Final = "M0,-5L5,0L0,5L-5,0Z"
_CIRCLE: Final = "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0"
_BARS: Final = "M-4,-5h3v10h-3zM1,-5h3v10h-3z"
_OCTAGON: Final = "M-2,-5H2L5,-2V2L2,5H-2L-5,2V-2Z"
_WARNING: Final = "M0,-6L6,5H-6ZM0,-2V1M0,3V3.5"
_PENTAGON: Final = "M0,-5L5,-1L3,5H-3L-5,-1Z"
_TICK: Final = "M0,-4V4"

_ALL: Final = (
    Symbol("asked", "publish begins", "M-4,-5L5,0L-4,5Z", "publish hollow"),
    Symbol("acknowledged", "receipt", _CIRCLE, "good"),
    Symbol("unacknowledged", "no receipt", _CIRCLE + "M-3,-3L3,3M-3,3L3,-3", "warn hollow"),
    Symbol("appended", "appended", _SQUARE, "publish"),
    Symbol("copied", "copied to a Region", _SQUARE, "publish hollow"),
    Symbol("removed", "record removed", _SQUARE + "M-6,6L6,-6", "quiet hollow"),
    Symbol("read", "state read", _TICK, "quiet", is_slight=True),
    Symbol("run", "run ended", "M0,-2V2", "quiet", is_slight=True),
    Symbol("run_failed", "run ended, items come again", _TICK, "warn"),
    Symbol("commit", "cursor committed", _DIAMOND, "commit"),
    Symbol("commit_copied", "cursor copied", "M0,-3L3,0L0,3L-3,0Z", "commit hollow", is_slight=True),
    Symbol("granted", "producers granted more", "M-5,3L0,-4L5,3", "commit hollow"),
    Symbol("grant_copied", "grant copied", "M-3,2L0,-2L3,2", "commit hollow", is_slight=True),
    Symbol("parked", "key parked", _BARS, "warn"),
    Symbol("freed", "key free", _BARS, "good hollow"),
    Symbol("dead", "key dead", _OCTAGON, "bad"),
    Symbol("key_copied", "key's state copied", "M-3,-3h2v6h-2zM1,-3h2v6h-2z", "quiet hollow", is_slight=True),
    Symbol("effect", "handler's effect", "M-1.5,-5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5z", "good"),
    Symbol("handled", "attempt handled", _CIRCLE, "good hollow", is_slight=True),
    Symbol("raised", "attempt raised", _CIRCLE + "M-3,3L3,-3", "bad hollow"),
    Symbol("attempt", "attempt begins", "M-2,-5V5M-2,-5H2M-2,5H2", "publish hollow"),
    Symbol("crashed", "process died", "M-5,-5L5,5M-5,5L5,-5", "bad thick"),
    Symbol("fault", "fault of a call", "M1,-6L-4,1H0L-1,6L4,-1H0Z", "warn"),
    Symbol("bell", "doorbell's fault", "M-5,3H5L3,1V-2A3,3 0 0 0 -3,-2V1ZM-1.5,5.5h3", "warn"),
    Symbol("happened", "happening, operator", "M-4,6V-6L6,-3L-4,0", "deed"),
    Symbol("tampered", "tampering", "M-5,0L-2.5,-5H2.5L5,0L2.5,5H-2.5Z", "bad hollow"),
    Symbol("handover", "handover", "M-6,-2.5H0V-6L6,0L0,6V2.5H-6Z", "deed"),
    Symbol("handover_copied", "handover copied", "M-4,-2H0V-4L4,0L0,4V2H-4Z", "deed hollow"),
    Symbol("circuit_open", "circuit open", _CIRCLE + "M-6,6L6,-6", "bad hollow thick"),
    Symbol("circuit_closed", "circuit closed", _CIRCLE + "M-7,0H-4M4,0H7", "good hollow"),
    Symbol("circuit_paused", "circuit paused", _CIRCLE + "M-1.5,-2V2M1.5,-2V2", "deed hollow"),
    Symbol("settled", "dead letter settled", _PENTAGON, "deed"),
    Symbol("decided", "copy decided", _PENTAGON, "deed hollow"),
    Symbol("backfilled", "backfilled", "M-5,-5L0,0L-5,5M0,-5L5,0L0,5", "deed hollow"),
    Symbol("finding", "finding", _WARNING, "warn hollow"),
    Symbol("repaired", "finding, repaired", _WARNING, "good hollow"),
    Symbol("alarm", "finding, alarm", _WARNING, "bad hollow"),
    Symbol("healed", "faults end", "M0,-6V6M-3,-3H3", "good thick"),
    Symbol("ended", "end", "M-2,-6V6M2,-6V6", "quiet thick"),
    Symbol("other", "something else", "M-2,-2H2V2H-2Z", "quiet"),
)
SYMBOLS: Final = {symbol.name: symbol for symbol in _ALL}
_PLAIN: Final[dict[type[Entry], str]] = {
    history.Asked: "asked",
    history.Acknowledged: "acknowledged",
    history.Unacknowledged: "unacknowledged",
    history.Removed: "removed",
    history.LaneRead: "read",
    history.StandingRead: "read",
    history.Settled: "settled",
    history.Decided: "happened",
    history.ProofBegan: "read",
    history.Proved: "happened",
    history.CopyDecided: "decided",
    history.EffectMade: "effect",
    history.EffectCalled: "effect",
    history.Charged: "effect",
    history.Published: "effect",
    history.AttemptBegan: "attempt",
    history.Crashed: "crashed",
    history.Happened: "happened",
    history.Tampered: "tampered",
    history.Backfilled: "backfilled",
    history.Healed: "healed",
    history.Ended: "ended",
    history.Gauged: "read",
    history_of_credits.ProducerBegan: "happened",
    history_of_credits.GatesDeployed: "happened",
    history_of_credits.CreditsRead: "read",
    history_of_credits.HeldBack: "unacknowledged",
    history_of_credits.Drained: "read",
    history_of_credits.GivenUp: "unacknowledged",
    history_of_deployments.StackEnded: "happened",
    history_of_deployments.Retired: "happened",
    history_of_deployments.RegionTakenOut: "happened",
    history_of_deployments.CatalogueRead: "read",
    history_of_deployments.CatalogueListed: "read",
    history_of_schemas.SchemaRegistered: "happened",
    history_of_schemas.SchemasAsked: "happened",
    history_of_schemas.SchemasPut: "read",
    history_of_schemas.SchemaLookedUp: "read",
    history_of_schemas.SchemasListed: "read",
    history_of_schemas.EventsOffered: "happened",
    history_of_schemas.EventsListed: "read",
}


_BY_FIELD: Final[dict[type[Entry], tuple[str, str, str]]] = {
    history.Appended: ("copied", "copied", "appended"),
    history.CursorMoved: ("copied", "commit_copied", "commit"),
    history.HandedOver: ("copied", "handover_copied", "handover"),
    history_of_credits.Granted: ("copied", "grant_copied", "granted"),
    history.AttemptEnded: ("error", "raised", "handled"),
    history.RunEnded: ("failed", "run_failed", "run"),
}
"""Entries with two symbols: a field, the symbol if that is true or not empty, and the symbol otherwise."""
_LABELS: Final[dict[type[Entry], str]] = {
    history.KeyChanged: "key",
    history.Tampered: "what",
    history.Found: "finding",
    history.Called: "fault",
    history.EffectCalled: "effect",
    history.Crashed: "reason",
}
"""Fields that are labels as they are."""


def symbol_of(entry: AnyEntry) -> Symbol:
    """Return the symbol of an entry."""
    return SYMBOLS.get(_name(entry), SYMBOLS["other"])


def _name(entry: AnyEntry) -> str:
    if type(entry) in _BY_FIELD:
        field, name, otherwise = _BY_FIELD[type(entry)]
        return name if getattr(entry, field) else otherwise
    match entry:
        case history.KeyChanged():
            return _key_name(entry)
        case history.CircuitSwitched():
            return f"circuit_{entry.state}"
        case history.Called():
            return "bell" if entry.call.startswith("doorbells.") else "fault"
        case history.Found():
            return "alarm" if entry.alarm else "repaired" if entry.repaired else "finding"
        case _:
            return _PLAIN.get(type(entry), "other")


def _key_name(entry: history.KeyChanged) -> str:
    if entry.copied:
        return "key_copied"
    if entry.after is None:
        return "freed"
    return "dead" if entry.after.state == "dead" else "parked"


def label_of(entry: AnyEntry) -> str:
    """Return the text to write beside a mark if there is room; empty if the mark is enough."""
    if getattr(entry, "copied", False):
        return ""
    match entry:
        case history.Asked():
            return " ".join(entry.ids)
        case history.Appended():
            return f"{entry.sequence}: {' '.join(entry.ids)}"
        case history.AttemptBegan():
            return " ".join(place.id for place in entry.events)
        case history.CursorMoved():
            return f"→{entry.after.sequence}"
        case history_of_credits.Granted():
            return f"<{entry.grant}"
        case history.CircuitSwitched():
            return f"{entry.subscription} {entry.state}"
        case history.Happened():
            return entry.what if entry.outcome == "done" else f"{entry.what}: {entry.outcome}"
        case _:
            field = _LABELS.get(type(entry))
            return str(getattr(entry, field)) if field else ""


def text_of(entry: AnyEntry, number: int) -> str:
    """Return an entry in full: a line for its time and actor, then one for each field that says something."""
    about = msgspec.structs.asdict(entry)
    about.pop("at_ms"), about.pop("actor")
    head = f"{time_of(entry.at_ms)}  {type(entry).__name__}  by {entry.actor}  (entry {number})"
    return "\n".join(
        [
            head,
            *(
                f"{name}: {_field_text(value)}"
                for name, value in about.items()
                if value not in ("", (), None)
            ),
        ]
    )


def _field_text(value: object) -> str:
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.asdict(value)
        return ", ".join(f"{name} {_field_text(field)}" for name, field in fields.items())
    if isinstance(value, tuple):
        return " | ".join(_field_text(element) for element in value)
    return str(value)


def time_of(at_ms: int) -> str:
    """Return the time since the simulation began: in seconds, and from a minute on also in minutes, hours and days."""
    seconds, ms = divmod(at_ms - START_MS, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours}:{minutes:02}:{seconds:02}"
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02}"
    if minutes:
        return f"{minutes}:{seconds:02}.{ms:03}"
    return f"{seconds}.{ms:03} s"
