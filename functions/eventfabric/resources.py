"""Tables and queues of AWS as values: what names, keys and bounds each has. Pure; `topology` makes them."""

from dataclasses import dataclass

from eventfabric import limits


@dataclass(frozen=True)
class TableTopology:
    """One DynamoDB table: its name and the types of its two key attributes (pk, sk)."""

    name: str
    regions: tuple[str, ...]
    sort_key_type: str
    expiry_attribute: str | None = None
    is_quorum: bool = False
    """Strongly consistent in all its Regions: no write is lost with one of them, and all see it at once. Such tables
    support neither transactions nor time to live.
    """
    stream_view: str = "NEW_AND_OLD_IMAGES"


@dataclass(frozen=True)
class QueueTopology:
    """One SQS FIFO queue and its dead-letter queue."""

    name: str
    dead_letter_name: str
    visibility_timeout_seconds: int = limits.VISIBILITY_TIMEOUT_SECONDS
    receive_count_max: int = limits.RECEIVE_COUNT_MAX
    batch_max: int = limits.DOORBELL_BATCH_MAX

    @property
    def attributes(self) -> dict[str, str]:
        """SQS attributes of both queues: high-throughput FIFO, deduplication per message group."""
        return {
            "FifoQueue": "true",
            "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId",
            "VisibilityTimeout": str(self.visibility_timeout_seconds),
        }


@dataclass(frozen=True)
class TimerQueueTopology:
    """One standard SQS queue whose messages each come after a delay of their own."""

    name: str
    dead_letter_name: str
    visibility_timeout_seconds: int = limits.VISIBILITY_TIMEOUT_SECONDS
    receive_count_max: int = limits.TIMER_RECEIVES_MAX
    batch_max: int = limits.DOORBELL_BATCH_MAX
