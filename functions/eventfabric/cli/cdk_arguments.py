"""Arguments of the CDK's command line that commands of this one must know. All others are passed on unread."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import typer


@dataclass(frozen=True)
class CdkArguments:
    """Arguments of a deployment, by what needs them. `access`: whatever calls AWS; `rest`: the deployment alone."""

    app: str | None
    output: str
    context: list[str]
    profile: str | None
    access: list[str]
    rest: list[str]

    @property
    def contexts(self) -> dict[str, str]:
        """The context values by name."""
        return {name: value for name, _, value in (text.partition("=") for text in self.context)}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise typer.BadParameter(message)


_OURS = {
    "--definition": "--context definition=PATH, or EVENTFABRIC_DEFINITION",
    "--region": "names of stacks, such as 'shop-*-REGION'",
    "--endpoint-url": "the environment's AWS_ENDPOINT_URL",
}
"""Options of other commands, and what does the same here. The CDK ignores what it does not know."""


def refuse_ours(given: Sequence[str]) -> None:
    """Raise BadParameter for an option of other commands, without which something else would be deployed."""
    for word in given:
        name = word.partition("=")[0]
        if name in _OURS:
            raise typer.BadParameter(f"{name}: the CDK does not know it; allowed: {_OURS[name]}")


def parse(given: Sequence[str]) -> CdkArguments:
    """Parse the arguments of a command of the CDK. Raises BadParameter if an option lacks its value."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--app", "-a")
    parser.add_argument("--output", "-o", default="cdk.out")
    parser.add_argument("--context", "-c", action="append", default=[])
    parser.add_argument("--profile")
    parser.add_argument("--role-arn", "-r")
    parser.add_argument("--toolkit-stack-name")
    options, rest = parser.parse_known_args(list(given))
    access: list[str] = []
    for name in ("profile", "role_arn", "toolkit_stack_name"):
        if (value := getattr(options, name)) is not None:
            access += [f"--{name.replace('_', '-')}", value]
    return CdkArguments(options.app, options.output, options.context, options.profile, access, rest)
