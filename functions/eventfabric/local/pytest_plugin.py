"""Fixtures for tests against a local fabric, loaded by pytest wherever this package is installed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from eventfabric.local import LocalFabric


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a project say where its definition is."""
    parser.addini("eventfabric_definition", "the fabric's definition file", default="infra/fabric.toml")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, so that strict projects can use it."""
    config.addinivalue_line(
        "markers", "eventfabric(definition=..., handlers=..., ...): arguments of the fixture local_fabric"
    )


@pytest.fixture
def local_fabric(request: pytest.FixtureRequest) -> "Iterator[LocalFabric]":
    """A local fabric of the project's definition; `@pytest.mark.eventfabric(...)` gives LocalFabric's arguments."""
    from eventfabric.local import LocalFabric  # moto takes a second to import: only tests that use it pay

    marker = request.node.get_closest_marker("eventfabric")
    arguments = dict(marker.kwargs) if marker else {}
    definition = arguments.pop("definition", None) or request.config.rootpath / request.config.getini(
        "eventfabric_definition"
    )
    with LocalFabric(definition, **arguments) as fabric:
        yield fabric
