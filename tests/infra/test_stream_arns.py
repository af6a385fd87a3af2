"""A table's stream is looked up again when somebody asks for it, and in no deployment of what is unchanged."""

import json
from pathlib import Path
from typing import Any

from eventfabric.cdk.node import choose_node
from eventfabric.definition.file import parse_definition
from eventfabric.topology import Topology
from infra.app import context


def lookups(folder: Path, **given: str) -> list[dict[str, Any]]:
    """The properties of every lookup in a stack that has nothing else."""
    choose_node()
    import aws_cdk as cdk

    from eventfabric.cdk.constructs.stream_arn import StreamArns

    topology = Topology(
        parse_definition(
            '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\n[streams.other]\n'
        )
    )
    app = cdk.App(analytics_reporting=False, context={**context(), **given}, outdir=str(folder))
    stack = cdk.Stack(app, "stack", env=cdk.Environment(region="us-east-1"))
    tables = [stream.table for stream in topology.streams.values()]
    arns = StreamArns(
        stack, "Arns", name="shop-lookup", tables=tables, settings=topology.own_settings, log_key=None
    )
    for table in tables:
        arns.of(table)
    app.synth()
    template = json.loads((folder / "stack.template.json").read_text())
    resources = template["Resources"].values()
    properties = [
        resource["Properties"] for resource in resources if resource["Type"] == "Custom::EventFabricStreamArn"
    ]
    return sorted(properties, key=lambda item: str(item["TableName"]))


def test_what_cloudformation_compares_changes_where_somebody_says_so_and_only_there(tmp_path: Path) -> None:
    before, same = lookups(tmp_path / "1"), lookups(tmp_path / "2")
    assert before == same
    again = lookups(tmp_path / "3", streams_again="2026-11-28")
    assert [table["TableName"] for table in again] == [table["TableName"] for table in before]
    assert all(new != old for new, old in zip(again, before, strict=True))
    assert {**again[0], "Again": None} == {**before[0], "Again": None}
