"""Texts of a definition that have a form, such as names and ARNs."""

from typing import Annotated, Final, TypeAlias

from annotated_types import Predicate

from eventfabric.definition.marks import Pattern
from eventfabric.limits import NAME_CHARACTERS_MAX, STAGE_CHARACTERS_MAX, TYPE_CHARACTERS_MAX

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
