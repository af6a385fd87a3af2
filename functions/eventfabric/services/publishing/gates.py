"""Gates of streams: subscriptions that let producers append only as far as they grant. Most streams have none.

What a stream without gates does not need is imported where the first gate is declared.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from eventfabric.model import Region, StreamName, SubscriptionName
from eventfabric.ports import Clock, Entropy
from eventfabric.stream_topology import StreamTopology

if TYPE_CHECKING:
    from eventfabric.rare_ports import Credits
    from eventfabric.services.publishing.credits import Gate, KnownCredits

CreditsOf: TypeAlias = "Callable[[], KnownCredits | None]"
"""Look-up of what is known of a stream's credits in one Region; None while it has no gate there."""
GatesOf: TypeAlias = "Callable[[StreamTopology], Sequence[Gate]]"


def ungated() -> "KnownCredits | None":
    """Return what is known of the credits of a stream that nobody gates: nothing."""
    return None


def gates_of(stream: StreamTopology) -> "Sequence[Gate]":
    """Return the gates of a stream, as it is declared in a Region or defined."""
    if not stream.gating:
        return ()
    from eventfabric.services.publishing.credits import Gate

    return [
        Gate(SubscriptionName(own.state_name), is_everywhere=own.definition.deliver == "everywhere")
        for own in stream.gating
    ]


class Gating:
    """Credits of streams as a process knows them, shared by all that appends to them."""

    def __init__(
        self,
        credits_of: "Callable[[Region], Credits]",
        *,
        gates_of: GatesOf = gates_of,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """`credits_of`: a Region's own, to which others are replicated."""
        self._credits_of, self._gates_of = credits_of, gates_of
        self._clock, self._entropy = clock, entropy
        self._known: dict[tuple[str, Region], KnownCredits] = {}

    def of(self, current: Callable[[], StreamTopology], region: Region) -> CreditsOf:
        """Return what to ask for a stream's credits in a Region. `current`: the stream as it is deployed by now."""

        def known() -> "KnownCredits | None":
            stream = current()
            if not self._gates_of(stream):
                return None
            place = stream.name, region
            return self._known.get(place) or self._known.setdefault(place, self._made(current, region))

        return known

    def _made(self, current: Callable[[], StreamTopology], region: Region) -> "KnownCredits":
        from eventfabric.services.publishing.credits import KnownCredits

        return KnownCredits(
            self._credits_of(region),
            StreamName(current().name),
            region,
            gates=lambda: self._gates_of(current()),
            clock=self._clock,
            entropy=self._entropy,
        )
