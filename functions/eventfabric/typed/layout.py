"""Layout of generated Python: expressions that formatters leave alone at any line length from 88, and literals."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

COLUMNS: Final = 88


@dataclass(frozen=True, slots=True)
class Group:
    """A bracket with parts, such as `list[...]`, which is written on several lines where one does not hold it."""

    opening: str
    parts: "tuple[Expression, ...]"
    closing: str


@dataclass(frozen=True, slots=True)
class Either:
    """A union, `A | B`."""

    parts: "tuple[Expression, ...]"


Expression: TypeAlias = str | Group | Either


def on_one_line(expression: Expression) -> str:
    """Return the expression on one line, however long."""
    if isinstance(expression, str):
        return expression
    if isinstance(expression, Either):
        return " | ".join(map(on_one_line, expression.parts))
    return expression.opening + ", ".join(map(on_one_line, expression.parts)) + expression.closing


def laid_out(before: str, expression: Expression, *, indent: str = "") -> str:
    """Return `before` and the expression: on one line if that holds it, otherwise each part on a line of its own.

    A comma after the last part keeps formatters from joining the lines again.
    """
    line = indent + before + on_one_line(expression)
    if isinstance(expression, str) or len(line) <= COLUMNS:
        return line
    if isinstance(expression, Either):
        expression = Group("Union[", expression.parts, "]")
    inner = indent + "    "
    lines = [laid_out("", part, indent=inner) + "," for part in expression.parts]
    return "\n".join([indent + before + expression.opening, *lines, indent + expression.closing])


def literal(value: Any) -> Expression:
    """Return the literal of a JSON value."""
    if isinstance(value, str):
        return text_literal(value)
    if isinstance(value, list):
        return Group("[", tuple(map(literal, value)), "]")
    if isinstance(value, dict):
        return Group("{", tuple(_entry(name, part) for name, part in value.items()), "}")
    return repr(value)


def _entry(name: str, value: Any) -> Expression:
    part, before = literal(value), f"{text_literal(name)}: "
    return (
        Group(before + part.opening, part.parts, part.closing)
        if isinstance(part, Group)
        else before + str(part)
    )


def text_literal(text: str) -> str:
    """Return the literal of a text, with the quotation marks that need fewer escapes."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + _escaped(text).replace(quote, "\\" + quote) + quote


def docstring(text: str, *, indent: str) -> str:
    """Return a docstring. Quotation marks at its ends, or in a row, are escaped."""
    body = "\n".join(map(_escaped, text.split("\n"))).replace('""', '\\"\\"')
    if body.startswith('"'):
        body = "\\" + body
    if body.endswith('"') and not body.endswith('\\"'):
        body = body[:-1] + '\\"'
    lines = body.split("\n")
    if len(lines) > 1:
        lines.append("")
    text = "\n".join(
        indent + line if line or index == len(lines) - 1 else "" for index, line in enumerate(lines)
    )
    return f'{indent}"""{text.removeprefix(indent)}"""'


def _escaped(text: str) -> str:
    return "".join(
        character
        if character.isprintable() and character != "\\"
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
