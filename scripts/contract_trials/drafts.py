"""Schemas of drafts 4 to 7, said in 2020-12. What has no equal there is left as it is, for the lint to refuse."""

from typing import Any

from eventfabric.contracts.keywords import KEYWORDS, Form


def modern(schema: Any) -> Any:
    """Return a schema in the words of 2020-12, without keywords that nobody knows: older drafts pass over them."""
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema and "$schema" not in schema:
        kept = ("$ref", "definitions", "$defs")  # older drafts pass over all else beside a reference
        schema = {keyword: value for keyword, value in schema.items() if keyword in kept}
    result = {keyword: value for keyword, value in schema.items() if keyword in KEYWORDS}
    result.pop("$schema", None)
    _rename(schema, result)
    _turn_bounds(schema, result)
    return {keyword: _modern_value(keyword, value) for keyword, value in result.items()}


def _modern_value(keyword: str, value: Any) -> Any:
    form = KEYWORDS[keyword]
    if form is Form.SCHEMA:
        return modern(value)
    if form is Form.SCHEMAS and isinstance(value, list):
        return [modern(item) for item in value]
    if form is Form.MEMBERS and isinstance(value, dict):
        return {name: modern(member) for name, member in value.items()}
    if form is Form.REFERENCE and isinstance(value, str):
        return value.replace("#/definitions/", "#/$defs/")
    return value


def _rename(schema: dict[str, Any], result: dict[str, Any]) -> None:
    """Take over the keywords that have another name now."""
    if "definitions" in schema:
        result["$defs"] = {**result.get("$defs", {}), **schema["definitions"]}
    if isinstance(schema.get("items"), list):
        result["prefixItems"] = result.pop("items")
        if not result["prefixItems"]:
            del result["prefixItems"]
        if "additionalItems" in schema:
            result["items"] = schema["additionalItems"]
    if isinstance(schema.get("dependencies"), dict):
        for name, value in schema["dependencies"].items():
            keyword = "dependentRequired" if isinstance(value, list) else "dependentSchemas"
            result.setdefault(keyword, {})[name] = value


def _turn_bounds(schema: dict[str, Any], result: dict[str, Any]) -> None:
    """Turn the booleans of draft 4 into bounds."""
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(exclusive), bool):
            del result[exclusive]
            if schema[exclusive] and bound in result:
                result[exclusive] = result.pop(bound)
