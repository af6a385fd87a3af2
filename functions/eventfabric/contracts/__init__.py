"""Contracts: what the data of an event may hold, by JSON Schema, and which changes of a schema break nobody."""

from typing import Final

SCHEMAS_FOLDER: Final = "schemas"
"""Name of a project's folder of schemas, beside its definition."""
