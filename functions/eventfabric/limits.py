"""All bounds of the fabric, and assertions on how they relate. Holds only numbers, and imports nothing of the fabric.

Sources: AWS service quotas for DynamoDB (400 KB item, 1 MB page, 100 actions a transaction), SQS (1 MiB message,
10 entries a batch, 15 minutes of delay, 80 characters a queue name, 12 hours of invisibility) and Lambda (900 seconds,
10,240 MB, 4 KB of environment, 5 layers, 262,144,000 bytes of code unpacked). What Lambda's and CloudWatch Logs' API
models bound is as in botocore 1.44: 16 subnets, 5 security groups, 2 to 1,000 concurrent invocations of a queue,
pollers, and the days of a log.
"""

from typing import Final

ZIP_UNPACKED_BYTES_MAX: Final = 262_144_000
"""Most bytes of a function's code, unpacked."""
LANES_DEFAULT: Final = 64
LANES_MAX: Final = 4096

RECORD_EVENTS_MAX: Final = 1_000
"""Most events in one record of the log."""
RECORD_PAYLOAD_BYTES_MAX: Final = 256 * 1024
"""Most bytes of a record's encoded events before compression: no writer makes more, and no reader unpacks more."""
KEY_BYTES_MAX: Final = 1024
TYPE_CHARACTERS_MAX: Final = 128
RECORD_TYPES_MAX: Final = 100
"""Most event types in one record: with their bytes they must fit into one item beside the payload."""
ID_CHARACTERS_MAX: Final = 128
SOURCE_CHARACTERS_MAX: Final = 512
CLOUDEVENT_LINE_BYTES_MAX: Final = 2 * RECORD_PAYLOAD_BYTES_MAX
"""Longest line of a file of CloudEvents: Base64 and escapes make an event longer there than it is in a record."""
DATA_DEPTH_MAX: Final = 128
"""Deepest nesting of lists and objects in data. pydantic reads 199 levels; readers on Python's own stack some 900."""
HEADERS_MAX: Final = 64
HEADER_NAME_CHARACTERS_MAX: Final = 20
"""CloudEvents 1.0 asks that attribute names have at most 20 characters."""
HEADER_VALUE_CHARACTERS_MAX: Final = 4096

SEQUENCE_MAX: Final = 2**53 - 1
"""Largest value of every count that is stored: the largest whole number that all readers of JSON keep."""
HYBRID_TIME_MAX: Final = 2**63 - 1
"""Largest time of an append, in the year 6429. No reader accepts a later one."""
MILLISECONDS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999, in milliseconds since 1970."""
REGION_CHARACTERS_MAX: Final = 32
NOTE_CHARACTERS_MAX: Final = 128
"""Longest text of a place in a lane: `<lane>/<sequence>`."""

CALL_SECONDS: Final = 12.0
"""Time for one call to a service as a whole: connecting, sending, reading, and the client's own retries."""
CALL_AWAY_SECONDS: Final = 6.0
"""Time for one call to a Region that may be the one that is lost."""
APPEND_TIMEOUT_SECONDS: Final = 30.0
LAST_TRY_SECONDS: Final = 1.0
"""Time for a try that begins when the time of an append is nearly over."""
APPEND_BACKOFF_SECONDS: Final = 0.005
APPEND_BACKOFF_MAX_SECONDS: Final = 1.0
APPEND_CONFLICT_WAIT_MAX_SECONDS: Final = 0.1
"""Longest wait after a conflict. At 1 s a publisher waits 30 s for one that publishes in a loop; at 0.1 s about 1 s."""
APPEND_BLIND_CONFLICTS_MAX: Final = 2
"""Conflicts in a row after which a publisher reads the tail again instead of trusting what the conflict returned."""
REPLY_BYTES_MAX: Final = 32 * 1024 * 1024
"""Largest reply of a service, with its headers."""

FAR_EVENTS: Final = 1_000 * RECORD_EVENTS_MAX
"""Largest gap between two records, in events, that a loss of records can leave. Beyond it an item is a far item."""
LANE_END_PAGES_MAX: Final = 20
"""Pages of newest records that are searched for two records that continue each other."""
EXPIRY_MARGIN_SECONDS: Final = 3_600
"""Largest difference between the clock by which an expiry is judged and the clock by which items are deleted."""
KNOWN_MARKS_SECONDS: Final = 60
"""Time for which a publisher trusts the marks of reconciliation that it has read."""

