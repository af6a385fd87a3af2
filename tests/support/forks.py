"""Code that runs in a forked process, with what it raised there."""

import os
from collections.abc import Callable
from signal import SIGKILL
from threading import Thread

SECONDS = 20


def in_a_fork(call: Callable[[], None]) -> int:
    """The exit code of a forked child that calls it; -9 where it hangs."""
    child = os.fork()
    if not child:
        code = 1
        try:
            call()
            code = 0
        except BaseException:  # whatever ends the child is told, and ends nothing but the child
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
