"""Causes of calls that are refused until somebody fixes something; told to the client's owner, whoever handles them."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from eventfabric.wire.service_errors import Meaning, meaning_of

if TYPE_CHECKING:
    from botocore.client import BaseClient

RefusalListener = Callable[[Meaning, str, str], None]
"""Callback that takes the cause, the operation, and the service's name for the error."""

CAUSES: Final = frozenset({Meaning.DENIED, Meaning.MISSING, Meaning.KEY_UNUSABLE, Meaning.QUOTA})


def cause_of(code: str, message: str) -> Meaning | None:
    """Return what somebody has to fix; None if the error passes by itself, or is the call's own."""
    meaning = meaning_of(code)
    if meaning in CAUSES and "kms" in message.lower():
        return Meaning.KEY_UNUSABLE  # DynamoDB passes on what KMS says as its own error
    return meaning if meaning in CAUSES else None


def tell_refusals(client: "BaseClient", listener: RefusalListener) -> None:
    """Call `listener` for each of the client's calls that is refused for such a cause."""

    def after_call(parsed: Mapping[str, Any], model: Any, **_: object) -> None:
        # The error of the call itself, and those of the single messages of a batch.
        errors = [parsed["Error"]] if parsed.get("Error") else []
        for error in filter(None, (*errors, *parsed.get("Failed", ()))):
            code = str(error.get("Code", ""))
            cause = cause_of(code, str(error.get("Message", "")))
            if cause is not None:
                listener(cause, model.name, code)

    client.meta.events.register("after-call", after_call)
