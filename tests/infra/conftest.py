"""One synthesis of each definition a session: the CDK's library takes seconds to start."""

from pathlib import Path

import pytest

from eventfabric.cdk.node import choose_node
from eventfabric.definition.file import parse_definition, read_definition
from infra.app import ROOT
from tests.infra.synthesis import Synthesised, synthesise

choose_node()  # before a test module imports the CDK's library

WIDE = """
[fabric]
name = "wide"
regions = ["us-east-1", "us-east-2", "us-west-2", "eu-west-1"]

[streams.money]
durability = "quorum"
regions = ["us-east-1", "us-east-2", "us-west-2"]

[streams.local]
durability = "regional"
regions = ["eu-west-1"]

[streams.plain]

[subscriptions.audit]
stream = "money"
handler = "subscribers.analytics:record"

[subscriptions.count]
stream = "local"
handler = "subscribers.analytics:record"
"""


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """The sample definition."""
    definition = read_definition(ROOT / "infra" / "fabric.toml", check_handlers=True)
    return synthesise(definition, Path(tmp_path_factory.mktemp("shop")))


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """Four Regions, a quorum stream in three, one that is not at home, one without subscriptions."""
    return synthesise(parse_definition(WIDE), Path(tmp_path_factory.mktemp("wide")))


@pytest.fixture(params=["shop", "wide"])
def synthesised(request: pytest.FixtureRequest) -> Synthesised:
    """Each of them."""
    synthesis: Synthesised = request.getfixturevalue(request.param)
    return synthesis
