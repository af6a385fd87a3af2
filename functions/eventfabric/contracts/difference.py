"""Difference: why a reader may refuse what a writer publishes, or why nobody can say so."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SchemaDifference:
    """One reason why a schema may refuse what producers publish by another.

    `pointer`: a JSON pointer into the reader's schema, or into the writer's if `is_in_writer`. `keyword`: the keyword
    there. `is_undecided`: it is open if anything breaks; nobody may call it compatible.
    """

    pointer: str
    keyword: str
    rule: str
    remedy: str
    is_undecided: bool = False
    is_in_writer: bool = False

    def __str__(self) -> str:
        schema = "the writer's schema" if self.is_in_writer else "the reader's schema"
        place = self.pointer or "the root"
        verdict = "undecided: " if self.is_undecided else ""
        return f"{place} of {schema}: {verdict}{self.rule}; {self.remedy}"


class TooMuchWorkError(Exception):
    """A comparison that would take more steps than any schema that people write."""


class Work:
    """Counts the steps of one comparison, so that a hostile pair of schemas ends as an answer and not as a hang."""

    def __init__(self, steps_max: int) -> None:
        self.steps = 0
        self._steps_max = steps_max

    def spend(self, steps: int = 1) -> None:
        """Count steps. Raises TooMuchWorkError beyond the bound."""
        self.steps += steps
        if self.steps > self._steps_max:
            raise TooMuchWorkError
