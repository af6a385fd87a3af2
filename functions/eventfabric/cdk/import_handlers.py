"""A script for a fresh interpreter: `python import_handlers.py REQUEST`, which loads handlers as their functions do.

REQUEST is a file of JSON: the folders to import from, the environment of each function, and where to put the answer,
which has an entry for each function that cannot load its handler: kind, reason, and if that is certain. An import that
fails will fail in the function, too. For other errors the environment may be to blame, which only a function has whole.
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
    answer: dict[str, Any] = {}
    before = dict(os.environ)
    for name, environment in request["functions"].items():
        os.environ.update(environment)
        failure = _failure()
        if failure is not None:
            answer[name] = failure
        os.environ.clear()
        os.environ.update(before)
    Path(request["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def _failure() -> dict[str, Any] | None:
    """Load the handler of the function that the environment describes, and say why that fails."""
    try:
        import_module("eventfabric.handlers.deliver")
        # By name, because the deployment itself must see nothing of what runs.
        settings = import_module("eventfabric.settings").Settings.from_environment()
        import_module("eventfabric.runtime.wiring").deployed(settings).load()
    except (Exception, SystemExit) as error:  # whatever a module does when it is imported
        cause = error.__cause__ or error
        is_refused = cause is error and type(error).__name__ == "HandlerError"
        certain = is_refused or isinstance(cause, ImportError | SyntaxError)
        return {"kind": type(cause).__name__, "reason": str(error), "certain": certain}
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    os._exit(0)  # threads that a module has started must not keep it