REGION_PATIENCE_SECONDS: Final = 5.0
"""Time for which a batch is tried in a Region that gives no reply, if it may go to another Region."""
REGION_PAUSE_SECONDS: Final = 30
"""Time for which a Region that gave no reply is not the first to be tried."""

PUBLISHER_BUFFER_BYTES_MAX: Final = 32 * 1024 * 1024
PUBLISHER_LINGER_MILLISECONDS: Final = 5.0
PUBLISHER_LINGER_MILLISECONDS_MAX: Final = 3_600_000
PUBLISHER_PARALLEL_LANES: Final = 8
PUBLISH_CHUNK_EVENTS: Final = 256
"""Events that `publish_all` encodes, and then takes, at a time."""

ASYNC_CALLS_MAX: Final = 32
"""Calls of an AsyncFabric under way at the same time."""

AHEAD_EVENTS: Final = 8
"""Events of a lane that are attempted ahead, for each of the subscription's concurrent attempts."""

EXIT_FLUSH_SECONDS: Final = 5.0
"""Time at the end or interruption of the process to append what open publishers have taken."""
EXPRESS_FLUSH_SECONDS: Final = 5.0
EXPRESS_THREADS_MAX: Final = 4
"""Queues that a producer rings at the same time."""

PAGE_RECORDS_MAX: Final = 100
"""Records that one read of the log asks for. Bounds the events of one run, and so what a crash repeats."""
PAGE_MEMORY_BYTES: Final = 5 * 1024 * 1024
"""Memory of one page while it is read: a reply of 1 MB, in Base64 and JSON, as text, as values and as records."""
EVENT_MEMORY_BYTES: Final = 512
"""Memory of one unpacked event beside its bytes in the record: objects, and their places in lists."""
HEADER_MEMORY_BYTES: Final = 120
"""Memory of one header of an unpacked event beside its bytes in the record."""
RECORD_MEMORY_BYTES_MAX: Final = 9 * 1024 * 1024
"""Most memory of one record's unpacked events. In the worst case nearly all of it is headers, as short as possible."""
EVENTS_MEMORY_SHARE: Final = 0.2
"""Share of a function's memory for the events of all pages that it delivers at the same time. A lane may exceed its
own share by one record, and by one more that is unpacked again for events that failed."""
LANE_PATIENCE_SECONDS: Final = 3.0
"""Time for which a lane run retries calls that failed for a moment, before it leaves the rest to a later ring."""
PATIENCE_WAIT_SECONDS: Final = 0.05
PATIENCE_WAIT_MAX_SECONDS: Final = 0.5
TORN_READ_PAUSES_SECONDS: Final = (0.02, 0.08, 0.3, 0.6)
"""Pauses before inconsistent state is read again: for a moment, a read may show only a part of a transaction."""
TORN_READ_DOUBT_SECONDS: Final = 60
"""Age of a cursor up to which its parked keys may be read as they were before it was written, as far as clocks tell."""
TORN_READ_PASS_SECONDS: Final = 30.0
"""Longest sum of such pauses in one pass of reconciliation, however many lanes have holes."""
LANE_AGAIN_SECONDS: Final = 5
"""Delay before a lane is rung again whose run ended with a call that kept failing."""
LANE_AGAIN_SECONDS_MAX: Final = 60
"""Longest such delay: if runs have failed for long, or if somebody has to fix a record, a grant or a table."""
RING_PATIENCE_SECONDS: Final = 10.0
"""Time for which a run that failed tries to have its lane rung again: its queues may be out of reach for a moment."""
LANE_RACES_MAX: Final = 3
"""Commits of one lane run that may be lost to another consumer before the doorbell is left to come again."""
TIME_MARGIN_SECONDS: Final = 5.0
"""Part of an invocation's time that is kept for the commit."""

