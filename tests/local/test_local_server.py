"""The local fabric as a server outlives what goes wrong in its own process."""

from pathlib import Path
from threading import Event as Flag

import pytest
from botocore.exceptions import ReadTimeoutError

from eventfabric.errors import OutcomeUnknownError
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.testing.local.server import serve


def test_a_call_of_its_own_that_times_out_does_not_end_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fabric.toml"
    path.write_text('[fabric]\nname = "paused"\nregions = ["us-east-1"]\n[streams.orders]\nlanes = 4\n')
    stop, failures = Flag(), [ReadTimeoutError(endpoint_url="x"), OutcomeUnknownError("ring", "no reply")]
    steps: list[bool] = []

    def step(fabric: LocalFabric) -> bool:
        steps.append(True)
        if failures:
            raise failures.pop()
        stop.set()
        return False

    monkeypatch.setattr(LocalFabric, "step", step)
    serve(path, stop=stop)
    assert len(steps) == 3
