"""A new project, from the templates beside this file: what `eventfabric new` writes."""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from string import Template
from typing import Final

from eventfabric.definition.file import parse_definition
from eventfabric.version import VERSION

TEMPLATES: Final = Path(__file__).with_name("templates")
DEFINITION: Final = PurePosixPath("infra/fabric.toml")
_SUFFIX: Final = ".template"
"""Ending of each template, so that neither tools for Python nor a .gitignore take it for a file of this project."""
_HIDDEN: Final = "dot_"
"""Beginning of the names that begin with a dot in the project."""


def rendered(name: str, regions: Sequence[str]) -> dict[PurePosixPath, str]:
    """Render each file of a project, by its path in the project. DefinitionError: no fabric has such a name or Region.

    Args:
        name: the fabric's name.
        regions: its Regions, the home Region first.
    """
    values = {
        "name": json.dumps(name)[1:-1],  # in quotation marks, for the definition that is checked
        "project": name.rstrip("-"),
        "regions": json.dumps(list(regions)),
        "region": next(iter(regions), ""),
        "durability": "replicated" if len(regions) > 1 else "regional",
        "version": VERSION,
    }
    definition = Template((TEMPLATES / f"{DEFINITION}{_SUFFIX}").read_text(encoding="utf-8"))
    parse_definition(definition.substitute(values), where="the new project")
    return {
        _path_in_project(template): Template(template.read_text(encoding="utf-8")).substitute(values)
        for template in sorted(TEMPLATES.rglob(f"*{_SUFFIX}"))
    }


def _path_in_project(template: Path) -> PurePosixPath:
    parts = template.relative_to(TEMPLATES).as_posix().removesuffix(_SUFFIX).split("/")
    return PurePosixPath(
        *("." + part.removeprefix(_HIDDEN) if part.startswith(_HIDDEN) else part for part in parts)
    )
