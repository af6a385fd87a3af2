"""Annotations of the schema: marks that give documentation and bounds, and the texts that have a form.

pydantic and JSON Schema read the marks by duck typing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, ClassVar, Final, TypeAlias

from annotated_types import Predicate

from eventfabric.limits import (
    NAME_CHARACTERS_MAX,
    SOURCE_CHARACTERS_MAX,
    STAGE_CHARACTERS_MAX,
    TYPE_CHARACTERS_MAX,
)


@dataclass(frozen=True, slots=True)
class Doc:
    """The meaning of a key, in words. `default` describes a default that no constant can express."""

    text: str
    default: str | None = None

    def __get_pydantic_json_schema__(
        self, core_schema: object, handler: Callable[[object], dict[str, object]]
    ) -> dict[str, object]:
        suffix = f" Default: {self.default}." if self.default else ""
        return {**handler(core_schema), "description": self.text + suffix}


@dataclass(frozen=True, slots=True)
class FromKey:
    """Marks a field whose value is the name of its table, so the file has no key for it."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """The form of a text: `regex` describes it to machines, and `says` to people."""

    regex: str
    says: str

    def __get_pydantic_core_schema__(
        self, source: object, handler: Callable[[object], dict[str, object]]
    ) -> dict[str, object]:
        return {**handler(source), "pattern": self.regex}


@dataclass(frozen=True, slots=True)
class PowersOfTwo:
    """Allows the powers of two up to `most`, listed one by one in the JSON Schema."""

    most: int

    def __get_pydantic_json_schema__(
        self, core_schema: object, handler: Callable[[object], dict[str, object]]
    ) -> dict[str, object]:
        return {**handler(core_schema), "enum": [1 << bit for bit in range(self.most.bit_length())]}


@dataclass(frozen=True, slots=True)
class Listed:
    """Allows the listed numbers, and no others between them."""

    numbers: tuple[int, ...]

    def __get_pydantic_json_schema__(
        self, core_schema: object, handler: Callable[[object], dict[str, object]]
    ) -> dict[str, object]:
        return {**handler(core_schema), "enum": list(self.numbers)}


class Table:
    """A table of the file. It takes no keys but its fields, and no values that would have to be converted."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True}


