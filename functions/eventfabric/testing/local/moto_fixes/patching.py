"""Replaces an attribute of moto and restores it later; does not know which attributes."""

from contextlib import ExitStack
from typing import Any


def replace(patches: ExitStack, owner: Any, name: str, replacement: Any) -> Any:
    """Set `owner.name` until `patches` closes. Return the previous value.

    KeyError if moto no longer defines the name on `owner` itself: a fix that silently patches nothing would be
    worse than none.
    """
    before = vars(owner)[name]
    setattr(owner, name, replacement)
    patches.callback(setattr, owner, name, before)
    return before
