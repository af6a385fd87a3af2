"""Catalogue of everything that is stored or sent: who writes it, if it changes, its layout, its lifetime.

record    table `<fabric>-<stream>`; written by the origin's publishers, and by backfill with the same bytes; never
          changed; kept, or until its expiry `x`. pk `<origin>/<generation>.<index>`, sk first sequence.
skip      table `<fabric>-<stream>`; written by an operator in the lane's origin in place of records that are lost for
          good, so that the lane goes on past them; never changed; kept as long as the next record. pk, sk as a record.
seal      table `<fabric>-<stream>`; written by an operator who splits a lane, in the lane's origin, as its last record;
          never changed; kept. pk, sk as a record.
declared  table `<fabric>-<stream>`; a record, written by deployments of a Region and by operators, of what is deployed
          there; never changed; kept. pk `@<region>/<stream>`, sk as a record.
place     table `<fabric>-<stream>`; written by the origin's reconciliation once a lane's newest record has lived for
          half of its time: sequence, chain, time and expiry with which it goes on; kept. pk the lane's, sk -1.
aside     table `<fabric>-<stream>`; written by an operator who sets aside, restores or skips, in the lane's origin;
          kept, or until the expiry of an item set aside. pk `aside/<lane>`, sk the sequence plus an offset by kind.
cursor    table `<fabric>-ledger`; written by one Region's deliver function, version by version; kept.
          pk `<stream>/<subscription>/<origin>/<lane>`, sk `<region>/cursor`.
once      table `<fabric>-<stream>`; written with the record of an event that is published once; never changed; kept as
          long as that record. pk `once/<origin>/<digest of the event's source and id>`, sk 0.
parked    table `<fabric>-ledger`; written with the cursor by the same function, and by whoever redrives; kept until the
          key is free. pk as the cursor's, sk `~parked/<region>/<digest of the parking id>`: after everything else of
          the lane, so that the rest can be read without the parked keys.
won       table `<fabric>-ledger`; written by whoever comes to a record with a note, beside the state of the lane where
          its batch may also stand: which copy is delivered; never changed; kept 90 days longer than its events. pk as
          the cursor's, sk `<region>/won/<batch id in hex>`, with `/<lane>` added if the noted copy stands in a lane
          that was split off: then the decision is about what that lane holds of the batch.
credit    table `<fabric>-ledger`; written by a Region's deliver function, attribute by attribute: `<lane number modulo
          CREDIT_SLICE_LANES>` is the sequence up to which producers may append to that lane; kept until the
          subscription is retired.
          pk `<stream>/<subscription>/credits/<origin>/<part of the lanes>`, sk `<region>/<slice of the lanes>`.
circuit   table `<fabric>-ledger`; written when a breaker changes it, or by whoever pauses; kept.
          pk `<stream>/<subscription>`, sk `<region>/circuit`.
owner     table `<fabric>-ledger`; written by the Region that hands lanes over, mostly to itself; kept.
          pk `<stream>/<subscription>`, sk `<region>/owner/<origin>`.
marks     table `<fabric>-ledger`; written by a Region's reconciliation if they changed since its last pass; kept.
          pk `<stream>/marks/<origin>`, sk `<region>/marks/<slice of lanes>` for the log, with `/<subscription>` added
          for the cursors of a subscription.
progress  table `<fabric>-ledger`; written by a Region's reconciliation if a pass takes several invocations; kept.
          pk `<stream>/marks/<region>`, sk `<region>/pass`.
start     table `<fabric>-ledger`; written by the first delivery of a subscription that begins with the latest; never
          changed; kept. pk `<stream>/<subscription>`, sk `<region>/start`.
seen      table `<fabric>-ledger`; written by a Region's reconciliation, once a pass; kept.
          pk `<stream>/<subscription>`, sk `<region>/seen`.
settled   table `<fabric>-ledger`; written by whoever discards or edits a dead letter; kept, or a year longer than the
          stream's events. pk the cursor's with `/settled` added, sk `<region>/<sequence>`.
step      table `<fabric>-ledger`; written by an attempt before and after an outside effect, and by whoever settles it;
          kept a year longer than its event. sk `<region>/step`,
          pk `<stream>/<subscription>/step/<name>/<digest of the source>/<event id>`.
backfill  table `<fabric>-ledger`; written by whoever begins, plans, cancels or ends a backfill into a Region; kept.
          pk `backfill`, sk `<region>/<id>`.
slice     table `<fabric>-ledger`; written when a backfill plans it, and about once a page by the worker that copies it;
          kept. pk `backfill/<id>/slices`, sk `<region>/<lane>/<start>`.
timer     queue `<fabric>-timers`, shared by all subscriptions; sent when a key is parked; a doorbell that comes later.
doorbell  queue `<fabric>-<subscription>.fifo`; sent by the relay and by whoever rings again; never changed; 4 days.
          Group: the lane. Deduplication id: lane and tail.

No item is ever written by two Regions: the Region that writes it is part of its key. `<subscription>` in keys of the
ledger is the name of the subscription's state: its own name, and behind that its incarnation, as `billing#2`.
"""

