"""The public surface, pinned: a name that comes or goes is a decision, not an accident."""

import subprocess
import sys

import pytest

import eventfabric
from eventfabric import errors


def test_the_public_names_are_these() -> None:
    assert eventfabric.__all__ == [
        "AsyncFabric",
        "Delivery",
        "Event",
        "EventFabricError",
        "Fabric",
        "OpenEnum",
        "Operations",
        "Publisher",
        "Receipt",
        "Step",
        "subscriber",
        "upcast",
    ]


def imported(names: str, *looked_for: str) -> str:
    """Return which of these modules a fresh interpreter has after `from eventfabric import <names>`."""
    code = (
        f"import sys; from eventfabric import {names}; print([m for m in {looked_for} if m in sys.modules])"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_every_name_can_be_imported_and_imports_no_boto3() -> None:
    assert imported(", ".join(eventfabric.__all__), "boto3", "botocore", "pydantic", "moto") == "[]"
    assert set(eventfabric.__all__) <= set(dir(eventfabric))
    with pytest.raises(AttributeError, match="has no attribute 'Nobody'"):
        eventfabric.Nobody  # noqa: B018


def test_what_a_handler_imports_brings_no_operators_tools_and_no_publisher() -> None:
    tools = ("eventfabric.sdk.operations", "eventfabric.services.operations.replay", "eventfabric.sdk.fabric")
    assert imported("Delivery, Event, subscriber", *tools) == "[]"


def test_every_error_says_whether_to_retry_and_whether_nothing_happened() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 15
    for kind in kinds:
        assert issubclass(kind, errors.EventFabricError)
        assert isinstance(kind.retryable, bool)
        assert isinstance(kind.no_effect, bool)
        assert kind.__name__ in (errors.__doc__ or "") or kind.__name__.startswith("_"), (
            f"{kind.__name__} is not in the tree"
        )
