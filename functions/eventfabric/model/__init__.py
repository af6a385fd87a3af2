"""Pure values and decisions: no clock, no randomness, no I/O.

Outside this package the names below are imported from here; only its own modules import each other. `__all__` lists
them by what they are about. What few functions need is left out, so that the others start without it, and is imported
from its module: `finding`, `proof`, `backfill`.
"""

from eventfabric.model.bounds import next_count, operator_text
from eventfabric.model.circuit import Circuit, CircuitState
from eventfabric.model.commit import (
    CommitOutcome,
    Committed,
    Decided,
    RaceLost,
    SameItemTwice,
    Write,
    WriteRefused,
)
from eventfabric.model.cursor import START, Cursor, LaneKey, LaneState, digest_of
from eventfabric.model.decision import Decision
from eventfabric.model.doorbell import ANY_TAIL, Doorbell
from eventfabric.model.event import Event, EventFields, HeaderValue, check_event, exact, stored_time
from eventfabric.model.hybrid_clock import next_time, to_ms
from eventfabric.model.identity import (
    GENERATION_FIRST,
    BatchId,
    Chain,
    Generation,
    HybridTime,
    Lane,
    LaneIndex,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
    lane_index,
    parse_place,
    sequences_from,
    uuid7_prefix,
    uuid7_suffixes,
)
from eventfabric.model.marks import Mark, Marks, part_of
from eventfabric.model.owner import Owner, Standing
from eventfabric.model.parked import (
    REPLAYED,
    Dropped,
    Failure,
    Parked,
    ParkedChange,
    ParkedState,
    Place,
    Rest,
    Settled,
    after_changes,
    alone_at,
    event_parking_id,
    is_alone,
    key_parking_id,
    stands_behind_another,
)
from eventfabric.model.payload import (
    NO_DATA,
    Kind,
    Payload,
    canonical_json,
    check_depth,
    checked_json,
    encode_dicts,
    encode_json,
)
from eventfabric.model.record import (
    CHAIN_BYTES,
    EMPTY_TAIL,
    PIN_BYTES,
    UNKNOWN_CHAIN,
    Batch,
    Intervention,
    InterventionKind,
    Note,
    Recent,
    Record,
    SkippedBy,
    Tail,
    chain_of,
    is_pin,
    pin_of,
    record_at,
    skip_at,
)
from eventfabric.model.roster import DIGEST_BYTES, Roster, digest_of_id, packed_dead, unpacked_dead
from eventfabric.model.sightings import Sighting, Sightings
from eventfabric.model.start import AtSequence, AtTime, Start, parse_start
from eventfabric.model.step import StepKey, StepState
from eventfabric.model.subscription_filter import EVERYTHING, SubscriptionFilter

__all__ = [
    # Where an event stands, and when it was written.
    "Region",
    "StreamName",
    "SubscriptionName",
    "Generation",
    "GENERATION_FIRST",
    "LaneIndex",
    "Lane",
    "SequenceNumber",
    "parse_place",
    "lane_index",
    "sequences_from",
    "BatchId",
    "Chain",
    "HybridTime",
    "uuid7_prefix",
    "uuid7_suffixes",
    "next_time",
    "to_ms",
    # What is published, and who wants it.
    "Event",
    "EventFields",
    "HeaderValue",
    "check_event",
    "exact",
    "stored_time",
    "Payload",
    "Kind",
    "NO_DATA",
    "canonical_json",
    "check_depth",
    "checked_json",
    "encode_dicts",
    "encode_json",
    "SubscriptionFilter",
    "EVERYTHING",
    # The log.
    "Record",
    "Batch",
    "Note",
    "Tail",
    "EMPTY_TAIL",
    "UNKNOWN_CHAIN",
    "Recent",
    "CHAIN_BYTES",
    "PIN_BYTES",
    "record_at",
    "skip_at",
    "chain_of",
    "pin_of",
    "is_pin",
    "SkippedBy",
    "Intervention",
    "InterventionKind",
    "Doorbell",
    "ANY_TAIL",
    # How far a subscription came in a lane.
    "Cursor",
    "START",
    "LaneKey",
    "LaneState",
    "digest_of",
    "Start",
    "AtSequence",
    "AtTime",
    "parse_start",
    "Decision",
    "CommitOutcome",
    "Committed",
    "RaceLost",
    "WriteRefused",
    "SameItemTwice",
    "Write",
    "Decided",
    # What failed, and waits.
    "Parked",
    "ParkedState",
    "ParkedChange",
    "Place",
    "Rest",
    "Failure",
    "Dropped",
    "Settled",
    "REPLAYED",
    "after_changes",
    "stands_behind_another",
    "is_alone",
    "alone_at",
    "key_parking_id",
    "event_parking_id",
    "Roster",
    "DIGEST_BYTES",
    "digest_of_id",
    "packed_dead",
    "unpacked_dead",
    "StepKey",
    "StepState",
    # A subscription as a whole.
    "Circuit",
    "CircuitState",
    "Owner",
    "Standing",
    # What reconciliation remembers.
    "Mark",
    "Marks",
    "part_of",
    "Sighting",
    "Sightings",
    # Bounds.
    "next_count",
    "operator_text",
]
