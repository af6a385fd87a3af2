"""Patient steps: notes of steps are tried again in place, so that no event pays for a reply that was lost.

A step that was begun and never heard of again is in doubt, and a step in doubt makes its event a dead letter. So a note
that fails for a moment is made again, for as long as a lane run is patient with its own calls.
"""

from collections.abc import Callable
from typing import TypeVar

from eventfabric import limits
from eventfabric.errors import PortError
from eventfabric.model import Region, StepKey, StepState
from eventfabric.ports import Clock, Entropy, Steps
from eventfabric.services.delivery.patience import Patience
from eventfabric.wire import step_item

T = TypeVar("T")


class PatientSteps:
    """ports.Steps on other Steps. Each call is tried again if it may succeed later."""

    def __init__(self, steps: Steps, *, clock: Clock, entropy: Entropy) -> None:
        self._steps = steps
        self._clock = clock
        self._entropy = entropy

    def begin(self, key: StepKey, *, token: bytes = b"") -> StepState | None:
        """See ports.Steps."""
        # One token for all tries: otherwise a second try would find the first one's note, and be in doubt.
        call_token = token or step_item.token_of(
            self._entropy.bytes(step_item.OWNER_BYTES), self._clock.now_ms()
        )
        return self._call(lambda: self._steps.begin(key, token=call_token))

    def finish(self, key: StepKey, result: str) -> None:
        """See ports.Steps."""
        self._call(lambda: self._steps.finish(key, result))

    def forget(self, key: StepKey) -> None:
        """See ports.Steps."""
        self._call(lambda: self._steps.forget(key))

    def release(self, key: StepKey) -> None:
        """See ports.Steps."""
        self._call(lambda: self._steps.release(key))

    def look(self, key: StepKey, *, region: Region | None = None) -> StepState | None:
        """See ports.Steps."""
        return self._call(lambda: self._steps.look(key, region=region))

    def _call(self, effect: Callable[[], T]) -> T:
        """Make a call, and make it again while it fails with an error that may go away."""
        patience: Patience | None = None
        while True:
            try:
                return effect()
            except PortError as error:
                patience = patience or Patience(
                    self._clock, self._entropy, seconds=limits.LANE_PATIENCE_SECONDS
                )
                if not (error.retryable and patience.wait()):
                    raise
