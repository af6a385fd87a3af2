"""Owns the wheels in the zip: those of scripts/locks/functions.txt, and the user's, for Lambda's platform."""

from pathlib import Path


def unpacked_wheels(functions: Path, *, cache: Path) -> Path | None:
    return None
