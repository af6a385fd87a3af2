"""Check that handlers use no table and no stream of the fabric which their function's role does not reach.

It reads the source of what a handler calls: tables and streams that it names in a call, directly or by a constant of a
module. What only running it can tell is refused when it runs: by the local fabric as by IAM.
"""

import ast
from collections.abc import Iterator
from typing import Final

from eventfabric.deployment.permissions import Resource, Statement, is_allowed, of_function
from eventfabric.deployment.sources import Sources
from eventfabric.deployment.zip_modules import ZipModules
from eventfabric.topology import Topology

_WRITES: Final = {
    "put": "PutItem",
    "update": "UpdateItem",
    "delete": "DeleteItem",
    "check": "ConditionCheckItem",
}
"""Actions that the methods of `delivery.transaction` need."""
_PUBLISHERS: Final = frozenset({"delivery", "fabric", "transaction"})
_ANY: Final = ("Query", "GetItem", "PutItem", "UpdateItem", "DeleteItem", "Scan")


class ZipRights:
    """Tables and streams that handlers name, held against the roles of their functions."""

    def __init__(self, topology: Topology, modules: ZipModules) -> None:
        self._topology = topology
        self._sources = Sources(modules)
        self._tables = {table.name for table in topology.tables}

    def lacks(self, subscription: str, reference: str) -> Iterator[tuple[str, str]]:
        """Say in words which calls of a subscription's handler would be denied, and what is allowed."""
        topology = self._topology.subscription(subscription)
        region, lists = topology.regions[0], topology.definition.tables is not None
        statements = of_function(self._topology, self._topology.deliver_function(subscription, region))
        module, _, name = reference.partition(":")
        for place, node in self._reached(module, name):
            for call in ast.walk(node):
                if isinstance(call, ast.Call):
                    yield from self._denied(place, call, statements, region, lists=lists)

    def _denied(
        self, module: str, call: ast.Call, statements: list[Statement], region: str, *, lists: bool
    ) -> Iterator[tuple[str, str]]:
        """Yield why a call would be denied, and what is allowed. `lists`: the subscription lists its own tables."""
        table, actions = self._table_in(module, call)
        stream = self._stream_in(module, call)
        if table is not None and (lists or table in self._tables):
            resource = Resource("dynamodb", region, f"table/{table}")
            if not any(is_allowed(statements, f"dynamodb:{action}", resource) for action in actions):
                what = f"module {module} uses table {table} in line {call.lineno}"
                allowed = "tables of your own" + (
                    ", as `tables` of the subscription lists them" if lists else ""
                )
                yield f"{what}, which its function's role does not allow", allowed
        elif stream is not None:
            resource = Resource("dynamodb", region, f"table/{self._topology.stream(stream).table.name}")
            if not is_allowed(statements, "dynamodb:PutItem", resource):
                what = f"module {module} publishes to {stream} in line {call.lineno}"
                yield (
                    f"{what}, which its function's role does not allow",
                    "streams that its subscription publishes to",
                )

    def _reached(self, module: str, name: str) -> Iterator[tuple[str, ast.stmt]]:
        """Yield the definition of a handler, and of all that it uses, each with its module."""
        waiting, visited = [(module, name), *self._late(module, name)], set[tuple[str, int]]()
        while waiting:
            place = self._sources.definition_of(*waiting.pop())
            if place is None or (place[0], place[1].lineno) in visited:
                continue
            visited.add((place[0], place[1].lineno))
            yield place
            waiting += self._used_in(*place)

    def _late(self, module: str, name: str) -> list[tuple[str, str]]:
        """List the functions that are declared for late events of a handler."""
        tree = self._sources.tree(module)
        return [
            (module, node.name)
            for node in (tree.body if tree is not None else [])
            if isinstance(node, ast.FunctionDef)
            and any(ast.unparse(decorator) == f"{name}.late" for decorator in node.decorator_list)
        ]

    def _used_in(self, module: str, node: ast.stmt) -> Iterator[tuple[str, str]]:
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                yield module, part.id
            elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
                other = self._sources.module_called(module, part.value.id)
                if other is not None:
                    yield other, part.attr

    def _table_in(self, module: str, call: ast.Call) -> tuple[str | None, tuple[str, ...]]:
        """Return the table that a call uses, if it names one, and actions of which it needs one."""
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        for keyword in call.keywords:
            if keyword.arg == "TableName":
                return self._text(module, keyword.value), ("".join(map(str.title, method.split("_"))),)
        first = call.args[0] if call.args else None
        if method == "Table":
            return self._text(module, first), _ANY
        if method in _WRITES and _receiver(call) == "transaction":
            return self._text(module, first), (_WRITES[method],)
        return None, ()

    def _stream_in(self, module: str, call: ast.Call) -> str | None:
        """Return the stream of the fabric to which a call publishes, if it names one."""
        if not isinstance(call.func, ast.Attribute) or call.func.attr != "publish":
            return None
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        if _receiver(call) not in _PUBLISHERS and not {"key", "type"} <= keywords.keys():
            return None
        stream = self._text(module, call.args[0] if call.args else keywords.get("stream"))
        return stream if stream in self._topology.streams else None

    def _text(self, module: str, node: ast.expr | None) -> str | None:
        """Return the text that an expression stands for: its own, or that of a constant of a module."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.JoinedStr):
            parts = [self._part(module, part) for part in node.values]
            return None if None in parts else "".join(map(str, parts))
        if isinstance(node, ast.Name):
            value = self._sources.assigned(module, node.id)
            return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            other = self._sources.module_called(module, node.value.id)
            return None if other is None else self._text(other, ast.Name(node.attr))
        return None

    def _part(self, module: str, node: ast.expr) -> str | None:
        """Return the text of a part of an f-string. `delivery.fabric` is the fabric's name with its stage."""
        if not isinstance(node, ast.FormattedValue):
            return self._text(module, node)
        if node.format_spec is not None:
            return None
        is_fabric = ast.unparse(node.value) == "delivery.fabric"
        return self._topology.fabric if is_fabric else self._text(module, node.value)


def _receiver(call: ast.Call) -> str:
    """Return the name of that whose method is called: the last one, for `delivery.transaction`."""
    assert isinstance(call.func, ast.Attribute)
    value = call.func.value
    return value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""
