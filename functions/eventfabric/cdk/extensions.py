"""Extensions: a user's own resources, declared by `extend(fabric)` in the file `extension.py` beside the definition.

`extend` is called once, after all stacks of the fabric are declared. It may create stacks of its own, grant a function
what its handler needs, and set further properties of a function. It must not change what the fabric itself declares.
"""

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, TypeAlias

from eventfabric.errors import EventFabricError

FILE = "extension.py"
FUNCTION = "extend"

Extension: TypeAlias = Callable[[Any], None]
"""A function of a fabric, which is an EventFabric."""


class ExtensionError(EventFabricError):
    """The extension of a fabric cannot be called."""


def extension_beside(definition: Path) -> Extension | None:
    """Load the extension beside the definition, if there is one. Raises ExtensionError."""
    path = definition.resolve().parent / FILE
    return extension_in(path) if path.is_file() else None


def extension_in(path: Path) -> Extension:
    """Load the extension in a file.

    Raises ExtensionError. Exceptions of the extension itself are not caught, so that they keep their traceback.
    """
    spec = spec_from_file_location("eventfabric_extension", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ExtensionError(f"extension: found {path}, allowed: a file of Python, whose name ends in .py")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        where = f"{error.filename}, line {error.lineno}"
        raise ExtensionError(f"{where}: found a syntax error ({error.msg}), allowed: Python") from error
    extend: Extension | None = getattr(module, FUNCTION, None)
    if not callable(extend):
        raise ExtensionError(
            f"{path}: found no function {FUNCTION}, allowed: def {FUNCTION}(fabric: EventFabric)"
        )
    return extend
