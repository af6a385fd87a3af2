"""Contracts: what the data of an event may hold, by JSON Schema, and which changes of a schema break nobody."""

from pathlib import Path
from typing import Final

SCHEMAS_FOLDER: Final = "schemas"
"""Name of a project's folder of schemas, beside its definition."""


def may_be_there(path: Path) -> bool:
    """Tell if anything is at a path, such as a link to nowhere; also where nobody may look, as reading it will say."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
