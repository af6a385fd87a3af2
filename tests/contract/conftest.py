"""Every test of this folder runs on both backends."""

from collections.abc import Iterator

import pytest

from tests.support.backends import Backend, MemoryBackend, aws_backend


@pytest.fixture(params=["memory", "aws"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    if request.param == "memory":
        yield MemoryBackend()
    else:
        with aws_backend() as backend:
            yield backend