from hashlib import blake2b
from typing import Any, Final

from eventfabric import limits
from eventfabric.model import (
    DECLARES,
    BatchId,
    Generation,
    Lane,
    LaneIndex,
    LaneKey,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
    digest_of_id,
)

Item = dict[str, dict[str, Any]]
"""A DynamoDB item in the service's own JSON: attribute name to {type: value}."""

PK: Final = "pk"
SK: Final = "sk"
EXPIRY: Final = "expiration"
"""Attribute of the expiry in seconds since 1970, by which the ledger's time to live goes."""
PLACE_SEQUENCE: Final = -1
_ONCE: Final = "once/"
_ASIDE: Final = "aside/"
_CURSOR: Final = "cursor"
_PARKED: Final = "parked/"
_WON: Final = "won/"
_CIRCUIT: Final = "circuit"
_STEP: Final = "step"
_START: Final = "start"
_MARKS: Final = "marks"
_SEEN: Final = "seen"
_PASS: Final = "pass"
_OWNER: Final = "owner/"
_BACKFILL: Final = "backfill"
_CREDITS: Final = "credits"
_DIGEST_BYTES: Final = 16
CREDIT_SLICE_LANES: Final = 64
"""Lanes of one credit item: few enough that each write of it is one write unit."""
_CREDIT_PART_LANES: Final = 1024
"""Lanes of one partition of credit items: few enough for a partition's writes, many enough to be read by one query."""
BEFORE_PARKED: Final = "~"
"""Bound of sort keys: those of a lane that are smaller belong to anything but parked keys."""


def record_key(lane: Lane, sequence: int) -> Item:
    """Return the key of the record that starts at `sequence`."""
    return {PK: {"S": str(lane)}, SK: {"N": str(sequence)}}


def place_key(lane: Lane) -> Item:
    """Return the key of the note of where a lane goes on. It sorts before every record."""
    # In the lane's own partition: a read of its newest records finds it for nothing where none is left.
    return record_key(lane, PLACE_SEQUENCE)


def is_place(item: Item) -> bool:
    """Tell if an item of a log is a lane's place, and not a record."""
    return item.get(SK) == {"N": str(PLACE_SEQUENCE)}


def interventions_of(lane: Lane) -> dict[str, Any]:
    """Return the partition key of all interventions of operators in a lane."""
    return {"S": f"{_ASIDE}{lane}"}


def intervention_key(lane: Lane, number: int) -> Item:
    """Return the key of one intervention of an operator in a lane."""
    return {PK: interventions_of(lane), SK: {"N": str(number)}}


def is_intervention(item: Item) -> bool:
    """Tell if an item of a log is an operator's intervention, and not a record."""
    return str(item[PK]["S"]).startswith(_ASIDE)


def cursor_key(key: LaneKey, region: Region) -> Item:
    """Return the key of a Region's cursor."""
    return {PK: {"S": str(key)}, SK: {"S": f"{region}/{_CURSOR}"}}


def parked_key(key: LaneKey, region: Region, parking_id: str) -> Item:
    """Return the key of a Region's parked key: with a digest, since a key may be as long as a whole sort key."""
    return parked_key_by_digest(key, region, digest_of_id(parking_id))


def parked_key_by_digest(key: LaneKey, region: Region, digest: bytes) -> Item:
    """Return the key of a Region's parked key by its digest."""
    return {PK: {"S": str(key)}, SK: {"S": f"{BEFORE_PARKED}{_PARKED}{region}/{digest.hex()}"}}


def won_key(key: LaneKey, region: Region, batch_id: BatchId, part: Lane | None) -> Item:
    """Return the key of a Region's decision about a batch that may stand in that lane, or about a part of it."""
    of_part = "" if part is None else f"/{part}"
    return {PK: {"S": str(key)}, SK: {"S": f"{region}/{_WON}{batch_id.hex()}{of_part}"}}


def standing_key(stream: StreamName, subscription: SubscriptionName) -> dict[str, Any]:
    """Return the partition key of all that is known of a subscription as a whole: circuits and handovers."""
    return {"S": f"{stream}/{subscription}"}


