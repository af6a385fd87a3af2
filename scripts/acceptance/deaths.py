"""Kills the process of a function around its commits: some before they leave, some when they are done and unconfirmed.

`chain.py` puts this module beside the handlers of the project that it deploys to the emulator. There, functions run on
this machine, and share a folder in which each death is noted, so that it happens once.
"""

import os
import signal
from pathlib import Path
from typing import Any

from botocore.httpsession import URLLib3Session

DEATHS = 2
"""Number of deaths of each function at each of the two moments."""
FOLDER = Path.home() / "deaths"

_send = URLLib3Session.send


def _die(moment: str) -> None:
    for number in range(DEATHS):
        note = FOLDER / f"{os.environ['AWS_LAMBDA_FUNCTION_NAME']}-{moment}-{number}"
        try:
            note.touch(exist_ok=False)
        except FileExistsError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)


def _send_and_die(session: URLLib3Session, request: Any) -> Any:
    if b"TransactWriteItems" not in bytes(request.headers.get("X-Amz-Target", b"")):
        return _send(session, request)
    _die("before")
    response = _send(session, request)
    _die("after")
    return response


URLLib3Session.send = _send_and_die  # type: ignore[assignment]  # a method is not to be replaced, and this one is
