"""Causes: calls that are refused for good, until somebody mends something; told whoever handles the error."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from eventfabric.wire.service_errors import Meaning, meaning_of

if TYPE_CHECKING:
    from botocore.client import BaseClient

Told = Callable[[Meaning, str, str], None]
"""Takes the cause, the operation, and the service's name for the error."""

CAUSES: Final = frozenset({Meaning.DENIED, Meaning.MISSING, Meaning.KEY_UNUSABLE, Meaning.QUOTA})


def cause_of(code: str, message: str) -> Meaning | None:
    """What somebody has to mend; None where the error passes by itself, or is the call's own."""
    meaning = meaning_of(code)
    if meaning in CAUSES and "kms" in message.lower():
        return Meaning.KEY_UNUSABLE  # DynamoDB passes on what KMS says as its own error
    return meaning if meaning in CAUSES else None


def tell_refusals(client: "BaseClient", told: Told) -> None:
    """Have `told` hear of each of the client's calls that is refused for such a cause."""

    def after_call(parsed: Mapping[str, Any], model: Any, **_: object) -> None:
        # One of the call, and those of the single messages of a batch.
        errors = [parsed["Error"]] if parsed.get("Error") else []
        for error in (*errors, *parsed.get("Failed", ())):
            code = str(error.get("Code", ""))
            cause = cause_of(code, str(error.get("Message", "")))
            if cause is not None:
                told(cause, model.name, code)

    client.meta.events.register("after-call", after_call)
