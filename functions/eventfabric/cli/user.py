"""The name of whoever runs a command, for records of what operators did."""

import os
from getpass import getuser


def user_name() -> str:
    """The user's name, or the number if the user has no name, as in some containers."""
    try:
        return getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
