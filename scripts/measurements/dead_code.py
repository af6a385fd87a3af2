"""Code that nothing uses, as vulture finds it, and its gate in scripts/check. Exit code 1: there is dead code.

vulture goes by names, so it misses what shares its name with something used. Imports are ruff's, which knows scopes.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from vulture import Vulture

from scripts.install import ROOT

ALIVE = Path(__file__).with_name("alive.toml")
_CONFIDENCE_MIN = 60
"""The confidence that vulture has in all that is not an import or an argument."""
_LISTS = ("functions/eventfabric/model/__init__.py",)
"""Files that list names for others to import, whether or not anybody does."""
_CALLED_BY_FRAMEWORKS = ["@app.callback", "@app.command", "@pytest.fixture"]


class Unused(NamedTuple):
    """Something with a name that nothing uses."""

    file: str
    name: str


def unused_in(folders: Iterable[Path]) -> dict[Unused, int]:
    """Return what nothing in these folders uses, each with its line."""
    vulture = Vulture(ignore_names=["__*__"], ignore_decorators=_CALLED_BY_FRAMEWORKS)
    files = [
        path
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        if path.relative_to(ROOT).as_posix() not in _LISTS
    ]
    vulture.scavenge(files)
    for path in files:
        vulture.used_names.update(names_in_quoted_annotations(path.read_text(encoding="utf-8")))
    return {
        Unused(item.filename.relative_to(ROOT).as_posix(), item.name): item.first_lineno
        for item in vulture.get_unused_code(min_confidence=_CONFIDENCE_MIN)
        if item.typ != "import"
    }


def names_in_quoted_annotations(text: str) -> Iterator[str]:
    """Iterate over the names in annotations that stand in quotes, which vulture does not read."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.arg(annotation=annotation) | ast.AnnAssign(annotation=annotation):
                pass
            case ast.FunctionDef(returns=annotation) | ast.AsyncFunctionDef(returns=annotation):
                pass
            case _:
                continue
        for part in ast.walk(annotation) if annotation else ():
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield from re.findall(r"\w+", part.value)


def alive() -> dict[Unused, str]:
    """Read what is used from outside, and by whom."""
    by_user = tomllib.loads(ALIVE.read_text(encoding="utf-8"))
    return {
        Unused(file, name): user
        for user, files in by_user.items()
        for file, names in files.items()
        for name in names
    }


def main() -> int:
    """Print the dead code in the folders that the command line names."""
    known = alive()
    unused_lines = unused_in(ROOT / name for name in sys.argv[1:])
    dead = [(unused, line) for unused, line in unused_lines.items() if unused not in known]
    for unused, line in dead:
        print(
            f"{unused.file}:{line}: nothing uses {unused.name}; if somebody else does, {ALIVE.name} must say who"
        )
    return 1 if dead else 0


if __name__ == "__main__":
    raise SystemExit(main())