PARKED_KEYS_MAX: Final = 4_000
"""Most parked keys of one lane. Beyond it the lane halts, since its cursor names them all."""
ROSTER_KEY_BYTES_MAX: Final = 28
"""Most bytes of one parked key in its lane's cursor: a digest, and when it is due."""
PARKED_PLACES_MAX: Final = 256
"""Most waiting events that one parked key lists. If more wait, the log is read for them once these are handled."""
PARKED_PLACE_BYTES_MAX: Final = 24
"""Most bytes of one waiting event in its item: two integers in MessagePack, and one for where replays begin or end."""
WAITING_RECORDS_MAX: Final = 1_000
"""Most records that one visit reads for parked keys in which more events wait than they list."""
TAKEOVER_RECORDS_MAX: Final = 5_000
"""Most records that a new owner searches for parked keys that were not replicated, before it goes back instead."""
WAITING_AGAIN_SECONDS: Final = 1
"""Delay from a visit that read that many records to the one that goes on reading."""
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
"""Most characters of each text of a failure. In its item, a character takes at most JSON_CHARACTER_BYTES_MAX."""
OPERATOR_TEXT_CHARACTERS_MAX: Final = 1_000
"""Most characters of an operator's reason or name: functions read it with a circuit every few seconds."""
JSON_CHARACTER_BYTES_MAX: Final = 6
PARKED_BYTES_MAX: Final = 40 * 1024
"""Most bytes of a parked key's item, without the event that replaces its first."""
CRASHES_MAX: Final = 8
"""Crashes of attempts of one event by itself after which it is a dead letter without being attempted again."""
CIRCUIT_FAILURES_MIN: Final = 5
"""Keys that must fail within the window before their share means anything."""
CIRCUIT_WINDOW_SECONDS: Final = 300
CIRCUIT_PROBE_SECONDS: Final = 30
"""Time from one probe of an open circuit to the next."""
CIRCUIT_CACHE_SECONDS: Final = 5
"""Time for which a warm function trusts the circuit that it has read."""
OWNER_DOUBT_SECONDS: Final = 300
"""Idle time of a lane after which its owner asks other Regions if it still is: its own Region may have been lost."""
TIMER_EARLY_MILLISECONDS: Final = 1_000
"""Time by which a key counts as due early, since the clocks of queues and functions differ."""
TIMER_DELAY_SECONDS_MAX: Final = 900
TIMER_RECEIVES_MAX: Final = 1_000
"""Most receives of one timer. The same message comes again while its target queue is away; in the end once a minute."""

TRANSACTION_ACTIONS_MAX: Final = 100
TRANSACTION_WRITES_MAX: Final = TRANSACTION_ACTIONS_MAX - 2
"""Most writes of a handler in one commit: the cursor, and a parked key that its event leaves, take the last places."""
COMMIT_TOKEN_BYTES: Final = 16
PUBLISH_LANES_MAX: Final = 2
"""Most target lanes of events that are committed together: each further one halves what many committers get done."""
PUBLISH_EVENT_LANES_MAX: Final = 8
"""Most target lanes of one event under exactly_once. If others write 20 records a second to each of 12, no commit meets
the ends of all."""
PUBLISH_WRITE_MILLISECONDS: Final = 1_000
"""Time that a write of what a handler publishes is expected to take before this process has made one."""
UNCOMMITTED_LANES_MAX: Final = 64
"""Most lanes of which a process remembers what their failed runs have published: up to a record for each."""
PUBLISH_PATIENCE_SECONDS: Final = 30.0
"""Time for which a commit that publishes is repeated: after it, the handlers of its events would be called again."""
HOPS_MAX: Final = 16
"""Hops at which a chain of handlers that publish ends: each publishes in turn what another handles."""
TRANSACTION_BYTES_MAX: Final = 4 * 1024 * 1024
"""Most bytes of all items of a transaction together."""
TRANSACTION_TOKEN_SECONDS: Final = 9 * 60
"""Time for which a transaction of unknown outcome is sent again: DynamoDB knows its token for ten minutes."""

LATE_AFTER_SECONDS: Final = 60
"""Age from which an event that is handed out is checked for being late: the check costs reads."""
NOTED_RECORDS_MAX: Final = 20
"""Most records with a note that one page of a lane run looks up, each with two reads."""
DECISION_KEPT_SECONDS: Final = 90 * 24 * 3600
"""Time for which a decision about a noted batch outlives its events: its other copy may arrive as late as that."""

