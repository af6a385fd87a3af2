"""Owns how an attribute of moto is replaced and put back; must not know which ones are."""

from contextlib import ExitStack
from typing import Any


def replace(patches: ExitStack, owner: Any, name: str, replacement: Any) -> Any:
    """Set `owner.name` until `patches` closes; returns what was there.

    KeyError where moto no longer defines the name on `owner` itself: a fix that silently patches nothing
    would be worse than none.
    """
    before = vars(owner)[name]
    setattr(owner, name, replacement)
    patches.callback(setattr, owner, name, before)
    return before