def circuit_key(stream: StreamName, subscription: SubscriptionName, region: Region) -> Item:
    """Return the key of a subscription's circuit in a Region."""
    return {PK: {"S": f"{stream}/{subscription}"}, SK: {"S": f"{region}/{_CIRCUIT}"}}


def owner_key(stream: StreamName, subscription: SubscriptionName, region: Region, origin: Region) -> Item:
    """Return the key of a handover of an origin's lanes that a Region wrote."""
    # Beside the circuit: one query brings all of a subscription's standing, so ownership costs no read.
    return {PK: {"S": f"{stream}/{subscription}"}, SK: {"S": f"{region}/{_OWNER}{origin}"}}


def start_key(stream: StreamName, subscription: SubscriptionName, region: Region) -> Item:
    """Return the key of the time with which a subscription's lanes begin in a Region."""
    return {PK: standing_key(stream, subscription), SK: {"S": f"{region}/{_START}"}}


def credit_part(lane: Lane) -> int:
    """Return the number of the partition that holds what a subscription grants in a lane."""
    return lane.number // _CREDIT_PART_LANES


def credit_parts(lanes: int, *, may_be_split: bool) -> list[int]:
    """Return the numbers of the partitions that may hold what a subscription grants in the lanes of an origin.

    Those of the lanes with which the stream began; if they may be split, also those of each generation they can have.
    """
    parts, generation = list[int](), 0
    while lanes << generation <= limits.LANES_MAX and (may_be_split or not generation):
        first = generation * limits.LANES_MAX // _CREDIT_PART_LANES
        parts += range(first, first - (-(lanes << generation) // _CREDIT_PART_LANES))
        generation += 1
    return parts


def credits_of(
    stream: StreamName, subscription: SubscriptionName, origin: Region, part: int
) -> dict[str, Any]:
    """Return the partition key of a part of what a subscription grants in an origin's lanes, in all Regions."""
    # Five parts: no lane, subscription or step has as many.
    return {"S": f"{stream}/{subscription}/{_CREDITS}/{origin}/{part}"}


def credit_key(key: LaneKey, region: Region) -> Item:
    """Return the key of the item in which a Region's functions grant producers of a lane how far they may append."""
    lane = key.lane
    partition = credits_of(key.stream, key.subscription, lane.origin, credit_part(lane))
    return {PK: partition, SK: {"S": f"{region}/{lane.number // CREDIT_SLICE_LANES}"}}


def credits_prefix(region: Region) -> str:
    """Return the beginning of the sort keys of what one Region grants."""
    return f"{region}/"


def marks_of(stream: StreamName, origin: Region) -> dict[str, Any]:
    """Return the partition key of all marks of an origin's lanes."""
    return {"S": f"{stream}/{_MARKS}/{origin}"}


def marks_prefix(region: Region) -> str:
    """Return the beginning of the sort keys of one Region's marks."""
    return f"{region}/{_MARKS}/"


def marks_key(stream: StreamName, origin: Region, region: Region, part: str) -> Item:
    """Return the key of one part of a Region's marks of an origin's lanes."""
    return {PK: marks_of(stream, origin), SK: {"S": f"{marks_prefix(region)}{part}"}}


def part_of_marks(item: Item) -> str:
    """Return the part of the marks that an item holds."""
    return str(item[SK]["S"]).partition(f"/{_MARKS}/")[2]


def progress_key(stream: StreamName, region: Region) -> Item:
    """Return the key of the progress of a Region's pass over a stream."""
    # Not under the prefix of marks: a version that knows no progress reads everything there as marks.
    return {PK: marks_of(stream, region), SK: {"S": f"{region}/{_PASS}"}}


def settled_of(key: LaneKey) -> dict[str, Any]:
    """Return the partition key of all decisions about a lane's dead letters."""
    return {"S": f"{key}/settled"}


def settled_key(key: LaneKey, region: Region, sequence: SequenceNumber) -> Item:
    """Return the key of a decision about a dead letter. It sorts by sequence."""
    # Padded to 20 digits: sort keys are compared as text.
    return {PK: settled_of(key), SK: {"S": f"{region}/{sequence:020d}"}}


def step_key(key: str, region: Region) -> Item:
    """Return the key of a Region's record of a step, by the text of its StepKey."""
    # A partition for each step: it has a write limit of its own, and nothing ever has to list steps.
    return {PK: {"S": key}, SK: {"S": f"{region}/{_STEP}"}}


def backfills_key() -> dict[str, Any]:
    """Return the partition key of all backfills."""
    return {"S": _BACKFILL}


def backfill_key(backfill_id: str, region: Region) -> Item:
    """Return the key of a backfill into a Region; in the order of ids."""
    return {PK: backfills_key(), SK: {"S": f"{region}/{backfill_id}"}}


def slices_key(backfill_id: str) -> dict[str, Any]:
    """Return the partition key of a backfill's slices. No lane, subscription or step has three parts like it."""
    return {"S": f"{_BACKFILL}/{backfill_id}/slices"}


def slice_key(backfill_id: str, region: Region, lane: Lane, start: SequenceNumber) -> Item:
    """Return the key of a slice. Slices sort lane by lane, and by sequence within a lane."""
    return {PK: slices_key(backfill_id), SK: {"S": f"{region}/{lane}/{start:020d}"}}


def once_key(origin: Region, source: str, event_id: str) -> Item:
    """Return the key of the note that an event was published once."""
    length = len(source.encode()).to_bytes(4, "big")  # first, so that no two pairs share their bytes
    digest = blake2b(length + source.encode() + event_id.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    return {PK: {"S": f"{_ONCE}{origin}/{digest}"}, SK: {"N": "0"}}


def is_once(item: Item) -> bool:
    """Tell if an item of a log is the note that an event was published once, and not a record."""
    return str(item[PK]["S"]).startswith(_ONCE)


def region_of_log_item(item: Item) -> Region:
    """Return the Region that writes an item of a log."""
    lane = item[PK]["S"].removeprefix(_ONCE).removeprefix(_ASIDE).removeprefix(DECLARES)
    return Region(lane.partition("/")[0])


def is_declaration(item: Item) -> bool:
    """Tell if an item of a log's table is in a lane of declarations."""
    return str(item[PK]["S"]).startswith(DECLARES)


def is_record(item: Item) -> bool:
    """Tell if an item of a log's table is a record of the stream's events, and nothing else."""
    return not (is_once(item) or is_intervention(item) or is_place(item) or is_declaration(item))


def lane_key_of(item: Item) -> LaneKey:
    """Parse the lane and subscription of a ledger item's key. ValueError or KeyError if there is none."""
    stream, subscription, origin, local = item[PK]["S"].split("/")
    generation, _, index = local.partition(".")
    lane = Lane(Region(origin), Generation(int(generation)), LaneIndex(int(index)))
    return LaneKey(StreamName(stream), SubscriptionName(subscription), lane)


def ledger_region_and_kind(item: Item) -> tuple[Region, str]:
    """Return the Region that writes a ledger item, and the item's kind (`cursor`, `parked/...`, `circuit`)."""
    sort_key: str = item[SK]["S"]
    # In the keys of parked keys the Region comes second, so that all of them sort after everything else.
    if sort_key.startswith(f"{BEFORE_PARKED}{_PARKED}"):
        region, _, digest = sort_key.removeprefix(f"{BEFORE_PARKED}{_PARKED}").partition("/")
        return Region(region), f"{_PARKED}{digest}"
    region, _, kind = sort_key.partition("/")
    return Region(region), kind


def is_cursor(kind: str) -> bool:
    """Tell if a ledger item of this kind is a cursor."""
    return kind == _CURSOR


def seen_item(stream: StreamName, subscription: SubscriptionName, region: Region, now_ms: int) -> Item:
    """Return the note that a Region asked the others who owns what, at that time; 0: it is to ask and look anew."""
    return {PK: standing_key(stream, subscription), SK: {"S": f"{region}/{_SEEN}"}, "u": {"N": str(now_ms)}}


def is_seen(kind: str) -> bool:
    """Tell if a ledger item of this kind is such a note."""
    return kind == _SEEN


def is_won(kind: str) -> bool:
    """Tell if a ledger item of this kind is a decision about a noted batch."""
    return kind.startswith(_WON)


def is_circuit(kind: str) -> bool:
    """Tell if a ledger item of this kind is a circuit."""
    return kind == _CIRCUIT


def is_owner(kind: str) -> bool:
    """Tell if a ledger item of this kind is a handover."""
    return kind.startswith(_OWNER)


def origin_of(kind: str) -> Region:
    """Return the origin of a handover's lanes, by the kind of its item."""
    return Region(kind.removeprefix(_OWNER))


def is_start(kind: str) -> bool:
    """Tell if a ledger item of this kind says with which time lanes begin."""
    return kind == _START


def is_parked(kind: str) -> bool:
    """Tell if a ledger item of this kind is a parked key."""
    return kind.startswith(_PARKED)
