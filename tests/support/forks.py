"""Code that runs in a forked process."""

import os
from collections.abc import Callable
from signal import SIGKILL
from threading import Thread

SECONDS = 20


def in_a_fork(call: Callable[[], None]) -> int:
    """Run a call in a forked child. Return its exit code: -9 if it hangs."""
    child = os.fork()
    if not child:
        code = 1
        try:
            call()
            code = 0
        except BaseException:  # whatever ends the child is printed, and ends nothing but the child
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    ended: list[int] = []
    waiter = Thread(target=lambda: ended.append(os.waitpid(child, 0)[1]), daemon=True)
    waiter.start()
    waiter.join(SECONDS)
    if not ended:
        os.kill(child, SIGKILL)
        waiter.join()
    return os.waitstatus_to_exitcode(ended[0])
