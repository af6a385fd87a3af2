"""The exit codes: what a script can learn from how a command ended."""

from typing import Final

from eventfabric.errors import (
    AdoptionRefusedError,
    AppendError,
    BackfillError,
    ContendedTransactionError,
    DefinitionError,
    FailoverError,
    HandlerError,
    IndeterminateTransactionError,
    InvalidEventError,
    InvalidSchemaError,
    MissingExtraError,
    PortError,
    PublishFailedError,
    QuarantineRefusedError,
    ReplayRefusedError,
    RestoreRefusedError,
    SettingError,
    SkipRefusedError,
    UnknownNameError,
    WrongRegionError,
)

NOT_SO: Final = 1
BAD_INPUT: Final = 2
NO_ANSWER: Final = 3
STUCK: Final = 4
SKIPPED: Final = 5
DEFECT: Final = 70
INTERRUPTED: Final = 130
CLOSED_PIPE: Final = 141

HELP: Final = f"""Exit codes: 0 success; {NOT_SO} a negative result, or only part could be done (the message says what);
{BAD_INPUT} wrong arguments, files or names, or a missing extra; {NO_ANSWER} a service gave no answer or denied one,
so nothing is known; {STUCK} only of `prove`: everything is proven, but a lane is stuck; {SKIPPED} only of `prove`:
everything that is there is proven, but lost events were skipped;
{DEFECT} a defect of this program (EVENTFABRIC_TRACEBACK=1 shows where);
{INTERRUPTED} interrupted; {CLOSED_PIPE} the reader of the output has gone."""

_WRONG_QUESTIONS: Final = (
    AdoptionRefusedError,
    BackfillError,
    DefinitionError,
    FailoverError,
    HandlerError,
    InvalidEventError,
    InvalidSchemaError,
    MissingExtraError,
    QuarantineRefusedError,
    ReplayRefusedError,
    RestoreRefusedError,
    SettingError,
    SkipRefusedError,
    UnknownNameError,
    UnicodeEncodeError,
    WrongRegionError,
)
_WRAPPED: Final = (AppendError, ContendedTransactionError, IndeterminateTransactionError)
"""Errors of a write whose time is up. Their cause is the last failure of a service."""


def code_of(error: BaseException) -> int:
    """Choose the exit code for an error that ends a command."""
    if isinstance(error, _WRONG_QUESTIONS) or type(error).__name__ == "ProfileNotFound":
        return BAD_INPUT
    if isinstance(error, OSError) and error.filename is not None:
        return BAD_INPUT
    return NO_ANSWER if is_no_answer(error) else NOT_SO


def is_no_answer(error: BaseException | None) -> bool:
    """Tell if an error says that a service gave no answer, or denied one."""
    if isinstance(error, PublishFailedError):
        return not error.published and all(is_no_answer(cause) for _, cause in error.failures)
    if isinstance(error, _WRAPPED):
        return is_no_answer(error.__cause__)
    return isinstance(error, PortError) or is_botocore(error)


def is_botocore(error: BaseException | None) -> bool:
    """Tell if it is one of botocore's own errors: by the module's name, so that --help need not import botocore."""
    return type(error).__module__.startswith("botocore")
