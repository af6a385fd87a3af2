"""A small subset of DynamoDB's expressions, evaluated on one item. NotImplementedError for anything outside it.

Conditions: attribute_exists, attribute_not_exists, = <> < <= > >=, AND, OR, NOT, parentheses.
Updates: SET (with + - and if_not_exists), REMOVE, ADD. Top-level attributes only.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from operator import ge, gt, le, lt
from re import compile as regex
from typing import Any

from eventfabric.errors import RefusedError
from eventfabric.wire.keys import Item

AttributeValue = dict[str, Any]

_TOKEN = regex(r"\s*(#?[A-Za-z_]\w*|:\w+|<>|<=|>=|[=<>+\-(),])")
_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_SETS = ("SS", "NS", "BS")
_CLAUSES = ("SET", "REMOVE", "ADD", "DELETE")


class InvalidUpdateError(Exception):
    """The update does not fit the item as it is. In a transaction this is a reason for cancellation of its own."""


def holds(request: Mapping[str, Any], item: Item) -> bool:
    """Tell if the item satisfies the request's condition. A request without one is always satisfied."""
    expression = request.get("ConditionExpression")
    if not expression:
        return True
    parser = _Parser(expression, request, item)
    outcome = parser.condition()
    parser.expect_end()
    return outcome


def updated(request: Mapping[str, Any], item: Item) -> Item:
    """Return the item after the request's update. InvalidUpdateError if the update does not fit the item."""
    parser = _Parser(request["UpdateExpression"], request, item)
    return parser.update()


def check_names(request: Mapping[str, Any]) -> None:
    """Refuse, as DynamoDB does, names and values that no expression of the request uses."""
    used = (
        *_tokens(request.get("ConditionExpression") or ""),
        *_tokens(request.get("UpdateExpression") or ""),
    )
    for kind in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        unused = sorted(set(request.get(kind, ())).difference(used))
        if unused:
            raise RefusedError("write", f"ValidationException: {kind}: unused in expressions: {unused}")


def comparable(value: AttributeValue) -> Any:
    """Return a number, text, bytes or set as a Python value that compares and sorts as it does in DynamoDB."""
    ((kind, content),) = value.items()
    if kind == "N":
        return Decimal(content)
    if kind == "NS":
        return frozenset(Decimal(number) for number in content)
    return frozenset(content) if kind in _SETS else content


def equal(left: AttributeValue | None, right: AttributeValue | None) -> bool:
    """Tell if two attribute values are equal: of the same type and with the same value."""
    if left is None or right is None:
        return left is right
    return left.keys() == right.keys() and comparable(left) == comparable(right)


@lru_cache(maxsize=1024)
def _tokens(expression: str) -> tuple[str, ...]:
    """Return an expression's tokens. The fabric has a few dozen expressions, and sends each of them all the time."""
    tokens: list[str] = []
    position = 0
    text = expression.rstrip()
    while position < len(text):
        token = _TOKEN.match(text, position)
        if not token:
            raise NotImplementedError(
                f"memory: {expression!r} at {text[position:]!r}: top-level attributes only"
            )
        tokens.append(token[1])
        position = token.end()
    return tuple(tokens)