Name: TypeAlias = Annotated[
    str,
    Pattern(
        rf"^[a-z][a-z0-9-]{{0,{NAME_CHARACTERS_MAX - 1}}}$",
        f"1 to {NAME_CHARACTERS_MAX} lower-case letters, digits and hyphens, a letter first",
    ),
]
Stage: TypeAlias = Annotated[
    str,
    Pattern(
        rf"^[a-z][a-z0-9]{{0,{STAGE_CHARACTERS_MAX - 1}}}$",
        f"1 to {STAGE_CHARACTERS_MAX} lower-case letters and digits, a letter first",
    ),
]
Contact: TypeAlias = Annotated[
    str,
    Pattern(
        r"^[!-~]([ -~]{0,126}[!-~])?$",
        "1 to 128 printable ASCII characters, such as an address, without a blank first or last",
    ),
]
Source: TypeAlias = Annotated[
    str,
    Pattern(
        rf"^[!-~]{{1,{SOURCE_CHARACTERS_MAX}}}$",
        f"a source of events, a URI reference of 1 to {SOURCE_CHARACTERS_MAX} printable ASCII characters",
    ),
]
Note: TypeAlias = Annotated[str, Pattern(r"^[ -~]{1,200}$", "1 to 200 printable ASCII characters")]
_RFC_3339: Final = r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time_ms(text: str) -> int | None:
    """Convert an RFC 3339 time to milliseconds since 1970, rounded up; None if the text is not such a time."""
    if not re.fullmatch(_RFC_3339, text, re.ASCII):
        return None
    try:
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)  # fails if UTC has no such date
        return -((_EPOCH - moment) // timedelta(milliseconds=1))
    except (ValueError, OverflowError):
        return None


def is_start(text: str) -> bool:
    """Tell if a text is a valid `start` of a subscription."""
    return text in ("earliest", "latest") or parse_time_ms(text) is not None


def is_date(text: str) -> bool:
    """Tell if a text is a date that the calendar has."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


Date: TypeAlias = Annotated[
    str, Pattern(r"^\d{4}-\d{2}-\d{2}$", 'a date in quotes, such as "2027-06-01"'), Predicate(is_date)
]
BeginsAt: TypeAlias = Annotated[
    str,
    Pattern(
        rf"^(earliest|latest|{_RFC_3339})$", '"earliest", "latest" or an RFC 3339 time with a zone, in quotes'
    ),
    Predicate(is_start),
]
RegionName: TypeAlias = Annotated[
    str, Pattern(r"^[a-z]{2,4}(-[a-z]+){1,2}-[1-9]$", "the name of an AWS Region, such as us-east-1")
]
_IDENTIFIER: Final = "[A-Za-z_][A-Za-z0-9_]*"
Reference: TypeAlias = Annotated[
    str, Pattern(rf"^{_IDENTIFIER}(\.{_IDENTIFIER})*:{_IDENTIFIER}$", "package.module:name")
]
HandlerReference: TypeAlias = Annotated[
    str, Pattern(rf"^{_IDENTIFIER}(\.{_IDENTIFIER})*:{_IDENTIFIER}$", "package.module:function")
]
EventType: TypeAlias = Annotated[
    str,
    Pattern(rf"^.{{1,{TYPE_CHARACTERS_MAX}}}$", f"an event type of 1 to {TYPE_CHARACTERS_MAX} characters"),
]
TopicArn: TypeAlias = Annotated[
    str,
    Pattern(
        r"^arn:aws[a-z-]*:sns:[a-z]{2,4}(-[a-z]+){1,2}-[1-9]:\d{12}:[A-Za-z0-9_-]{1,256}$",
        "the ARN of an SNS topic (not FIFO), such as arn:aws:sns:us-east-1:111122223333:on-call",
    ),
]

TABLE_PLACE: Final = "{fabric}"
"""Stands for the fabric's name with its stage in the names of tables."""
TableName: TypeAlias = Annotated[
    str,
    Pattern(
        r"^(\{fabric\})?[A-Za-z0-9._-]{3,255}$",
        f"the name of a table, such as customers, or {TABLE_PLACE}-invoices, where {TABLE_PLACE} stands for the "
        "fabric's name with its stage",
    ),
]

SubnetId: TypeAlias = Annotated[
    str, Pattern(r"^subnet-[0-9a-f]{8,17}$", "the id of a subnet, such as subnet-0123456789abcdef0")
]
SecurityGroupId: TypeAlias = Annotated[
    str, Pattern(r"^sg-[0-9a-f]{8,17}$", "the id of a security group, such as sg-0123456789abcdef0")
]
LayerArn: TypeAlias = Annotated[
    str,
    Pattern(
        r"^arn:aws[a-z-]*:lambda:[a-z]{2,4}(-[a-z]+){1,2}-[1-9]:\d{12}:layer:[A-Za-z0-9_-]{1,140}:[1-9]\d{0,9}$",
        "the ARN of a layer with its version, such as arn:aws:lambda:us-east-1:111122223333:layer:metrics:7",
    ),
]

_TAKEN: Final = ("AWS_", "EVENTFABRIC_", "LAMBDA_")
_NOT_TAKEN: Final = ("AWS_LAMBDA_EXEC_WRAPPER", "AWS_XRAY_CONTEXT_MISSING")
"""Variables of layers and of X-Ray that Lambda does not set itself."""


def is_free_variable(name: str) -> bool:
    """Tell if neither Lambda nor the fabric, whose clients AWS's variables configure as well, uses a variable."""
    return name in _NOT_TAKEN or not name.upper().startswith(_TAKEN)


VariableName: TypeAlias = Annotated[
    str,
    Pattern(
        r"^[A-Za-z][A-Za-z0-9_]+$",
        "at least two letters, digits and _, a letter first; no name that begins with AWS_, LAMBDA_ or EVENTFABRIC_, "
        f"which Lambda and the fabric use themselves, except {' and '.join(_NOT_TAKEN)}",
    ),
    Predicate(is_free_variable),
]
VariableValue: TypeAlias = Annotated[str, Pattern(r"^[^\x00]*$", "text without the character 0")]
