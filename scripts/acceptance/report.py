"""The report of the acceptance test: the checks that were made, and how long each step took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Check:
    """Something that must hold. `problem` is empty if it does."""

    name: str
    problem: str = ""


@dataclass
class Report:
    """The checks that were made, and how long each step took, in seconds. `tell` is called with each, as a line."""

    tell: Callable[[str], None]
    checks: list[Check] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)
    made_up_for: list[str] = field(default_factory=list)
    """Things done beside the deployment, because the emulator does not do them."""
    not_checked: list[str] = field(default_factory=list)
    """Checks that could not be made, and why."""

    @property
    def ok(self) -> bool:
        """True if there were checks, and all hold."""
        return bool(self.checks) and not any(check.problem for check in self.checks)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note how long a step takes."""
        self.tell(f"== {name}")
        began = time.monotonic()
        try:
            yield
        finally:
            self.steps[name] = round(time.monotonic() - began, 1)

    def check(self, name: str, problem: str) -> None:
        """Note a check, and what is wrong, if anything is."""
        self.checks.append(Check(name, problem))
        self.tell(f"{'FAILED' if problem else 'holds'}: {name}{': ' + problem if problem else ''}")
