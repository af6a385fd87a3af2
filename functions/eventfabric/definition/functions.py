"""The keys of a function: what a subscription's function gets to run, and the fabric's defaults for it."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal, TypeAlias

from annotated_types import Interval, Len, Predicate

from eventfabric import limits
from eventfabric.definition.marks import (
    Doc,
    LayerArn,
    Listed,
    RegionName,
    SecurityGroupId,
    SubnetId,
    Table,
    VariableName,
    VariableValue,
)

Architecture: TypeAlias = Literal["arm64", "x86_64"]
Deployment: TypeAlias = Literal["all_at_once", "canary10", "linear10"]
_EXCLUSIVE: Final = {
    "maximum_concurrency": "provisioned_pollers",
    "provisioned_pollers": "maximum_concurrency",
}
"""Keys of which Lambda allows one, and the key that each rules out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vpc(Table):
    """The part of a VPC in which functions of one Region run."""

    subnet_ids: Annotated[
        Annotated[tuple[SubnetId, ...], Len(1, limits.FUNCTION_SUBNETS_MAX)],
        Doc("Subnets, best in several availability zones."),
    ]
    security_group_ids: Annotated[
        Annotated[tuple[SecurityGroupId, ...], Len(1, limits.FUNCTION_SECURITY_GROUPS_MAX)],
        Doc("Security groups of the functions."),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pollers(Table):
    """Pollers that Lambda keeps for a queue. They are paid by the hour."""

    minimum: Annotated[
        Annotated[int, Interval(ge=limits.POLLERS_MIN, le=limits.MINIMUM_POLLERS_MAX)],
        Doc("Pollers that are always there."),
    ] = limits.POLLERS_MIN
    maximum: Annotated[
        Annotated[int, Interval(ge=limits.POLLERS_MIN, le=limits.MAXIMUM_POLLERS_MAX)],
        Doc("Pollers at most."),
    ] = limits.MINIMUM_POLLERS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSettings(Table):
    """Settings of functions."""

    memory_megabytes: Annotated[
        Annotated[
            int, Interval(ge=limits.FUNCTION_MEMORY_MEGABYTES, le=limits.FUNCTION_MEMORY_MEGABYTES_MAX)
        ],
        Doc(
            "Memory, and with it the share of a CPU: 1,769 MB are one CPU. A new account may have 3,008 MB at most."
        ),
    ] = limits.FUNCTION_MEMORY_MEGABYTES
    timeout_seconds: Annotated[
        Annotated[
            int, Interval(ge=limits.FUNCTION_TIMEOUT_SECONDS_MIN, le=limits.FUNCTION_TIMEOUT_SECONDS_MAX)
        ],
        Doc(
            "Seconds after which Lambda ends an invocation. After a crash, doorbells come again when six times as "
            "long has passed."
        ),
    ] = limits.FUNCTION_TIMEOUT_SECONDS
    environment: Annotated[
        dict[VariableName, VariableValue],
        Doc(
            "Environment variables of handlers, also in the local fabric. Values are not secret: the file, the "
            "template and the function's configuration show them. A subscription has the fabric's variables and its "
            "own; its own value wins.",
            default="none",
        ),
    ] = field(default_factory=dict, repr=False)
    layers: Annotated[
        tuple[LayerArn, ...],
        Doc(
            f"ARNs of layers, at most {limits.FUNCTION_LAYERS_MAX} in each Region. A function has those of its own "
            "Region, in this order. Unpacked, they and the functions' zip have "
            f"{limits.ZIP_UNPACKED_BYTES_MAX:,} bytes at most.",
            default="none",
        ),
    ] = ()
    vpc: Annotated[
        dict[RegionName, Vpc],
        Doc(
            "A table for each Region: where in a VPC functions run. An empty table of a subscription keeps its "
            "function out of the fabric's.",
            default="no VPC",
        ),
    ] = field(default_factory=dict)
    architecture: Annotated[
        Architecture, Doc("Processors, and those for which the wheels in the functions' zip are.")
    ] = "arm64"
    log_days: Annotated[
        Annotated[int, Predicate(limits.LOG_DAYS.__contains__), Listed(limits.LOG_DAYS)],
        Doc("Days for which logs are kept."),
    ] = limits.LOG_DAYS_DEFAULT
    tracing: Annotated[bool, Doc("true: Lambda sends traces to X-Ray.")] = False
    maximum_concurrency: Annotated[
        Annotated[int, Interval(ge=limits.MAPPING_CONCURRENCY_MIN, le=limits.MAPPING_CONCURRENCY_MAX)] | None,
        Doc(
            "Invocations that the queue may have at the same time. An invocation takes the doorbells of several lanes, "
            "and no lane is in two invocations.",
            default=f"`reserved_concurrency`, else {limits.MAPPING_CONCURRENCY_DEFAULT}",
        ),
    ] = None
    reserved_concurrency: Annotated[
        Annotated[int, Interval(ge=limits.MAPPING_CONCURRENCY_MIN, le=limits.RESERVED_CONCURRENCY_MAX)]
        | None,
        Doc(
            "Invocations that are set aside for the function, and that it can have at most. The account's quota, less "
            "100, must suffice for all functions.",
            default="none are set aside",
        ),
    ] = None
    provisioned_pollers: Annotated[
        Pollers | None,
        Doc("Pollers that Lambda keeps for the queue, paid by the hour.", default="pollers come and go"),
    ] = None
    deployment: Annotated[
        Deployment,
        Doc(
            "How a new version takes over: at once, with a tenth of the invocations for five minutes (`canary10`), or "
            "with a tenth more each minute (`linear10`). The last two go back if it crashes or runs out of time."
        ),
    ] = "all_at_once"

    @property
    def invocations_max(self) -> int | None:
        """Invocations that the queue may have at the same time; None: its pollers bound them.

        Doorbells are not taken for invocations that the function may not have: throttled, they would be as good as
        failed, and be dead letters in the end.
        """
        if self.maximum_concurrency or self.provisioned_pollers:
            return self.maximum_concurrency
        reserved = self.reserved_concurrency or limits.MAPPING_CONCURRENCY_DEFAULT
        return min(reserved, limits.MAPPING_CONCURRENCY_MAX)

    @property
    def is_gradual(self) -> bool:
        """Tell if a new version takes over bit by bit."""
        return self.deployment != "all_at_once"

    def layers_in(self, region: str) -> list[str]:
        """List the layers of one Region."""
        return [layer for layer in self.layers if layer.split(":")[3] == region]

    def over(self, defaults: "FunctionSettings", *, given: Collection[str]) -> "FunctionSettings":
        """Return these settings for the keys that are `given`, and the defaults for all others."""
        own = {name: getattr(self, name) for name in given}
        ruled_out = {_EXCLUSIVE[name]: None for name in given if name in _EXCLUSIVE}
        return replace(
            defaults, **{**ruled_out, **own, "environment": {**defaults.environment, **self.environment}}
        )

    def of_the_fabric(self) -> "FunctionSettings":
        """Return what these defaults mean for the fabric's own functions, which run no handlers.

        What an account's rules ask of every function holds for them. What handlers need does not: their memory and
        time-outs follow from what they do, and they read no variables or layers of users.
        """
        return FunctionSettings(
            architecture=self.architecture, log_days=self.log_days, tracing=self.tracing, vpc=self.vpc
        )
