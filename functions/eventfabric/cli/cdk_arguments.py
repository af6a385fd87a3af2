"""Arguments of the CDK's command line that commands of this one must know. All others are passed on unread."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
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


_OWN = "--stage NAME; of deploy also --adopt, --dry-run"
_OURS = {
    "--stage": _OWN,
    "--adopt": _OWN,
    "--dry-run": _OWN,
    "--definition": "--context definition=PATH, or EVENTFABRIC_DEFINITION",
    "--endpoint-url": "the environment's AWS_ENDPOINT_URL",
}
"""Options that are not the CDK's, and what is allowed instead. The CDK ignores what it does not know."""
_ALIKE = 0.85
"""Likeness from which on an option is one of these, misspelt. That of the CDK's own `--staging` is 0.75."""


def refuse_ours(given: Sequence[str]) -> None:
    """Raise BadParameter for an option of this command line, or one misspelt: it would have no effect."""
    for word in given:
        name = word.partition("=")[0] if word.startswith("--") else ""
        for meant in get_close_matches(name, _OURS, n=1, cutoff=_ALIKE):
            raise typer.BadParameter(f"{name}: the CDK does not know it; allowed: {_OURS[meant]}")


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
