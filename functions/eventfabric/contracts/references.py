"""References of a schema: all of them lead to a schema in the same document."""

from typing import Any
from urllib.parse import unquote

from eventfabric.contracts.keywords import KEYWORDS, Form, JsonSchema, subschemas


class References:
    """Finds what `$ref` means in one document."""

    def __init__(self, root: JsonSchema) -> None:
        self.root = root
        self._anchors: dict[str, tuple[str, ...]] | None = None

    def path(self, reference: str) -> tuple[str, ...] | None:
        """Return the path of the schema that a reference means; None if there is none in this document."""
        if not reference.startswith("#"):
            return None
        try:
            fragment = unquote(reference[1:], errors="strict")
        except UnicodeDecodeError:
            return None
        if not fragment:
            return ()
        if not fragment.startswith("/"):
            return self.anchors().get(fragment)
        path = tuple(token.replace("~1", "/").replace("~0", "~") for token in fragment[1:].split("/"))
        return path if self.schema(path) is not None else None

    def schema(self, path: tuple[str, ...]) -> JsonSchema | None:
        """Return the schema at a path; None if no schema stands there."""
        schema: Any = self.root
        tokens = iter(path)
        for keyword in tokens:
            form = KEYWORDS.get(keyword) if isinstance(schema, dict) and keyword in schema else None
            if form not in (Form.SCHEMA, Form.SCHEMAS, Form.MEMBERS):
                return None
            schema = schema[keyword]
            if form is not Form.SCHEMA:
                schema = _inside(schema, next(tokens, None))
        return schema if isinstance(schema, dict | bool) else None

    def target(self, schema: dict[str, Any]) -> JsonSchema | None:
        """Return the schema that the `$ref` of a schema means; None if it has none, or one that means nothing."""
        reference = schema.get("$ref")
        path = self.path(reference) if isinstance(reference, str) else None
        return None if path is None else self.schema(path)

    def anchors(self) -> dict[str, tuple[str, ...]]:
        """Return the paths of all anchors by their names."""
        if self._anchors is None:
            self._anchors = {}
            waiting: list[tuple[tuple[str, ...], JsonSchema]] = [((), self.root)]
            while waiting:
                path, schema = waiting.pop()
                if not isinstance(schema, dict):
                    continue
                anchor = schema.get("$anchor")
                if isinstance(anchor, str):
                    self._anchors[anchor] = path
                waiting += [((*path, *inner), value) for inner, value in subschemas(schema)]
        return self._anchors


def _inside(container: Any, token: str | None) -> Any:
    if isinstance(container, dict) and token is not None:
        return container.get(token)
    is_index = token is not None and token.isascii() and token.isdigit() and str(int(token[:6])) == token
    if isinstance(container, list) and is_index and token is not None and int(token) < len(container):
        return container[int(token)]
    return None
