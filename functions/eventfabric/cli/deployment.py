"""`eventfabric synth`, `deploy`, `diff`, `destroy` and `bootstrap`: the CDK's command line, for a project's app.

All arguments but --stage are passed on, and the CDK's process takes the place of this one: so its exit code, its
questions and its signals are the CDK's own.
"""

import os
import sys
from typing import Annotated

import typer

from eventfabric.resources import ENVIRONMENT_STAGE

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Settings of commands that know no options but --stage and --help."""

Stage = Annotated[
    str | None, typer.Option("--stage", help="Stage. Default: EVENTFABRIC_STAGE, else the definition's.")
]


def synth(context: typer.Context, stage: Stage = None) -> None:
    """Synthesise the project's stacks into cdk.out, and check them. Calls no AWS API.

    Arguments are those of `cdk synth`; `eventfabric synth -- --help` lists them. Runs what cdk.json names.

    Example: eventfabric synth --quiet
    """
    _run("synth", context, stage)


def deploy(context: typer.Context, stage: Stage = None) -> None:
    """Deploy the project's stacks.

    Arguments are those of `cdk deploy`; `eventfabric deploy -- --help` lists them. Runs what cdk.json names.

    Example: eventfabric deploy --all

    Example: eventfabric deploy --stage dev --all
    """
    _run("deploy", context, stage)


def diff(context: typer.Context, stage: Stage = None) -> None:
    """Show what a deployment would change.

    Arguments are those of `cdk diff`; `eventfabric diff -- --help` lists them. Runs what cdk.json names.

    Example: eventfabric diff
    """
    _run("diff", context, stage)


def destroy(context: typer.Context, stage: Stage = None) -> None:
    """Delete the project's stacks. Tables and keys are retained.

    Arguments are those of `cdk destroy`; `eventfabric destroy -- --help` lists them. Runs what cdk.json names.

    Example: eventfabric destroy --all
    """
    _run("destroy", context, stage)


def bootstrap(context: typer.Context, stage: Stage = None) -> None:
    """Prepare the project's Regions for deployments: once for each account and Region.

    Arguments are those of `cdk bootstrap`; `eventfabric bootstrap -- --help` lists them. Runs what cdk.json names.

    Example: eventfabric bootstrap
    """
    _run("bootstrap", context, stage)


def _run(name: str, context: typer.Context, stage: str | None) -> None:
    """Replace this process by the CDK's command. Raises MissingExtraError, InstallError."""
    from eventfabric.cdk.command_line import cdk_command, environment_of_apps

    command = [*cdk_command(), name, *context.args]
    chosen = {} if stage is None else {ENVIRONMENT_STAGE: stage}
    sys.stdout.flush()
    os.execve(command[0], command, {**environment_of_apps(), **chosen})
