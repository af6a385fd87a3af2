"""Owns every bound of the fabric and asserts how the bounds relate; holds numbers only, and imports nothing of ours.

Sources: AWS service quotas for DynamoDB (400 KB item, 1 MB page, 100 actions a transaction), SQS (1 MiB message,
10 entries a batch, 15 minutes of delay, 80 characters a queue name) and Lambda (900 seconds).
"""

from typing import Final

LANES_DEFAULT: Final = 64
LANES_MAX: Final = 4096

RECORD_EVENTS_MAX: Final = 1_000
"""Events in one record of the log."""
RECORD_PAYLOAD_BYTES_MAX: Final = 256 * 1024
"""Encoded events of one record, before compression: no writer makes more, and no reader unpacks more."""
KEY_BYTES_MAX: Final = 1024
TYPE_CHARACTERS_MAX: Final = 128
RECORD_TYPES_MAX: Final = 100
"""Different event types in one record: with their bytes they must fit beside the payload in one item."""
ID_CHARACTERS_MAX: Final = 128
SOURCE_CHARACTERS_MAX: Final = 512
CLOUDEVENT_LINE_BYTES_MAX: Final = 2 * RECORD_PAYLOAD_BYTES_MAX
"""A line of a file of CloudEvents: Base64 and escapes make an event longer than it is in a record."""
DATA_DEPTH_MAX: Final = 128
"""Lists and objects of data within one another: pydantic reads 199, whatever reads with Python's own stack some 900."""
HEADERS_MAX: Final = 64
HEADER_NAME_CHARACTERS_MAX: Final = 20
"""CloudEvents 1.0 asks that attribute names have at most 20 characters."""
HEADER_VALUE_CHARACTERS_MAX: Final = 4096

SEQUENCE_MAX: Final = 2**53 - 1
"""Of every count that is stored: the largest whole number that all readers of JSON keep."""
HYBRID_TIME_MAX: Final = 2**63 - 1
"""In the year 6429: what is appended after it no reader takes."""
MILLISECONDS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999, in milliseconds since 1970."""
REGION_CHARACTERS_MAX: Final = 32
NOTE_CHARACTERS_MAX: Final = 128
"""Of a place in a lane as text: `<lane>/<sequence>`."""

CALL_SECONDS: Final = 12.0
"""Of one call to a service as a whole: connecting, sending, reading, and the client's own further tries."""
CALL_AWAY_SECONDS: Final = 6.0
"""As CALL_SECONDS, of a Region that may be the one that is lost."""
APPEND_TIMEOUT_SECONDS: Final = 30.0
LAST_TRY_SECONDS: Final = 1.0
"""What a try gets that begins when the time of an append is nearly over."""
APPEND_BACKOFF_SECONDS: Final = 0.005
APPEND_BACKOFF_MAX_SECONDS: Final = 1.0
APPEND_CONFLICT_WAIT_MAX_SECONDS: Final = 0.1
"""Where others are faster. At 1 s a publisher waits 30 s for one that publishes in a loop; at 0.1 s, about 1 s."""
APPEND_BLIND_CONFLICTS_MAX: Final = 2
"""Conflicts in a row after which a publisher reads the tail again instead of trusting what the conflict returned."""
REPLY_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of one reply of a service, with its headers."""

FAR_EVENTS: Final = 1_000 * RECORD_EVENTS_MAX
"""A record that stands further than this behind the one before it is not what a loss of records leaves behind."""
LANE_END_PAGES_MAX: Final = 20
"""Pages of newest records that are looked through for two that continue each other."""
EXPIRY_MARGIN_SECONDS: Final = 3_600
"""How much the clocks of who judges an expiry and of who deletes by it may differ."""
KNOWN_MARKS_SECONDS: Final = 60
"""How long a publisher trusts what it read of reconciliation's marks."""

REGION_PATIENCE_SECONDS: Final = 5.0
"""How long a batch is tried in a Region that gives no reply, where it may go to another."""
REGION_PAUSE_SECONDS: Final = 30
"""How long a Region that gave no reply is not the first to be tried."""

PUBLISHER_BUFFER_BYTES_MAX: Final = 32 * 1024 * 1024
PUBLISHER_LINGER_MILLISECONDS: Final = 5.0
PUBLISHER_LINGER_MILLISECONDS_MAX: Final = 3_600_000
PUBLISHER_PARALLEL_LANES: Final = 8
PUBLISH_CHUNK_EVENTS: Final = 256
"""Events that `publish_all` encodes, and then takes, at a time."""