class _Parser:
    """Parser that evaluates one expression while reading it, on the item as it was."""

    def __init__(self, expression: str, request: Mapping[str, Any], item: Item) -> None:
        self._expression = expression
        self._names: Mapping[str, str] = request.get("ExpressionAttributeNames", {})
        self._values: Mapping[str, AttributeValue] = request.get("ExpressionAttributeValues", {})
        self._item = item
        self._tokens = _tokens(expression)
        self._position = 0

    def expect_end(self) -> None:
        if self._position < len(self._tokens):
            raise self._unknown(self._tokens[self._position])

    def condition(self) -> bool:
        outcome = self._all()
        while self._took("OR"):
            outcome = self._all() or outcome
        return outcome

    def _all(self) -> bool:
        outcome = self._term()
        while self._took("AND"):
            outcome = self._term() and outcome
        return outcome

    def _term(self) -> bool:
        if self._took("NOT"):
            return not self._term()
        if self._took("("):
            outcome = self.condition()
            self._need(")")
            return outcome
        if self._next() in ("attribute_exists", "attribute_not_exists"):
            wanted = self._take() == "attribute_exists"
            self._need("(")
            is_present = self._name() in self._item
            self._need(")")
            return is_present is wanted
        return self._comparison()

    def _comparison(self) -> bool:
        left = self._operand()
        sign = self._take()
        right = self._operand()
        if sign == "=":
            return left is not None and equal(left, right)
        if sign == "<>":
            return not equal(left, right)
        if sign not in _ORDERINGS:
            raise self._unknown(sign)
        if left is None or right is None or left.keys() != right.keys():
            return False
        return _ORDERINGS[sign](comparable(left), comparable(right))

    def update(self) -> Item:
        new = dict(self._item)
        while self._position < len(self._tokens):
            clause = self._take().upper()
            if clause not in _CLAUSES or clause == "DELETE":
                raise self._unknown(clause)
            self._action(clause, new)
            while self._took(","):
                self._action(clause, new)
        return new

    def _action(self, clause: str, new: Item) -> None:
        name = self._name()
        if clause == "REMOVE":
            new.pop(name, None)
        elif clause == "ADD":
            new[name] = self._added(self._item.get(name), self._required(name))
        else:
            self._need("=")
            value = self._required(name)
            while self._next() in ("+", "-"):
                sign = 1 if self._take() == "+" else -1
                value = _number(value, self._required(name), sign)
            new[name] = value

    def _added(self, old: AttributeValue | None, by: AttributeValue) -> AttributeValue:
        if old is None:
            return by
        kind = next(iter(by))
        if kind in _SETS and kind in old:
            return {kind: sorted({*old[kind], *by[kind]})}
        return _number(old, by, 1)

    def _required(self, name: str) -> AttributeValue:
        value = self._operand()
        if value is None:
            raise InvalidUpdateError(f"an operand of the update of {name!r} is not in the item")
        return value

    def _operand(self) -> AttributeValue | None:
        token = self._next()
        if token.startswith(":"):
            self._take()
            try:
                return self._values[token]
            except KeyError:
                raise self._undefined(token) from None
        if token == "if_not_exists":
            self._take()
            self._need("(")
            stored = self._item.get(self._name())
            self._need(",")
            otherwise = self._operand()
            self._need(")")
            return otherwise if stored is None else stored
        return self._item.get(self._name())

    def _name(self) -> str:
        token = self._take()
        if token.startswith("#"):
            try:
                return self._names[token]
            except KeyError:
                raise self._undefined(token) from None
        if not token[0].isalpha() and token[0] != "_":
            raise self._unknown(token)
        return token

    def _next(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._next()
        if not token:
            raise self._unknown("the end")
        self._position += 1
        return token

    def _took(self, token: str) -> bool:
        if self._next().upper() != token:
            return False
        self._position += 1
        return True

    def _need(self, token: str) -> None:
        if not self._took(token):
            raise self._unknown(self._next() or "the end")

    def _undefined(self, token: str) -> RefusedError:
        return RefusedError("write", f"ValidationException: {self._expression!r}: {token} is not defined")

    def _unknown(self, token: str) -> NotImplementedError:
        return NotImplementedError(f"memory: {self._expression!r}: found {token!r}, see this module's subset")


def _number(left: AttributeValue, right: AttributeValue, sign: int) -> AttributeValue:
    if "N" not in left or "N" not in right:
        raise InvalidUpdateError("an operand in the update expression has an incorrect data type")
    total = Decimal(left["N"]) + sign * Decimal(right["N"])
    return {"N": format(total.normalize() if total % 1 else total.to_integral_value(), "f")}
