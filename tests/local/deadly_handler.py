"""A subscription's handler for functions in processes of their own: notes what it handled, and some events kill it."""

import os
from pathlib import Path
from typing import Final

from eventfabric import Delivery, Event, subscriber

HANDLED_FILE: Final = "TEST_HANDLED_FILE"
"""Environment variable: the file that gets a line for each handled event, its id."""
DEADLY: Final = "kill the process"
"""The data of an event that nobody survives."""
EXIT_CODE: Final = 9


@subscriber
def handle(event: Event, delivery: Delivery) -> None:
    if event.data == DEADLY:
        # No exception, no clean-up, no answer: as if out of memory, or a fault in native code.
        os._exit(EXIT_CODE)
    with Path(os.environ[HANDLED_FILE]).open("a", encoding="utf-8") as handled:
        handled.write(f"{event.id}\n")
