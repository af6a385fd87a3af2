"""Steps: effects outside DynamoDB that a record of their own keeps from happening twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from logging import getLogger
from re import compile as regex
from typing import Any, Final, Self, TypeGuard

import msgspec

from eventfabric import limits
from eventfabric.errors import HandlerError, InvalidEventError, PortError, UnknownStepError
from eventfabric.model import Event, Region, StepKey, StepState, StreamName, SubscriptionName, check_depth
from eventfabric.ports import Steps

_NAME = regex(rf"[A-Za-z0-9._-]{{1,{limits.STEP_NAME_CHARACTERS_MAX}}}\Z")
STEP_NAMES: Final = f"1 to {limits.STEP_NAME_CHARACTERS_MAX} letters, digits, '.', '_' and '-'"
_log = getLogger("eventfabric")


class Step:
    """One effect of one event, as a context manager; see `Delivery.once`.

    begin ── note it ── the block ── returns ─> note that it is done, with its result
                           ├─ raises ─────────> forget it: it begins again (with `verify`: that is asked first)
                           └─ the process dies > nobody knows: `verify` is asked, else UnknownStepError
    """

    def __init__(
        self,
        key: StepKey,
        steps: Steps,
        verify: "Callable[[Step], bool] | None",
        former: Sequence[Region] = (),
    ) -> None:
        self.key = str(key)
        """Text that is equal at each attempt, in every Region, and after a redrive: hand it to the other side."""
        self._key = key
        self._steps = steps
        self._verify = verify
        self._former = former
        self._done: bool | None = None
        self._asked = False
        self._result: Any = None

    @property
    def done(self) -> bool:
        """True if the effect has happened. The block must ask, and do nothing if it has."""
        if self._done is None:
            raise HandlerError(f"step {self._key.name!r}: allowed: only inside its with block")
        self._asked = True
        return self._done

    @property
    def result(self) -> Any:
        """Value that the block set, at whichever attempt it was: plain JSON values, None if it set nothing."""
        return self._result

    @result.setter
    def result(self, value: Any) -> None:
        self._result = value

    def __enter__(self) -> Self:
        standing = left_by_others(self._steps, self._key, self._former) or self._steps.begin(self._key)
        if standing is None:
            self._done = False
        elif standing.done:
            self._done, self._result = True, msgspec.json.decode(standing.result)
        else:
            self._done = self._happened()
            if self._done:
                self._finish()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            if not self._done:
                self._finish()
            if not self._asked:
                raise HandlerError(
                    f"step {self._key.name!r}: its block must ask step.done, or it does it twice"
                )
        elif isinstance(error, Exception) and not self._done and self._verify is None:
            # With `verify` it stays in doubt: a time-out, for example, may hide that the effect happened.
            try:
                self._steps.forget(self._key)
            except PortError as unnoted:
                _log.warning("step %s stays in doubt: %s", self.key, unnoted)

    def _happened(self) -> bool:
        """Tell if an earlier attempt, which never reported an outcome, did it."""
        if self._verify is None:
            raise UnknownStepError(
                f"step {self._key.name!r} of event {self._key.event_id} of source {self._key.source} began and was "
                "never heard of again, "
                f"so it may have happened: ask the other side for {self.key!r}",
                self._key.name,
            )
        answer = self._verify(self)
        if not isinstance(answer, bool):
            raise HandlerError(
                f"step {self._key.name!r}: verify returned {answer!r:.80}, allowed: True (it happened), False (it did "
                "not), or to raise where it cannot tell"
            )
        return answer

    def _finish(self) -> None:
        text, problem = result_text(self._result)
        self._steps.finish(self._key, text)  # in any case: the effect has happened
        if problem:
            raise HandlerError(f"step {self._key.name!r}: result: {problem}")


def left_by_others(steps: Steps, key: StepKey, former: Sequence[Region]) -> StepState | None:
    """Return what counts of the notes that former owners of the lane, other Regions, made about a step, as far as they
    came here; None: this Region's own note counts.

    A step that they finished is done. A step that they left in doubt is in doubt here, until this Region has noted
    anything of its own, such as what a person found out.
    """
    if not former:
        return None
    own = steps.look(key)
    if own is not None and own.done:
        return None
    notes = (steps.look(key, region=region) for region in former)
    left = max(filter(_counts, notes), key=lambda note: note.done, default=None)
    if own is not None and left is not None and not left.done:
        return None
    return left


def _counts(note: StepState | None) -> TypeGuard[StepState]:
    return note is not None and not note.released


@dataclass(frozen=True, slots=True)
class StepMaker:
    """Maker of the steps of one subscription. `open`: opens its records, at the first step."""

    stream: StreamName
    subscription: SubscriptionName
    open: Callable[[], Steps]
    others: tuple[Region, ...] = ()
    """Other Regions that may have delivered the lane before."""

    def make(self, name: str, event: Event, verify: Callable[[Step], bool] | None, *, epoch: int = 0) -> Step:
        """Make the step of that name for that event. HandlerError for a name that it cannot have."""
        if not is_step_name(name):
            raise HandlerError(f"step {name!r:.80}: allowed: {STEP_NAMES}")
        key = StepKey(self.stream, self.subscription, name, event.source or "", event.id or "")
        return Step(key, self.open(), verify, self.others if epoch else ())


def is_step_name(name: str) -> bool:
    """Tell if a step can have that name."""
    return isinstance(name, str) and _NAME.match(name) is not None


def result_text(result: object) -> tuple[str, str]:
    """Return a result as JSON text, and what is wrong with it, if anything; then the text is null. A result must come
    back from JSON as it was.

    JSON text (msgspec.Raw) is kept to the letter.
    """
    allowed = (
        f"plain JSON values of at most {limits.STEP_RESULT_BYTES_MAX:,} bytes, {limits.DATA_DEPTH_MAX} deep"
    )
    try:
        encoded = msgspec.json.encode(result)
        same = msgspec.json.decode(encoded) == result or isinstance(result, msgspec.Raw)
        check_depth(encoded)
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError, InvalidEventError):
        same, encoded = False, b""
    if not same:
        return "null", f"found {type(result).__name__}, allowed: {allowed}"
    if len(encoded) > limits.STEP_RESULT_BYTES_MAX:
        return "null", f"found {len(encoded):,} bytes, allowed: {allowed}"
    return encoded.decode(), ""
