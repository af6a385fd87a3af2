"""Settling of steps that are in doubt, by what a person found out about them."""

from eventfabric.errors import NotUnknownError, SettingError
from eventfabric.model import StepKey, StepState
from eventfabric.ports import Steps
from eventfabric.sdk.step import result_text


class StepOutcome:
    """The outcome of a step: it happened, with a result, or it did not."""

    def __init__(self, *, happened: bool, result: object) -> None:
        """SettingError: the result is not plain JSON, or is for a step that did not happen."""
        self._text, problem = result_text(result)
        if problem or (result is not None and not happened):
            shown = result if problem else self._text
            raise SettingError("result", shown, "plain JSON values, of a step that happened")
        self._happened = happened

    def settle(
        self, steps: Steps, key: StepKey, known: StepState | None, *, may_stand_elsewhere: bool
    ) -> None:
        """Settle a step of which so much is known. NotUnknownError: it is not in doubt; nothing is changed.

        `may_stand_elsewhere`: another Region may have begun it.
        """
        if known is None or not known.is_in_doubt:
            state = known.outcome if known else "never began"
            raise NotUnknownError(f"step {key} {state}: allowed: one that is in doubt")
        if self._happened:
            steps.finish(key, self._text)
        elif may_stand_elsewhere:
            steps.release(key)  # a former owner's note, which left it in doubt, must count no more
        else:
            steps.forget(key)