ASYNC_CALLS_MAX: Final = 32
"""Calls of an AsyncFabric under way at once."""

AHEAD_EVENTS: Final = 8
"""Events of a lane that each of a subscription's concurrent attempts has before it, until they are gone through."""

EXIT_FLUSH_SECONDS: Final = 5.0
"""At the end of the process, or when it is interrupted, for what publishers that are still open have taken."""
EXPRESS_FLUSH_SECONDS: Final = 5.0
EXPRESS_THREADS_MAX: Final = 4
"""Queues that a producer rings at the same time."""

PAGE_RECORDS_MAX: Final = 100
"""Records that one log read asks for: bounds the events of one run (and so what a crash repeats)."""
PAGE_MEMORY_BYTES: Final = 5 * 1024 * 1024
"""What one page takes while it is read: a reply of 1 MB, in Base64 and JSON, as text, as values and as records."""
EVENT_MEMORY_BYTES: Final = 512
"""Of one event once unpacked, beside its bytes in the record: objects, and their places in lists."""
HEADER_MEMORY_BYTES: Final = 120
"""Of one header of one event once unpacked, beside its bytes in the record."""
RECORD_MEMORY_BYTES_MAX: Final = 9 * 1024 * 1024
"""What the events of one record take once unpacked: nearly all of it headers, as short as they may be."""
EVENTS_MEMORY_SHARE: Final = 0.2
"""Of a function's memory, for the events of all pages that it delivers at the same time; a lane's own may be exceeded
by one record, and by one that is unpacked once more for events that failed."""
LANE_PATIENCE_SECONDS: Final = 3.0
"""How long a lane run tries calls again that failed for a moment, before it leaves the rest to a later ring."""
PATIENCE_WAIT_SECONDS: Final = 0.05
PATIENCE_WAIT_MAX_SECONDS: Final = 0.5
TORN_READ_PAUSES_SECONDS: Final = (0.02, 0.08, 0.3, 0.6)
"""Before what does not fit together is read again: a read may show a part of a transaction, for a moment."""
TORN_READ_DOUBT_SECONDS: Final = 60
"""So long after a cursor was written its keys may be read as they were before that, as far as clocks tell."""
TORN_READ_PASS_SECONDS: Final = 30.0
"""For which a pass of reconciliation pauses so in all, however many lanes have holes."""
LANE_AGAIN_SECONDS: Final = 5
"""After which a lane is rung anew whose run ended with a call that failed for longer."""
LANE_AGAIN_SECONDS_MAX: Final = 60
"""The same, where its runs have ended so for long, or with what somebody has to mend: a record, a grant, a table."""
LANE_RACES_MAX: Final = 3
"""Commits of one lane run that may be lost to another consumer before the doorbell is left to come again."""
TIME_MARGIN_SECONDS: Final = 5.0
"""Of an invocation's time, kept for the commit."""

PARKED_KEYS_MAX: Final = 4_000
"""Parked keys of one lane: beyond it the lane halts, since its cursor names them all."""
ROSTER_KEY_BYTES_MAX: Final = 28
"""Of one parked key in its lane's cursor: a digest, and when it is due."""
PARKED_PLACES_MAX: Final = 256
"""Waiting events that one parked key lists; where more wait, the log is read for them when these are through."""
PARKED_PLACE_BYTES_MAX: Final = 24
"""Of one waiting event in its item: two integers in MessagePack, and one for where replays begin or end."""
WAITING_RECORDS_MAX: Final = 1_000
"""Records that one visit reads for parked keys in which more events wait than they list."""
TAKEOVER_RECORDS_MAX: Final = 5_000
"""Records that a new owner looks through for parked keys that were not replicated, before it goes back instead."""
WAITING_AGAIN_SECONDS: Final = 1
"""From a visit that read so many to the one that goes on reading."""
FAILURE_CHARACTERS_MAX: Final = {
    "error_type": 256,
    "message": 1_000,
    "trace": 2_000,
    "hint": 256,
    "code_version": 64,
    "trace_id": 64,
    "event_id": 128,
    "event_type": 128,
    "step": 64,
}
"""Of each text of a failure; in its item a character takes at most the next bound, as an escape of JSON."""
SAID_CHARACTERS_MAX: Final = 1_000
"""Of a reason that an operator gives, or a name: functions read it with a circuit every few seconds."""
JSON_CHARACTER_BYTES_MAX: Final = 6
PARKED_BYTES_MAX: Final = 40 * 1024
"""Of a parked key's item, without the event that replaces its first."""
CRASHES_MAX: Final = 8
"""Crashes of attempts of one event by itself, after which it is a dead letter without being run again."""
CIRCUIT_FAILURES_MIN: Final = 5
"""Keys that must fail within the window before their share says anything."""
CIRCUIT_WINDOW_SECONDS: Final = 300
CIRCUIT_PROBE_SECONDS: Final = 30
"""From one probe of an open circuit to the next."""
CIRCUIT_CACHE_SECONDS: Final = 5
"""How long a warm function trusts the circuit that it has read."""
OWNER_DOUBT_SECONDS: Final = 300
"""How long a lane may be idle before its owner asks other Regions whether it still is: it may have been lost itself."""
TIMER_EARLY_MILLISECONDS: Final = 1_000
"""How much earlier than its time a key counts as due: clocks of queues and functions differ."""
TIMER_DELAY_SECONDS_MAX: Final = 900
TIMER_RECEIVES_MAX: Final = 1_000
"""Of one timer: it comes again as the same message while the queue that it is for is away, once a minute at last."""

