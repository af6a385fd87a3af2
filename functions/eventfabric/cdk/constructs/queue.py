"""Queues, each with a dead-letter queue that accepts messages from it alone."""

from collections.abc import Mapping

from aws_cdk import Duration, RemovalPolicy, Stack, Tags
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from eventfabric.cdk.nag import acknowledge
from eventfabric.definition.functions import Pollers
from eventfabric.resources import QUEUE_DATA_KEY_SECONDS, QUEUE_TAG, QueueTopology, TimerQueueTopology

DEAD_LETTER_DAYS = 14
DOORBELL_DAYS = 4


class DoorbellQueue(Construct):
    """The queue of a subscription, or of timers. It holds only doorbells, so losing it loses no event."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        queue: QueueTopology | TimerQueueTopology,
        *,
        key: kms.IKey,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """`tags`: tag of each queue by its name, by which policies recognise it, if they do not name it."""
        super().__init__(scope, id)
        fifo = isinstance(queue, QueueTopology)
        stack = Stack.of(self)
        source = sqs.Queue.from_queue_arn(
            self, "Source", f"arn:{stack.partition}:sqs:{stack.region}:{stack.account}:{queue.name}"
        )
        self.dead = _queue(
            self,
            "Dead",
            queue.dead_letter_name,
            key=key,
            fifo=fifo,
            keep_days=DEAD_LETTER_DAYS,
            visibility_seconds=queue.visibility_timeout_seconds,
            allows=sqs.RedriveAllowPolicy(
                redrive_permission=sqs.RedrivePermission.BY_QUEUE, source_queues=[source]
            ),
        )
        self.queue = _queue(
            self,
            "Queue",
            queue.name,
            key=key,
            fifo=fifo,
            keep_days=DOORBELL_DAYS,
            visibility_seconds=queue.visibility_timeout_seconds,
            dead=sqs.DeadLetterQueue(queue=self.dead, max_receive_count=queue.receive_count_max),
        )
        if tags is not None:
            Tags.of(self.queue).add(QUEUE_TAG, tags[queue.name])
            Tags.of(self.dead).add(QUEUE_TAG, tags[queue.dead_letter_name])


def map_queue(
    source: DoorbellQueue,
    target: str,
    *,
    batch_max: int,
    invocations_max: int | None = None,
    pollers: Pollers | None = None,
) -> None:
    """Have a function, of that ARN, invoked for a queue's messages, at most so often at the same time."""
    of = lambda_.CfnEventSourceMapping
    of(
        source,
        "Mapping",
        function_name=target,
        event_source_arn=source.queue.queue_arn,
        batch_size=batch_max,
        function_response_types=["ReportBatchItemFailures"],
        scaling_config=None
        if invocations_max is None
        else of.ScalingConfigProperty(maximum_concurrency=invocations_max),
        provisioned_poller_config=None
        if pollers is None
        else of.ProvisionedPollerConfigProperty(
            minimum_pollers=pollers.minimum, maximum_pollers=pollers.maximum
        ),
    )


class FailureQueue(Construct):
    """A queue for what a mapping or a schedule gave up on. It serves no queue, so none may name it."""

    def __init__(self, scope: Construct, id: str, name: str, *, key: kms.IKey) -> None:
        super().__init__(scope, id)
        self.queue = _queue(
            self,
            "Dead",
            name,
            key=key,
            fifo=False,
            keep_days=DEAD_LETTER_DAYS,
            visibility_seconds=30,
            allows=sqs.RedriveAllowPolicy(redrive_permission=sqs.RedrivePermission.DENY_ALL),
        )
        acknowledge(self.queue, {"SQS3": "It is itself a dead-letter queue, of a mapping or a schedule."})


def _queue(
    scope: Construct,
    id: str,
    name: str,
    *,
    key: kms.IKey,
    fifo: bool,
    keep_days: int,
    visibility_seconds: int,
    dead: sqs.DeadLetterQueue | None = None,
    allows: sqs.RedriveAllowPolicy | None = None,
) -> sqs.Queue:
    return sqs.Queue(
        scope,
        id,
        queue_name=name,
        fifo=True if fifo else None,
        deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP if fifo else None,
        fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID if fifo else None,
        visibility_timeout=Duration.seconds(visibility_seconds),
        retention_period=Duration.days(keep_days),
        encryption=sqs.QueueEncryption.KMS,
        encryption_master_key=key,
        data_key_reuse=Duration.seconds(QUEUE_DATA_KEY_SECONDS),
        enforce_ssl=True,
        dead_letter_queue=dead,
        redrive_allow_policy=allows,
        removal_policy=RemovalPolicy.DESTROY,
    )