MARKS_ITEM_LANES: Final = 512
"""Lanes in one item of reconciliation's marks. Each subscription's cursors have items of their own."""
MARK_BYTES_MAX: Final = 592
"""Most bytes of one lane in such an item: three digests, nine integers, and the sightings, with their names."""
SIGHTINGS_MAX: Final = 8
"""Most sightings that are remembered of a lane that lags. Of more, those in the middle are forgotten."""

FAILING_SECONDS: Final = 600
"""Time from the first failure of an event from which its key counts as failing, if it is still tried again."""
ROUND_SECONDS: Final = 24 * 3600
"""Time after which a lane that was verified as a whole is verified once more."""
ROUND_READ_UNITS: Final = 2_000
"""Read units that one pass spends on that, for all lanes of an origin; its last page comes on top."""
ROUND_LATE_SECONDS: Final = 14 * ROUND_SECONDS
"""Time without a whole round after which it is reported: the log has outgrown what passes verify."""
SETTLE_SECONDS: Final = 60
"""Time that records may stand after a missing one before that counts as a hole: items replicate in no order."""
STALL_SECONDS: Final = 900
"""Time that a replica may be behind without moving before that is an alarm."""
CLOCK_TOLERANCE_MILLISECONDS: Final = 1_000
"""Usual difference between clocks of producers and functions. A latency below 0 by less than this counts as 0."""
CLOCK_AHEAD_SECONDS: Final = 60
"""Time that a lane may be ahead of the clock of the Region that looks before that is a finding."""
UNRUNG_SECONDS: Final = 300
"""Time that events may wait at a cursor that does not move, or a parked key past its due time, before they are rung."""
RING_EVERY_EVENTS: Final = 4_096
"""Events of a lane after which it is rung though nobody wants them: a cursor stays behind by a second of reading."""
QUIET_SECONDS: Final = 3_600
EXPIRES_SOON_SHARE: Final = 0.8
"""Share of a stream's retention after which undelivered records are reported."""
DRAIN_SECONDS: Final = 300
"""Time that a failover waits for replication before it gives up."""

BACKFILL_SLICE_EVENTS: Final = 100_000
"""Events of one slice, unless its lane would then have more than BACKFILL_LANE_SLICES."""
BACKFILL_LANE_SLICES: Final = 8
"""Most slices of one lane. So slices handed out together are of many lanes, each with a write limit of its own."""
BACKFILL_HANDED_SLICES: Final = 500
"""Slices that are handed out at the same time: a state machine carries them from state to state."""
BACKFILL_RANGES_MAX: Final = 1_000
BACKFILL_WORKERS: Final = 8
BACKFILL_WORKERS_MAX: Final = 1_000
BACKFILL_LOOK_SECONDS: Final = 5
"""Longest time between a worker's checks if its backfill was cancelled. It also checks before each page."""
BACKFILL_PATIENCE_SECONDS: Final = 30
"""Time for which a worker retries one call before it leaves its slice to be continued later."""

STEP_TOKEN_BYTES: Final = 8
"""Size of the token by which an attempt recognises its own note of a step."""
STEP_NAME_CHARACTERS_MAX: Final = 64
SETTLED_KEPT_SECONDS: Final = 366 * 24 * 3600
"""Time for which decisions about dead letters outlive a stream's events, without the content of these events. A proof
names them, even for a lane's newest record, which outlives the retention for as long as the lane is quiet.
"""
STEP_RESULT_BYTES_MAX: Final = 64 * 1024
"""Most bytes of a step's result as JSON, which is stored in the step's record."""
STEP_KEPT_SECONDS: Final = 366 * 24 * 3600
"""Time for which the record of a step outlives its event: dead letters may be redriven late."""
STEP_KEPT_ALWAYS_SECONDS: Final = 100 * 366 * 24 * 3600
"""Time for which a stream that keeps its events for ever is assumed to keep them."""