TRANSACTION_ACTIONS_MAX: Final = 100
TRANSACTION_WRITES_MAX: Final = TRANSACTION_ACTIONS_MAX - 2
"""A handler's writes in one commit; the cursor, and a parked key that its event leaves, take the last places."""
COMMIT_TOKEN_BYTES: Final = 16
TRANSACTION_BYTES_MAX: Final = 4 * 1024 * 1024
"""All items of a transaction together."""
TRANSACTION_TOKEN_SECONDS: Final = 9 * 60
"""How long a transaction of unknown outcome is sent again: DynamoDB knows its token for ten minutes."""

LATE_AFTER_SECONDS: Final = 60
"""How old an event must be when it is handed out for anybody to look whether it came late: a look costs reads."""
NOTED_RECORDS_MAX: Final = 20
"""Records with a note that one page of a lane run looks up, each with two reads."""
DECISION_KEPT_SECONDS: Final = 90 * 24 * 3600
"""How much longer than its events a decision about a noted batch is kept: so late its other copy may still arrive."""

MARKS_ITEM_LANES: Final = 512
"""Lanes in one item of reconciliation's marks; each subscription's cursors have items of their own."""
MARK_BYTES_MAX: Final = 512
"""Of one lane in such an item: a chain, six integers, and the sightings, with their names."""
SIGHTINGS_MAX: Final = 8
"""Tails of a lane that lags of which it is remembered when they were seen; of more, those between are forgotten."""

ROUND_SECONDS: Final = 24 * 3600
"""How long after a lane was verified as a whole it is verified once more."""
ROUND_READ_UNITS: Final = 2_000
"""Read units that one pass spends on that, for all lanes of an origin, beside what its last page takes."""
ROUND_LATE_SECONDS: Final = 14 * ROUND_SECONDS
"""After so long without a whole round somebody is told: the log has outgrown what passes verify."""
SETTLE_SECONDS: Final = 60
"""How long records may stand behind a missing one before that is a hole: items replicate in no order."""
STALL_SECONDS: Final = 900
"""How long a replica may be behind without moving before that is an alarm."""
CLOCK_TOLERANCE_MILLISECONDS: Final = 1_000
"""By how much clocks of producers and functions differ as a matter of course: a latency below 0 by less is 0."""
CLOCK_AHEAD_SECONDS: Final = 60
"""How far a lane's time may be ahead of the clock of the Region that looks before that is a finding."""
UNRUNG_SECONDS: Final = 300
"""How long events may wait at a cursor that does not move, or a parked key past its time, before they are rung for."""
EXPIRES_SOON_SHARE: Final = 0.8
"""Of a stream's retention: undelivered records that are older are reported."""
DRAIN_SECONDS: Final = 300
"""How long a failover waits for replication before it gives up."""

BACKFILL_SLICE_EVENTS: Final = 100_000
"""Events of one slice, unless its lane would have more than the next bound of them."""
BACKFILL_LANE_SLICES: Final = 8
"""Slices of one lane: those that are handed out together are then of many lanes, each with a write limit of its own."""
BACKFILL_HANDED_SLICES: Final = 500
"""Slices that are handed out at once: a state machine carries them from state to state."""
STATE_BYTES_MAX: Final = 256 * 1024
"""Of what Step Functions carries from one state to the next, as UTF-8."""
BACKFILL_RANGES_MAX: Final = 1_000
BACKFILL_WORKERS: Final = 8
BACKFILL_WORKERS_MAX: Final = 1_000
BACKFILL_LOOK_SECONDS: Final = 5
"""How often a worker looks at the latest whether its backfill was cancelled; it does so before each page, too."""
BACKFILL_PATIENCE_SECONDS: Final = 30
"""How long a worker tries one call again before it leaves its slice to be gone on with later."""

