"""One synthesis of each definition a run of tests, in however many processes: it takes seconds."""

import os
from fcntl import LOCK_EX, flock
from pathlib import Path
from tempfile import mkdtemp

import pytest

from eventfabric.cdk.node import choose_node
from eventfabric.definition.file import parse_definition, read_definition
from eventfabric.definition.schema import Definition
from infra.app import ROOT
from tests.infra.synthesis import ASSEMBLY, Synthesised, synthesise

choose_node()  # before a test module imports the CDK's library

WIDE = """
[fabric]
name = "wide"
alarms = "all"
regions = ["us-east-1", "us-east-2", "us-west-2", "eu-west-1"]
account_concurrency = 100

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

TUNED = """
[fabric]
name = "shop"
stage = "dev"
log_key = "fabric"
regions = ["us-east-1", "eu-west-1"]

[functions]
timeout_seconds = 60
environment = { CURRENCY = "EUR", LANGUAGE = "en" }
layers = [
    "arn:aws:lambda:us-east-1:111122223333:layer:metrics:7",
    "arn:aws:lambda:eu-west-1:111122223333:layer:metrics:9",
]
architecture = "x86_64"
log_days = 30
tracing = true
maximum_concurrency = 20

[functions.vpc.us-east-1]
subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
security_group_ids = ["sg-0123456789abcdef0"]

[functions.vpc.eu-west-1]
subnet_ids = ["subnet-abcdef01"]
security_group_ids = ["sg-abcdef01", "sg-abcdef02"]

[streams.orders]

[subscriptions.plain]
stream = "orders"
handler = "subscribers.analytics:record"

[subscriptions.own]
stream = "orders"
handler = "subscribers.analytics:record"

[subscriptions.own.function]
memory_megabytes = 1769
timeout_seconds = 900
environment = { CURRENCY = "USD", EXTRA = "" }
layers = []
vpc = {}
architecture = "arm64"
log_days = 365
tracing = false
reserved_concurrency = 90
deployment = "linear10"

[subscriptions.own.function.provisioned_pollers]
minimum = 3
maximum = 9

[subscriptions.reserved]
stream = "orders"
handler = "subscribers.analytics:record"
function = { reserved_concurrency = 30, maximum_concurrency = 5 }
"""


def synthesised_once(definition: Definition, temporary: pytest.TempPathFactory, name: str) -> Synthesised:
    """Synthesise a definition, unless another process of the same run of tests has done so."""
    base = temporary.getbasetemp()
    of_run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = of_run / f"synthesis-{name}"
    with (of_run / f"synthesis-{name}.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not folder.exists():
            made = Path(mkdtemp(dir=of_run))
            synthesise(definition, made, cloudformation_rules=True)
            made.rename(folder)
    return Synthesised(definition, folder / ASSEMBLY)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """The sample definition."""
    definition = read_definition(ROOT / "infra" / "fabric.toml", check_handlers=True)
    return synthesised_once(definition, tmp_path_factory, "shop")


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """Four Regions, a quorum stream in three, one that is not at home, one without subscriptions; all alarms."""
    return synthesised_once(parse_definition(WIDE), tmp_path_factory, "wide")


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """A stage whose functions have settings of their own, from the fabric and from subscriptions."""
    return synthesised_once(parse_definition(TUNED), tmp_path_factory, "tuned")


@pytest.fixture(params=["shop", "wide"])
def synthesised(request: pytest.FixtureRequest) -> Synthesised:
    """Each of them."""
    synthesis: Synthesised = request.getfixturevalue(request.param)
    return synthesis
