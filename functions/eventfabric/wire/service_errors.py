"""Meanings of the errors of all services that the fabric calls: may the same be tried again, did it have an effect.

The codes are those of botocore's service models for DynamoDB, SQS, Step Functions and KMS (which answers through the
others), of the errors that all services share, and of the reasons that a cancelled transaction gives. A code that no
model names, and that is not here, is judged by its HTTP status.

Sources: botocore's service models; "Common errors" of each service's API reference; "TransactionCanceledException" of
the DynamoDB API reference.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from eventfabric.wire.keys import Item

_SERVER_ERROR: Final = 500
_TOO_MANY_REQUESTS: Final = 429


class Meaning(Enum):
    """Meaning of an error for the call that it answers."""

    BUSY = "throttled, or in conflict with another call: no effect, and the same may go through later"
    UNCERTAIN = "the service failed: it may have taken effect, and the same may go through later"
    DENIED = "not allowed, or not known who asks: no effect, until somebody grants it"
    MISSING = "a table, queue or the like is not there: no effect, until somebody makes it"
    KEY_UNUSABLE = (
        "the encryption key is disabled, deleted or not for this: no effect, until somebody mends it"
    )
    QUOTA = "a quota of the account or resource is used up: no effect, until somebody raises or frees it"
    REFUSED = "the call itself is wrong, or its condition failed: no effect, and the same is refused again"


_BUSY = (
    # DynamoDB: throttles and conflicts.
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "TransactionConflictException",
    "ReplicatedWriteConflictException",
    # SQS, Step Functions, and KMS behind them.
    "RequestThrottled",
    "OverLimit",
    "KmsThrottled",
    "KMS.ThrottlingException",
    "KmsThrottlingException",
    "ExecutionLimitExceeded",
    # Shared: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
    "Throttling",
    "ThrottledException",
    "RequestThrottledException",
    "TooManyRequestsException",
    "SlowDown",
    "BandwidthLimitExceeded",
    "PriorRequestNotComplete",
    "EC2ThrottledException",
)
_UNCERTAIN = (
    # An earlier try of the transaction, with the same token, had no reply and may still take effect.
    "TransactionInProgressException",
    "InternalServerError",
    "InternalFailure",
    "InternalError",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "RequestTimeout",
    "RequestTimeoutException",
    "KMSInternalException",
    "DependencyTimeoutException",
)
_DENIED = (
    "AccessDenied",
    "AccessDeniedException",
    "NotAuthorized",
    "NotAuthorizedException",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "OptInRequired",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidSecurity",
    "KmsAccessDenied",
    "KMS.AccessDeniedException",
    "KmsAccessDeniedException",
    "KmsOptInRequired",
    "KMS.OptInRequired",
)
_MISSING = (
    "ResourceNotFoundException",
    "ResourceNotFound",
    "TableNotFoundException",
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "StateMachineDoesNotExist",
    "ExecutionDoesNotExist",
    "StateMachineDeleting",
    "StateMachineTypeNotSupported",
)
_KEY_UNUSABLE = (
    "KmsDisabled",
    "KmsInvalidState",
    "KmsInvalidStateException",
    "KmsInvalidKeyUsage",
    "KmsNotFound",
    "DisabledException",
    "KMSInvalidStateException",
    "KeyUnavailableException",
    "InvalidKeyUsageException",
    "NotFoundException",
    "IncorrectKeyException",
    "InvalidGrantTokenException",
    "InvalidCiphertextException",
    "InaccessibleEncryptionCredentials",
    "KMS.DisabledException",
    "KMS.InvalidStateException",
    "KMS.NotFoundException",
    "KMS.InvalidKeyUsageException",
)
_QUOTA = ("ItemCollectionSizeLimitExceededException", "LimitExceededException")
_REFUSED = (
    "ConditionalCheckFailedException",
    "IdempotentParameterMismatchException",
    "ValidationException",
    "ValidationError",
    "SerializationException",
    "TransactionCanceledException",
    "InvalidParameterValue",
    "InvalidParameterCombination",
    "MissingParameter",
    "MissingAction",
    "InvalidAction",
    "UnknownOperationException",
    # SQS
    "BatchEntryIdsNotDistinct",
    "BatchRequestTooLong",
    "EmptyBatchRequest",
    "InvalidAddress",
    "InvalidAttributeName",
    "InvalidAttributeValue",
    "InvalidBatchEntryId",
    "InvalidIdFormat",
    "InvalidMessageContents",
    "MessageNotInflight",
    "ReceiptHandleIsInvalid",
    "TooManyEntriesInBatchRequest",
    "UnsupportedOperation",
    # Step Functions and KMS
    "ExecutionAlreadyExists",
    "InvalidArn",
    "InvalidArnException",
    "InvalidExecutionInput",
    "InvalidName",
    "InvalidToken",
    "DryRunOperationException",
)
_CODES: Final = (
    (Meaning.BUSY, _BUSY),
    (Meaning.UNCERTAIN, _UNCERTAIN),
    (Meaning.DENIED, _DENIED),
    (Meaning.MISSING, _MISSING),
    (Meaning.KEY_UNUSABLE, _KEY_UNUSABLE),
    (Meaning.QUOTA, _QUOTA),
    (Meaning.REFUSED, _REFUSED),
)
MEANINGS: Final[dict[str, Meaning]] = {code: meaning for meaning, codes in _CODES for code in codes}
"""Meanings by the code that the service gives."""

NO_REASON: Final = "None"
FAILED_CONDITION: Final = "ConditionalCheckFailed"
REASONS: Final[dict[str, Meaning]] = {
    # Another action was at fault; this one may go through in the next try.
    NO_REASON: Meaning.BUSY,
    FAILED_CONDITION: Meaning.REFUSED,
    "TransactionConflict": Meaning.BUSY,
    "ThrottlingError": Meaning.BUSY,
    "ProvisionedThroughputExceeded": Meaning.BUSY,
    "ItemCollectionSizeLimitExceeded": Meaning.QUOTA,
    "RequestLimitExceeded": Meaning.BUSY,
    # Not uncertain: a cancelled transaction certainly had no effect.
    "InternalServerError": Meaning.BUSY,
    "ResourceNotFound": Meaning.MISSING,
    "ValidationError": Meaning.REFUSED,
    "DuplicateItem": Meaning.REFUSED,
    "AccessDenied": Meaning.DENIED,
}
"""Meanings by the reason that a cancelled transaction gives for an action. `None`: it would have gone through."""


assert len(MEANINGS) == sum(len(codes) for _, codes in _CODES), "a code has one meaning"


def meaning_of(code: str, *, status: int = 0) -> Meaning:
    """Return the meaning of an error by its code; of a code that is in no table, by its HTTP status."""
    known = MEANINGS.get(code)
    if known is not None:
        return known
    # A code that no model names yet.
    if status == _TOO_MANY_REQUESTS or "Throttl" in code:
        return Meaning.BUSY
    return Meaning.UNCERTAIN if status >= _SERVER_ERROR else Meaning.REFUSED


def meaning_of_reason(code: str) -> Meaning:
    """Return the meaning of a cancelled transaction's reason for its action."""
    return REASONS.get(code) or meaning_of(code)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Reason for which a transaction was cancelled, for one of its actions. Code "None": it would have gone through."""

    code: str
    message: str = ""
    item: Item | None = field(default=None, repr=False)

    @property
    def is_busy(self) -> bool:
        """True if the item was busy: the action may go through if it is tried again."""
        return meaning_of_reason(self.code) is Meaning.BUSY