STEP_TOKEN_BYTES: Final = 8
"""By which an attempt knows its own note of a step."""
STEP_NAME_CHARACTERS_MAX: Final = 64
SETTLED_KEPT_SECONDS: Final = 366 * 24 * 3600
"""How much longer than a stream's events its decisions about dead letters are kept, without what these events held:
a proof names them, also of a lane's newest record, which outlives the retention for as long as the lane is quiet.
"""
STEP_RESULT_BYTES_MAX: Final = 64 * 1024
"""Of a step's result as JSON: it stands in the step's record."""
STEP_KEPT_SECONDS: Final = 366 * 24 * 3600
"""How much longer than its event the record of a step is kept: dead letters may be redriven late."""
STEP_KEPT_ALWAYS_SECONDS: Final = 100 * 366 * 24 * 3600
"""How long a stream that keeps its events for ever is taken to keep them."""

PARTITION_KEY_BYTES_MAX: Final = 2048
ITEM_BYTES_MAX: Final = 400 * 1024
EXPORT_LINE_BYTES_MAX: Final = 2 * ITEM_BYTES_MAX
"""An item in a line of an export: its bytes take a third more there, and every attribute its name and type."""
QUEUE_SEND_BATCH_MAX: Final = 10
QUEUE_WAIT_SECONDS: Final = 1
"""A receive that waits at all asks all of a queue's servers; one that does not may say 'nothing' of a few of them."""
QUEUE_EMPTY_ANSWERS: Final = 2
"""Empty answers in a row after which a queue is taken to be empty."""
QUEUE_GROUP_CHARACTERS_MAX: Final = 128
DOORBELL_BATCH_MAX: Final = 10
QUEUE_MESSAGE_BYTES_MAX: Final = 1024 * 1024
FUNCTION_MEMORY_MEGABYTES: Final = 512
FUNCTION_MEMORY_MEGABYTES_SMALL: Final = 256
"""Of functions that unpack no events, and read no pages."""
PROCESS_MEMORY_MEGABYTES: Final = 100
"""Of a function as it starts: Python, botocore and what is imported of the fabric."""
HANDLER_MEMORY_MEGABYTES: Final = 64
"""Of a function's memory, what is left to a handler at least, whatever stands in the log."""
LOG_EVENT_BYTES_MAX: Final = 256 * 1024
"""Of a line that CloudWatch keeps as one event, and reads metrics from."""
INVOCATION_BYTES_MAX: Final = 6 * 1024 * 1024
"""Of what a function is invoked with; it takes some six times as much as values."""
FUNCTION_TIMEOUT_SECONDS: Final = 120
FUNCTION_TIMEOUT_SECONDS_MAX: Final = 900
VISIBILITY_TIMEOUT_SECONDS: Final = 6 * FUNCTION_TIMEOUT_SECONDS
"""AWS asks for six times the function's timeout where Lambda reads a queue."""
CRASH_VISIBILITY_MARGIN_SECONDS: Final = 10
"""After a crash, doorbells come again so long after the next invocation can still run."""
REFUSED_AGAIN_SECONDS: Final = 30
"""After which a message that is no doorbell comes again, until it is in the dead-letter queue."""
RECEIVE_COUNT_MAX: Final = 20
DEDUPLICATION_SECONDS: Final = 300
RELAY_BATCH_MAX: Final = 100
STREAM_RETENTION_SECONDS: Final = 24 * 3600

NAME_CHARACTERS_MAX: Final = 28
"""Fabric, stream and subscription names: two of them and a suffix must fit a function's 64 characters."""

