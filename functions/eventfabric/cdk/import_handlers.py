"""A script for a fresh interpreter: `python import_handlers.py REQUEST`, which loads handlers as their functions do.

REQUEST is a file of JSON: the folders to import from, the functions with their environments, and where to put answers:
a line for each function, with its name, and null or why it cannot be loaded: kind, reason, and if that is certain. An
import that fails will fail in the function, too. For other errors the environment may be to blame, which only a
function has whole. Where lines are missing, the first function without one has ended the process.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main(file: Path) -> None:
    """Answer the request in a file."""
    request = json.loads(file.read_text(encoding="utf-8"))
    sys.path[:0] = request["path"]
    before = dict(os.environ)
    with open(request["answers"], "a", encoding="utf-8") as answers:
        for name, function in request["functions"].items():
            os.environ.update(function["environment"])
            failure = _failure(function["entry"], loads=function["loads"])
            os.environ.clear()
            os.environ.update(before)
            answers.write(json.dumps([name, failure]) + "\n")
            answers.flush()


def _failure(entry: str, *, loads: bool) -> dict[str, Any] | None:
    """Import the entry point of a function, load its handler if it has any, and say why that fails."""
    try:
        import_module(entry.rpartition(".")[0])
        if loads:
            # By name, because the deployment itself must see nothing of what runs.
            settings = import_module("eventfabric.settings").Settings.from_environment()
            import_module("eventfabric.runtime.wiring").deployed(settings).load()
    except BaseException as error:  # whatever a module does when it is imported
        cause = error.__cause__ or error
        # Raised by the library itself, while it reads the handler, or within the module, as by a decorator.
        is_refused = type(cause).__name__ == "HandlerError"
        certain = is_refused or isinstance(cause, ImportError | SyntaxError)
        return {"kind": type(cause).__name__, "reason": str(error), "certain": certain}
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    os._exit(0)  # threads that a module has started must not keep it
