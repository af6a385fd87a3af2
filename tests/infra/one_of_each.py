"""One stack of each kind, at the full size of its fabric: as many as there are differ in names alone."""

from pathlib import Path

from eventfabric.cdk.node import choose_node
from eventfabric.cdk.staging import stage
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition
from eventfabric.limits import FABRIC_CHARACTERS_MAX, NAME_CHARACTERS_MAX, STAGE_CHARACTERS_MAX
from eventfabric.topology import Topology
from infra.app import ROOT, context
from tests.infra.synthesis import ASSEMBLY, Synthesised

REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-2", "us-west-2")


def definition_of(subscriptions: int, *, regions: int = 1, streams: int = 1) -> Definition:
    """Make a definition of so many of each, all names as long as they may be."""
    fabric = "f" * (FABRIC_CHARACTERS_MAX - 1 - STAGE_CHARACTERS_MAX)
    text = f'[fabric]\nname = "{fabric}"\nstage = "{"s" * STAGE_CHARACTERS_MAX}"\n'
    text += 'alarms = "all"\nlog_key = "fabric"\n'
    text += f"regions = {list(REGIONS[:regions])}\n".replace("'", '"')
    text += "".join(f"[streams.{longest('stream', number)}]\n" for number in range(streams))
    for number in range(subscriptions):
        text += f"[subscriptions.{longest('subscription', number)}]\n"
        text += (
            f'stream = "{longest("stream", number % streams)}"\nhandler = "subscribers.analytics:record"\n'
        )
    return parse_definition(text)


def longest(kind: str, number: int) -> str:
    return f"{kind}-{number}".ljust(NAME_CHARACTERS_MAX, "x")


def one_of_each(definition: Definition, folder: Path) -> Synthesised:
    """Synthesise one stack of each kind in the home Region."""
    choose_node()
    import aws_cdk as cdk
    from aws_cdk import aws_lambda as lambda_

    from eventfabric.cdk.stacks.cell import CellStack
    from eventfabric.cdk.stacks.keys import KeyStack
    from eventfabric.cdk.stacks.log import LogStack
    from eventfabric.cdk.stacks.subscription import SubscriptionStack
    from eventfabric.cdk.stacks.watch import SubscriptionWatchStack, WatchStack

    topology, code = Topology(definition), folder / "code"
    stage(definition, functions=ROOT / "functions", target=code, wheels=None)
    app = cdk.App(analytics_reporting=False, context=context(), outdir=str(folder / ASSEMBLY))
    env = cdk.Environment(region=topology.home)
    assets = [{"arm64": lambda_.Code.from_asset(str(code))} for _ in range(3)]
    first = next(iter(topology.subscriptions.values()))
    KeyStack(app, topology, env=env)
    LogStack(app, topology, tables=topology.tables, codes=assets[2], env=env)
    CellStack(app, topology, codes=assets[0], env=env)
    SubscriptionStack(app, topology, first, codes=assets[1], env=env)
    WatchStack(app, topology, env=env)
    SubscriptionWatchStack(app, topology, first, env=env)
    app.synth()
    return Synthesised(definition, folder / ASSEMBLY)