assert LANES_MAX & (LANES_MAX - 1) == 0
assert LANES_DEFAULT & (LANES_DEFAULT - 1) == 0
assert RECORD_PAYLOAD_BYTES_MAX + RECORD_TYPES_MAX * 4 * TYPE_CHARACTERS_MAX + 4096 < ITEM_BYTES_MAX
assert DATA_DEPTH_MAX + 8 < 199  # with room for what data may be wrapped into
assert KEY_BYTES_MAX < RECORD_PAYLOAD_BYTES_MAX
assert LAST_TRY_SECONDS < CALL_SECONDS < APPEND_TIMEOUT_SECONDS
assert MARKS_ITEM_LANES * MARK_BYTES_MAX + 4096 < ITEM_BYTES_MAX
assert REGION_CHARACTERS_MAX + len("/") + 9 + len(".") + len(str(LANES_MAX)) <= QUEUE_GROUP_CHARACTERS_MAX
assert HYBRID_TIME_MAX >> 16 <= MILLISECONDS_MAX  # so that each is a date
assert VISIBILITY_TIMEOUT_SECONDS >= 6 * FUNCTION_TIMEOUT_SECONDS
assert FUNCTION_TIMEOUT_SECONDS <= FUNCTION_TIMEOUT_SECONDS_MAX
assert TIME_MARGIN_SECONDS < FUNCTION_TIMEOUT_SECONDS
# Every header takes three bytes at least in a record, and an event has only so many.
assert (
    RECORD_PAYLOAD_BYTES_MAX
    + RECORD_EVENTS_MAX * EVENT_MEMORY_BYTES
    + min(RECORD_PAYLOAD_BYTES_MAX // 3, RECORD_EVENTS_MAX * HEADERS_MAX) * HEADER_MEMORY_BYTES
    <= RECORD_MEMORY_BYTES_MAX
)
assert (
    PROCESS_MEMORY_MEGABYTES
    + HANDLER_MEMORY_MEGABYTES
    + EVENTS_MEMORY_SHARE * FUNCTION_MEMORY_MEGABYTES
    + DOORBELL_BATCH_MAX * (PAGE_MEMORY_BYTES + 2 * RECORD_MEMORY_BYTES_MAX) / 1024**2
    <= FUNCTION_MEMORY_MEGABYTES
)  # lanes are delivered at the same time, as many as doorbells come in a batch
assert PROCESS_MEMORY_MEGABYTES + 6 * INVOCATION_BYTES_MAX / 1024**2 <= FUNCTION_MEMORY_MEGABYTES_SMALL
assert 2 * NAME_CHARACTERS_MAX + len("-") <= 64
assert 2 * NAME_CHARACTERS_MAX + len("--timers.fifo") <= 80
assert RECEIVE_COUNT_MAX <= TIMER_RECEIVES_MAX <= 1_000
assert TIMER_RECEIVES_MAX * LANE_AGAIN_SECONDS_MAX >= 12 * 3600  # an outage of a queue uses up no timer
assert TIMER_RECEIVES_MAX * REFUSED_AGAIN_SECONDS < 24 * 3600  # and a bad one is seen before it expires
assert NOTED_RECORDS_MAX < TRANSACTION_WRITES_MAX  # decided in one commit
assert (
    len("//step///") + 2 * NAME_CHARACTERS_MAX + STEP_NAME_CHARACTERS_MAX + 32 + 12 * ID_CHARACTERS_MAX
    <= PARTITION_KEY_BYTES_MAX
)  # of a step: its id may be escaped, at most three characters for each of four bytes
assert CRASHES_MAX + 3 < RECEIVE_COUNT_MAX  # the first two blame nobody
_PLACES_BYTES_MAX = PARKED_PLACES_MAX * PARKED_PLACE_BYTES_MAX
_FAILURE_BYTES_MAX = JSON_CHARACTER_BYTES_MAX * sum(FAILURE_CHARACTERS_MAX.values())
assert 2 * KEY_BYTES_MAX + _PLACES_BYTES_MAX + _FAILURE_BYTES_MAX + 1024 < PARKED_BYTES_MAX
assert PARKED_KEYS_MAX * ROSTER_KEY_BYTES_MAX + 4096 < ITEM_BYTES_MAX
assert PARKED_BYTES_MAX + RECORD_PAYLOAD_BYTES_MAX < ITEM_BYTES_MAX
_CURSOR_BYTES_MAX = PARKED_KEYS_MAX * ROSTER_KEY_BYTES_MAX + 4096
assert (TRANSACTION_ACTIONS_MAX - 1) * PARKED_BYTES_MAX + _CURSOR_BYTES_MAX < TRANSACTION_BYTES_MAX
assert CLOCK_TOLERANCE_MILLISECONDS < 1000 * CLOCK_AHEAD_SECONDS < 1000 * UNRUNG_SECONDS
_QUERY_BYTES_MAX, _JSON_BYTES_MAX, _BATCH_GET_BYTES_MAX, _BASE64 = 1024 * 1024, 6, 16 * 1024 * 1024, 4 / 3
assert max(_QUERY_BYTES_MAX * _JSON_BYTES_MAX, _BATCH_GET_BYTES_MAX * _BASE64) < REPLY_BYTES_MAX
