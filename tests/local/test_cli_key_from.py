"""`publish --key-from`: what it takes for the key of a CloudEvent."""

import json
from pathlib import Path
from uuid import uuid4

from eventfabric import Event
from eventfabric.sdk.cloudevents_file import read_cloudevents
from eventfabric.wire.cloudevent import KeyRule
from tests.support.command_line import CommandLine


def test_the_key_of_each_line_may_stand_in_an_attribute_or_in_its_data(
    cli: CommandLine, endpoint: str, tmp_path: Path
) -> None:
    events, options = tmp_path / "events.jsonl", ("--endpoint-url", endpoint, "--json")
    lines = [
        {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": "/s",
            "type": "t",
            "data": {"who": {"id": number}},
        }
        for number in range(2)
    ]
    events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert cli.run("publish", "orders", "--events", events, *options).json["malformed"] == 2
    for rule, keys in (
        ("/who/id", ["0", "1"]),
        ("source", ["/s", "/s"]),
        ("id", [line["id"] for line in lines]),
    ):
        result = cli.run("publish", "orders", "--events", events, "--key-from", rule, *options)
        assert (result.code, result.json["published"]) == (0, 2)
        with events.open("rb") as file:
            read = [event for _, event in read_cloudevents(file, name="e", key_rule=KeyRule.parse(rule))]
        assert [event.key for event in read if isinstance(event, Event)] == keys
    assert (
        cli.run("publish", "orders", "--events", events, "--key-from", "/nobody", *options).json["malformed"]
        == 2
    )
    assert "allowed: " in cli.refused(
        "publish", "orders", "--events", events, "--key-from", "who", *options, code=2
    )
    assert "need --events" in cli.refused(
        "publish", "orders", "--key", "k", "--type", "t", "--key-from", "id", *options, code=2
    )
