"""Outcomes of a test, such as `pytest.fail`, that are raised in a handler: they end the test, and blame no event."""

import sys


def end_test(error: Exception) -> None:
    """Raise the outcome that a handler's `error` stands for, if it does; it is no Exception, so nobody retries it.

    KeyboardInterrupt for `pytest.exit`, whose own class is an Exception; to pytest, both end the session.
    """
    pytest = sys.modules.get("pytest")  # who has not imported it, raises none of its outcomes
    if pytest is None:
        return
    cause = error.__cause__  # of a HandlerExitedError
    if isinstance(cause, (pytest.fail.Exception, pytest.skip.Exception)):
        raise cause
    if isinstance(error, pytest.exit.Exception):
        raise KeyboardInterrupt(str(error)) from error
