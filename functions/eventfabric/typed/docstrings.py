"""Docstrings of a class's members: the text below each, which Python itself does not keep."""

import ast
from inspect import cleandoc, getsource
from itertools import pairwise
from textwrap import dedent


def member_docstrings(cls: type) -> dict[str, str]:
    """Return the docstrings of members, by name; those of base classes, too. A class without source has none."""
    docstrings: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        docstrings |= _own(base)
    return docstrings


def _own(cls: type) -> dict[str, str]:
    if cls.__module__ in ("builtins", "typing", "enum") or cls.__module__.startswith(("msgspec", "pydantic")):
        return {}
    try:
        tree = ast.parse(dedent(getsource(cls)))
    except (OSError, TypeError, SyntaxError):  # made by code, or its file is gone
        return {}
    body = tree.body[0].body if tree.body and isinstance(tree.body[0], ast.ClassDef) else []
    return {
        member.target.id: cleandoc(text.value.value)
        for member, text in pairwise(body)
        if isinstance(member, ast.AnnAssign)
        and isinstance(member.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
