"""Imports of what an extra brings: if a package is missing, the error names the extra and the command for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from eventfabric.errors import MissingExtraError

Extra: TypeAlias = Literal["cli", "infra", "local", "schemas"]


@contextmanager
def needing(extra: Extra, user: str) -> Iterator[None]:
    """Run imports that need an extra. MissingExtraError says what `user` needs, if it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "eventfabric":  # a defect, and nothing that an extra would bring
            raise
        raise MissingExtraError(user, package, extra=extra) from error
