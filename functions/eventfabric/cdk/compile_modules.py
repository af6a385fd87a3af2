"""A script for the Python that functions run on: `python compile_modules.py FOLDER` compiles every module in a folder.

It imports only the standard library. The bytecode is valid for whatever stands beside it (`unchecked-hash`), because
neither of them changes in a function, and it names files as the function has them. One process compiles all modules
in the order of their names, so that the same Python makes the same bytes of them anywhere.
"""

import py_compile
import sys
from importlib.util import cache_from_source
from pathlib import Path

_DEPLOYED = "/var/task"
"""Folder into which Lambda unpacks the zip."""


def compile_modules(folder: Path) -> None:
    """Compile all modules that have no bytecode yet. Those that do not compile stay without."""
    for name in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py")):
        source = str(folder / name)
        target = cache_from_source(source, optimization="")
        if Path(target).exists():
            continue
        try:
            py_compile.compile(
                source,
                target,
                dfile=f"{_DEPLOYED}/{name}",
                doraise=True,
                optimize=0,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except py_compile.PyCompileError:
            continue  # what handlers import was checked; other files may be templates, or for another Python


if __name__ == "__main__":
    compile_modules(Path(sys.argv[1]))
