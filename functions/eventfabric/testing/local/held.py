"""Handlers of a local fabric, held to what they will find as they are deployed."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path

from eventfabric.definition.file import handler_folder
from eventfabric.definition.schema import Definition
from eventfabric.deployment.handler_checks import check_before_deployment
from eventfabric.errors import HandlerError
from eventfabric.model import Event
from eventfabric.ports import Attempt, Handler
from eventfabric.testing.local.zip_guard import NotInZipError, ZipGuard
from eventfabric.wire.published import Effect


class HeldHandlers:
    """Checks handlers as the deployment does, and refuses while they run what the functions' zip will lack.

    Handlers are held to this if the definition is a file with a folder `functions` beside it or beside its folder.

    Args:
        source: the definition's file; of a definition that was made in another way, nothing is known about a zip.
        definition: the definition.
        without: subscriptions that have other handlers here than their own.
    """

    def __init__(
        self, source: Definition | str | PathLike[str], definition: Definition, *, without: Collection[str]
    ) -> None:
        self._file = None if isinstance(source, Definition) else Path(source)
        functions = None if self._file is None else handler_folder(self._file)
        self._guard = None if functions is None else ZipGuard(functions)
        self._definition = definition
        self._without = without
        self._refused: dict[str, None] = {}

    def watching(self) -> AbstractContextManager[None]:
        """Look at imports meanwhile."""
        return nullcontext() if self._guard is None else self._guard.watching()

    def check_before(self) -> None:
        """Check all handlers before they are loaded. DefinitionError."""
        if self._guard is not None and self._file is not None:
            check_before_deployment(self._file, self._definition, without=self._without)

    def handler(self, inner: Handler) -> Handler:
        """Wrap a handler, to note what it tries to import in vain."""
        return _HeldHandler(inner, self._refused)

    def check(self) -> None:
        """Raise HandlerError if an attempt failed because of an import that the zip lacks."""
        if self._refused:
            raise HandlerError(f"missing, here as in the functions' zip: {'; '.join(self._refused)}")


class _HeldHandler:
    def __init__(self, inner: Handler, refused: dict[str, None]) -> None:
        self._inner = inner
        self._refused = refused
        self.batch_events_max = inner.batch_events_max

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Effect]:
        try:
            return self._inner.attempt(events, attempt)
        except NotInZipError as error:
            self._refused[str(error)] = None
            raise
