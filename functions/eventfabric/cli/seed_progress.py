"""Progress of simulated seeds on standard error: a bar on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from eventfabric.testing.simulation.hunt import Progress
from eventfabric.testing.simulation.outcome import SeedOutcome

LINE_SECONDS = 15.0


@contextmanager
def progress(seeds: int | None, *, jobs: int, profile: str) -> Iterator[Progress]:
    """Provide a display of progress while the block runs."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        wanted = "until time is up" if seeds is None else f"seeds: {seeds}"
        yield _Lines(f"profile: {profile}, {wanted}, jobs: {jobs}")
        return
    columns = (
        TextColumn(profile),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[failed]}"),
        TimeElapsedColumn(),
    )
    with RichProgress(*columns, console=console, transient=True) as shown:
        yield _Bar(shown, seeds)


class _Count:
    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.seeds = 0
        self.failures = 0

    def add(self, outcome: SeedOutcome) -> str | None:
        """Count an outcome. Return the line that reports its failure, if it failed."""
        self.seeds += 1
        if not outcome.signature:
            return None
        self.failures += 1
        return f"seed {outcome.seed}: {', '.join(sorted(outcome.signature))}"

    @property
    def rate(self) -> str:
        return f"{self.seeds / max(time.monotonic() - self.begun, 0.001):.1f} seeds/s"

    @property
    def failed(self) -> str:
        return f"{self.failures} failed"


class _Lines:
    def __init__(self, begin: str) -> None:
        self._count = _Count()
        self._line_at = self._count.begun
        self.say(begin)

    def step(self, outcome: SeedOutcome) -> None:
        failure = self._count.add(outcome)
        if failure:
            self.say(failure)
        if time.monotonic() - self._line_at >= LINE_SECONDS:
            self._line_at = time.monotonic()
            self.say(f"{self._count.seeds} seeds, {self._count.rate}, {self._count.failed}")

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _Bar:
    def __init__(self, shown: RichProgress, seeds: int | None) -> None:
        self._shown = shown
        self._count = _Count()
        self._task = shown.add_task("", total=seeds, rate="", failed="")

    def step(self, outcome: SeedOutcome) -> None:
        failure = self._count.add(outcome)
        if failure:
            self.say(failure)
        self._shown.update(self._task, advance=1, rate=self._count.rate, failed=self._count.failed)

    def say(self, text: str) -> None:
        self._shown.console.print(text, markup=False)
