"""Who runs a command, for what goes on record."""

import os
from getpass import getuser


def user_name() -> str:
    """By name where the user has one; in a container there may be none."""
    try:
        return getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