PARTITION_KEY_BYTES_MAX: Final = 2048
ITEM_BYTES_MAX: Final = 400 * 1024
EXPORT_LINE_BYTES_MAX: Final = 2 * ITEM_BYTES_MAX
"""Longest line of an export, which holds an item: bytes take a third more there, and attributes name and type."""
QUEUE_SEND_BATCH_MAX: Final = 10
QUEUE_WAIT_SECONDS: Final = 1
"""Wait of a receive. One that waits asks all servers of a queue; one that does not may say 'empty' after a few."""
QUEUE_EMPTY_ANSWERS: Final = 2
"""Empty answers in a row after which a queue counts as empty."""
QUEUE_GROUP_CHARACTERS_MAX: Final = 128
DOORBELL_BATCH_MAX: Final = 10
FUNCTION_MEMORY_MEGABYTES: Final = 512
FUNCTION_MEMORY_MEGABYTES_SMALL: Final = 256
"""Memory of functions that neither unpack events nor read pages."""
PROCESS_MEMORY_MEGABYTES: Final = 100
"""Memory of a function at its start: Python, botocore, and the parts of the fabric that are imported."""
HANDLER_MEMORY_MEGABYTES: Final = 64
"""Memory of a function that is always left to the handler, whatever the log holds."""
INVOCATION_BYTES_MAX: Final = 6 * 1024 * 1024
"""Most bytes of an invocation's input. As Python values it takes some six times as much."""
FUNCTION_TIMEOUT_SECONDS: Final = 120
FUNCTION_TIMEOUT_SECONDS_MIN: Final = 30
FUNCTION_TIMEOUT_SECONDS_MAX: Final = 900
FUNCTION_MEMORY_MEGABYTES_MAX: Final = 10_240
ENVIRONMENT_OWN_BYTES: Final = 256
"""Most bytes of the variables that the fabric sets itself in a function."""
ENVIRONMENT_BYTES_MAX: Final = 4 * 1024 - ENVIRONMENT_OWN_BYTES
"""Most bytes of all others. Lambda measures them as JSON."""
FUNCTION_LAYERS_MAX: Final = 5
FUNCTION_SUBNETS_MAX: Final = 16
FUNCTION_SECURITY_GROUPS_MAX: Final = 5
MAPPING_CONCURRENCY_MIN: Final = 2
MAPPING_CONCURRENCY_MAX: Final = 1_000
MAPPING_CONCURRENCY_DEFAULT: Final = 50
"""Invocations that a subscription's queue may have at the same time by default. Each takes up to ten lanes."""
ACCOUNT_CONCURRENCY: Final = 1_000
"""Lambda's default quota of concurrent invocations, of all functions of an account in a Region."""
ACCOUNT_CONCURRENCY_MIN: Final = 10
"""The quota that a new account may have at first."""
ACCOUNT_CONCURRENCY_MAX: Final = 100_000
"""More than Lambda gives without a talk about it."""
UNRESERVED_CONCURRENCY_MIN: Final = 100
"""Part of an account's quota that Lambda lets nobody reserve."""
RESERVED_CONCURRENCY_MAX: Final = ACCOUNT_CONCURRENCY_MAX - UNRESERVED_CONCURRENCY_MIN
RELAY_CONCURRENCY: Final = 20
"""Invocations that are reserved for the relay, for each stream of its Region: a shard of a table has one at a time."""
TIMER_CONCURRENCY: Final = 10
RECONCILE_CONCURRENCY: Final = 2
"""A pass, and one that is still ending when it starts."""
POLLERS_MIN: Final = 2
MINIMUM_POLLERS_MAX: Final = 200
MAXIMUM_POLLERS_MAX: Final = 2_000
POLLER_INVOCATIONS_MAX: Final = 10
"""Most invocations that one poller of a queue has under way."""
LOG_DAYS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545),
    *(731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""Days for which CloudWatch Logs can keep a log."""
LOG_DAYS_DEFAULT: Final = 90
VISIBILITY_TIMEOUTS: Final = 6
"""AWS asks for a visibility of six times the function's time-out if Lambda reads the queue."""
VISIBILITY_TIMEOUT_SECONDS: Final = VISIBILITY_TIMEOUTS * FUNCTION_TIMEOUT_SECONDS
CRASH_VISIBILITY_MARGIN_SECONDS: Final = 10
"""Time after the end of an invocation at which doorbells come again that were received after a crash."""
REFUSED_AGAIN_SECONDS: Final = 30
"""Time after which a message that is no doorbell comes again, until it is in the dead-letter queue."""
RECEIVE_COUNT_MAX: Final = 20
DEDUPLICATION_SECONDS: Final = 300
RELAY_BATCH_MAX: Final = 100
STREAM_RETENTION_SECONDS: Final = 24 * 3600

NAME_CHARACTERS_MAX: Final = 28
"""Longest name of a fabric, stream or subscription: two of them and a suffix must fit a function's 64 characters."""
STAGE_CHARACTERS_MAX: Final = 12
FABRIC_CHARACTERS_MAX: Final = 35
"""Longest name of a fabric together with its stage, `<name>_<stage>`, with which all names of resources begin."""

assert LANES_MAX & (LANES_MAX - 1) == 0
assert LANES_DEFAULT & (LANES_DEFAULT - 1) == 0
assert RECORD_PAYLOAD_BYTES_MAX + RECORD_TYPES_MAX * 4 * TYPE_CHARACTERS_MAX + 4096 < ITEM_BYTES_MAX
assert DATA_DEPTH_MAX + 8 < 199  # leaves room for what wraps the data
assert KEY_BYTES_MAX < RECORD_PAYLOAD_BYTES_MAX
assert LAST_TRY_SECONDS < CALL_SECONDS < APPEND_TIMEOUT_SECONDS
assert MARKS_ITEM_LANES * MARK_BYTES_MAX + 4096 < ITEM_BYTES_MAX
assert REGION_CHARACTERS_MAX + len("/") + 9 + len(".") + len(str(LANES_MAX)) <= QUEUE_GROUP_CHARACTERS_MAX
assert HYBRID_TIME_MAX >> 16 <= MILLISECONDS_MAX  # so that each is a valid date
assert FUNCTION_TIMEOUT_SECONDS <= FUNCTION_TIMEOUT_SECONDS_MAX
assert TIME_MARGIN_SECONDS < FUNCTION_TIMEOUT_SECONDS
# The shortest time-out leaves time for a call, for patience with it, for the ring after it, and for the commit.
_RUN_SECONDS = CALL_SECONDS + LANE_PATIENCE_SECONDS + RING_PATIENCE_SECONDS + TIME_MARGIN_SECONDS
assert _RUN_SECONDS <= FUNCTION_TIMEOUT_SECONDS_MIN
assert FUNCTION_TIMEOUT_SECONDS_MIN <= FUNCTION_TIMEOUT_SECONDS
assert VISIBILITY_TIMEOUTS * FUNCTION_TIMEOUT_SECONDS_MAX <= 12 * 3600  # SQS allows no more
# A doorbell is dead before it expires.
assert RECEIVE_COUNT_MAX * VISIBILITY_TIMEOUTS * FUNCTION_TIMEOUT_SECONDS_MAX < 4 * 24 * 3600
assert LOG_DAYS_DEFAULT in LOG_DAYS
# Every header takes at least three bytes in a record, and an event has at most HEADERS_MAX.
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
)  # as many lanes are delivered at the same time as doorbells come in a batch
assert PROCESS_MEMORY_MEGABYTES + 6 * INVOCATION_BYTES_MAX / 1024**2 <= FUNCTION_MEMORY_MEGABYTES_SMALL
assert 1 + len("_") + STAGE_CHARACTERS_MAX <= NAME_CHARACTERS_MAX < FABRIC_CHARACTERS_MAX
assert FABRIC_CHARACTERS_MAX + len("-") + NAME_CHARACTERS_MAX <= 64
assert FABRIC_CHARACTERS_MAX + NAME_CHARACTERS_MAX + len("--timers-dead") <= 80
assert RECEIVE_COUNT_MAX <= TIMER_RECEIVES_MAX <= 1_000
assert TIMER_RECEIVES_MAX * LANE_AGAIN_SECONDS_MAX >= 12 * 3600  # an outage of a queue uses up no timer
assert TIMER_RECEIVES_MAX * REFUSED_AGAIN_SECONDS < 24 * 3600  # and a bad one is seen before it expires
assert NOTED_RECORDS_MAX < TRANSACTION_WRITES_MAX  # all are decided in one commit
assert (
    len("//step///") + 2 * NAME_CHARACTERS_MAX + STEP_NAME_CHARACTERS_MAX + 32 + 12 * ID_CHARACTERS_MAX
    <= PARTITION_KEY_BYTES_MAX
)  # of a step: escaping its id gives at most three characters for each of four bytes
assert CRASHES_MAX + 3 < RECEIVE_COUNT_MAX  # the first two crashes blame no event
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
