"""The public surface, pinned: a name that comes or goes is a decision, not an accident."""

import subprocess
import sys

import eventfabric
from eventfabric import errors


def test_the_public_names_are_these() -> None:
    assert eventfabric.__all__ == [
        "Delivery",
        "Event",
        "EventFabricError",
        "Fabric",
        "Operations",
        "Publisher",
        "Receipt",
        "Step",
        "subscriber",
    ]


def test_importing_eventfabric_imports_no_boto3() -> None:
    code = "import sys, eventfabric; print([m for m in ('boto3', 'botocore', 'pydantic', 'moto') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


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
