"""Tables, queues and functions of AWS as values: names, keys, bounds, environment. Pure; `topology` makes them."""

from collections.abc import Iterable, Sized
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

from eventfabric import limits
from eventfabric.definition.functions import FunctionSettings, Vpc
from eventfabric.definition.schema import Stream

ENVIRONMENT_DEFINITION: Final = "EVENTFABRIC_DEFINITION"
"""Path of the definition: the TOML file, or in a function its resolved form in JSON, which ships with the code."""
ENVIRONMENT_STAGE: Final = "EVENTFABRIC_STAGE"
"""Stage in which a definition file is read, instead of its own. Functions read no file."""
ENVIRONMENT_SUBSCRIPTION: Final = "EVENTFABRIC_SUBSCRIPTION"
"""Set in a deliver function: the name of its subscription."""
ENVIRONMENT_CATALOGUE: Final = "EVENTFABRIC_CATALOGUE"
"""Set in a deliver function: up to where the declarations of its stream went when it was deployed."""
ENVIRONMENT_REGION: Final = "AWS_REGION"
ENVIRONMENT_ENDPOINT: Final = "AWS_ENDPOINT_URL"
ENVIRONMENT_FUNCTION: Final = "AWS_LAMBDA_FUNCTION_NAME"
ENVIRONMENT_CODE_VERSION: Final = "AWS_LAMBDA_FUNCTION_VERSION"
ENVIRONMENT_CODE_FOLDER: Final = "LAMBDA_TASK_ROOT"
"""Folder into which Lambda has unpacked the zip."""

FABRIC_TAG: Final = "eventfabric"
"""Tag of all that a fabric has deployed, with the fabric's name. Policies recognise keys of KMS by it."""
QUEUE_TAG: Final = "eventfabric-queue"
"""Tag by which policies recognise a queue, such as `shop/orders/doorbells`: fabric, stream, and what it is for."""

CHECK: Final = "Custom::EventFabricCheck"
"""Type of the custom resource that comes first in a stack, and has no effect."""
DECLARE: Final = "Custom::EventFabricDeclare"
"""Type of the custom resource that comes last in a stack."""
ASKED: Final = "Asked"
"""Property of both, and the only one."""
CHECKED_VERSION: Final = "Version"
"""Attribute of a check: up to where the lane of declarations was read."""
OF_LOG: Final = "log"
OF_CELL: Final = "cell"
OF_SUBSCRIPTION: Final = "subscription"
"""Kinds of stacks that ask; see deployment/declarations.py."""

DEPLOYED_DEFINITION: Final = "definition.json"
"""Path of the resolved definition in the zip of the functions."""
DEPLOYED_SCHEMAS: Final = "event-schemas"
"""Folder of the schemas in the functions' zip. No package can have that name."""
QUEUE_DATA_KEY_SECONDS: Final = 3600
"""Time for which SQS reuses a data key: a request to KMS for each hour and queue, instead of one for each message."""
VCPU_MEGABYTES: Final = 1_769
"""Memory with which a function has one whole processor."""
PASS_READS_SMALL: Final = 20_000
"""Reads of one pass of reconciliation up to which a third of a processor is enough for it."""
LAMBDA_SETS: Final = frozenset({ENVIRONMENT_REGION})
"""Variables that Lambda sets itself, and lets nobody else set."""


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

    @classmethod
    def of(cls, fabric: str) -> Self:
        """Return the queue of a fabric, which is equal in each of its Regions."""
        return cls(f"{fabric}-timers", f"{fabric}-timers-dead")


@dataclass(frozen=True)
class FunctionTopology:
    """One Lambda function of a Region."""

    name: str
    entry: str
    environment: dict[str, str] = field(repr=False)
    timeout_seconds: int = limits.FUNCTION_TIMEOUT_SECONDS
    memory_megabytes: int = limits.FUNCTION_MEMORY_MEGABYTES
    """Memory of the function. The share of a CPU grows with it: 1,769 MB are one CPU."""
    may_recur: bool = False
    """The function and a queue may invoke each other without end: each retry of a parked key is one round."""
    settings: FunctionSettings = field(default_factory=FunctionSettings)
    """Settings of the definition, of which memory, time-out and environment are above."""

    @property
    def vpc(self) -> Vpc | None:
        """Where in a VPC the function runs; None: in none."""
        return self.settings.vpc.get(self.environment[ENVIRONMENT_REGION])

    @property
    def layers(self) -> list[str]:
        """ARNs of the function's layers."""
        return self.settings.layers_in(self.environment[ENVIRONMENT_REGION])

    @property
    def deployed_environment(self) -> dict[str, str]:
        """Environment variables that the deployment sets; Lambda sets the rest."""
        own = {name: value for name, value in self.environment.items() if name not in LAMBDA_SETS}
        return {ENVIRONMENT_DEFINITION: DEPLOYED_DEFINITION, **own}


class ReconciledStream(Protocol):
    """A stream, as far as it says how much a pass of reconciliation over it reads."""

    @property
    def definition(self) -> Stream:
        """Its lanes and Regions."""
        ...

    @property
    def subscriptions(self) -> Sized:
        """Its subscriptions."""
        ...


def megabytes_of_passes(streams: Iterable[ReconciledStream]) -> int:
    """Return the memory of the function that makes passes over these streams.

    A pass reads the tail of each lane, and its state for each subscription: that of a large fabric takes a processor.
    """
    reads = sum(
        stream.definition.lanes * len(stream.definition.regions) * (1 + len(stream.subscriptions))
        for stream in streams
    )
    return limits.FUNCTION_MEMORY_MEGABYTES if reads <= PASS_READS_SMALL else VCPU_MEGABYTES
