"""Owns where a user's own resources come in: `extension.py` beside the definition, with `extend(stacks)`.

It is called once, when all stacks of the fabric are declared: it may make stacks of its own, grant a function what its
handler needs, and set what else a function is to have. It must not change what the fabric itself declares.
"""

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from eventfabric.errors import EventFabricError
from infra.fabric import FabricStacks

FILE = "extension.py"
FUNCTION = "extend"


class ExtensionError(EventFabricError):
    """There is an extension beside the definition, and it cannot be called."""


def extension_beside(definition: Path) -> Callable[[FabricStacks], None]:
    """What to call with the stacks: the extension beside the definition, or nothing; ExtensionError.

    What the extension raises itself goes on as it is, with its traceback.
    """
    path = definition.resolve().parent / FILE
    if not path.is_file():
        return lambda _: None
    spec = spec_from_file_location("eventfabric_extension", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        where = f"{error.filename}, line {error.lineno}"
        raise ExtensionError(f"{where}: found a syntax error ({error.msg}), allowed: Python") from error
    found: Callable[[FabricStacks], None] | None = getattr(module, FUNCTION, None)
    if not callable(found):
        raise ExtensionError(
            f"{path}: found no function {FUNCTION}, allowed: def {FUNCTION}(stacks: FabricStacks)"
        )
    return found
