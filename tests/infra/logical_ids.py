"""The logical ids of what must not be replaced, as tests/infra/snapshots has them; `python -m tests.infra.logical_ids`
writes them anew.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from eventfabric.definition.file import read_definition
from infra.app import ROOT
from tests.infra.synthesis import Synthesised, synthesise

SNAPSHOT = Path(__file__).parent / "snapshots" / "logical_ids.json"
RENEW = "python -m tests.infra.logical_ids"
STATEFUL = {"AWS::DynamoDB::GlobalTable": "TableName", "AWS::KMS::Key": None, "AWS::KMS::Alias": "AliasName"}
"""Types of what holds data, or without which data cannot be read, and the property that names it."""
QUEUES = {"AWS::SQS::Queue": "QueueName"}


def ids_of(synthesised: Synthesised, kinds: dict[str, str | None] | dict[str, str]) -> dict[str, str]:
    """Return type and name of each resource, by stack and logical id."""
    return {
        place: " ".join(filter(None, [kind, body["Properties"].get(name) if name else None]))
        for kind, name in kinds.items()
        for place, body in synthesised.resources(kind)
    }


def recorded() -> dict[str, str]:
    """Return the resources of the snapshot."""
    ids: dict[str, str] = json.loads(SNAPSHOT.read_text())
    return ids


def main() -> None:
    """Write the snapshot anew."""
    definition = read_definition(ROOT / "infra" / "fabric.toml")
    with TemporaryDirectory() as folder:
        ids = ids_of(synthesise(definition, Path(folder)), STATEFUL)
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_text(json.dumps(ids, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
