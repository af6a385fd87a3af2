"""Folders of schemas, and how a fabric in memory holds events to them."""

import json
from pathlib import Path
from typing import Any

from eventfabric.contracts.checks import SchemaChecks
from eventfabric.contracts.folder import SchemaFolder

PLACED: dict[str, Any] = {
    "type": "object",
    "required": ["order"],
    "properties": {"order": {"type": "string"}, "total": {"type": "number"}, "placed": {"type": "string"}},
}


def written(folder: Path, schemas: dict[str, Any]) -> Path:
    """Write schemas, each by its stream and type, such as `orders/OrderPlaced`, and return their folder."""
    for name, schema in schemas.items():
        file = folder / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(schema), encoding="utf-8")
    return folder


def checks(folder: Path, schemas: dict[str, Any], *, is_closed: bool = True) -> SchemaChecks:
    return SchemaChecks(SchemaFolder(written(folder, schemas)), is_closed=is_closed)
