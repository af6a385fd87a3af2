"""Guarantee: what a subscription promises of each event, and all that follows from the promise.

Nobody compares guarantees: callers ask for a property. A new one joins here, and where it is carried out.
"""

from enum import StrEnum


class Guarantee(StrEnum):
    """A promise of how often an event takes effect. Its value is its name in a definition."""

    AT_MOST_ONCE = "at_most_once"
    AT_LEAST_ONCE = "at_least_once"
    EXACTLY_ONCE = "exactly_once"

    @property
    def meaning(self) -> str:
        """The promise in words, as the reference of the definition has it."""
        match self:
            case Guarantee.AT_MOST_ONCE:
                return "commit the cursor, then call the handler."
            case Guarantee.AT_LEAST_ONCE:
                return "call the handler, then commit."
            case Guarantee.EXACTLY_ONCE:
                return "the handler's DynamoDB writes and the cursor commit in one transaction."

    @property
    def commits_first(self) -> bool:
        """Events are committed before they are attempted, so they are attempted once, whatever comes of it."""
        return self is Guarantee.AT_MOST_ONCE

    @property
    def transactional(self) -> bool:
        """The handler's writes in DynamoDB commit together with the cursor."""
        return self is Guarantee.EXACTLY_ONCE

    @property
    def may_lose(self) -> bool:
        """An event may have no effect: the attempt that failed or crashed was its only one."""
        return self.commits_first

    @property
    def may_repeat(self) -> bool:
        """An event may take effect again, after a crash between its effect and the commit."""
        return not self.commits_first and not self.transactional

    @property
    def sets_aside(self) -> bool:
        """An event that fails is kept, to be tried again, and to be a dead letter in the end."""
        return not self.commits_first
