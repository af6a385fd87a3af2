"""Examined: the result of comparing a lane of one Region's log with itself and with its origin's."""

from dataclasses import dataclass

from eventfabric.model import Mark, Tail
from eventfabric.model.finding import Finding, FindingKind


@dataclass(frozen=True, slots=True)
class Examined:
    """The result for a lane: its mark from now on, the end of its log, and the findings.

    If the log has lost its end, `tail` is the end of what was verified; then it carries no expiry. `is_cut_off`: the
    time was over before all that is new was verified, so that nothing is known yet.
    """

    mark: Mark
    tail: Tail
    findings: tuple[Finding, ...]
    is_cut_off: bool = False

    @property
    def is_silent(self) -> bool:
        """Tell if nothing has come by replication since the lane stalled."""
        return any(finding.kind is FindingKind.REPLICATION_SILENT for finding in self.findings)

    def moved_since(self, before: Mark) -> bool:
        """Tell if more came to the lane than was copied."""
        return before.sequence < self.mark.sequence != before.end
