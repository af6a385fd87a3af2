"""Tools that are not in the environment, in the folder build of this clone."""

from collections.abc import Sequence
from pathlib import Path

from eventfabric.cdk import tools

ROOT = Path(__file__).resolve().parents[1]


def installed(name: str, lock: bytes, commands: Sequence[Sequence[str]]) -> Path:
    """Return the folder build/<name>-<digest of the lock>, installed if needed (see tools.installed)."""
    return tools.installed(name, lock, commands, folder=ROOT / "build")
