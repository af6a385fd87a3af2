"""`eventfabric synth`, `deploy`, `diff`, `destroy` and `bootstrap`: the CDK's command line, for a project's app.

All arguments are passed on, and the CDK's process takes the place of this one: so its exit code, its questions and
its signals are the CDK's own.
"""

import os
import sys

import typer

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Settings of commands that know no options but --help."""


def synth(context: typer.Context) -> None:
    """Synthesise the project's stacks into cdk.out, and check them. Calls no AWS API.

    Arguments are those of `cdk synth`; `eventfabric synth -- --help` lists them. Runs what cdk.json names.

    Example: eventfabric synth --quiet
    """
    _run("synth", context)


def deploy(context: typer.Context) -> None:
    """Deploy the project's stacks.

    Arguments are those of `cdk deploy`; `eventfabric deploy -- --help` lists them. Runs what cdk.json names.

    Example: eventfabric deploy --all
    """
    _run("deploy", context)


def diff(context: typer.Context) -> None:
    """Show what a deployment would change.

    Arguments are those of `cdk diff`; `eventfabric diff -- --help` lists them. Runs what cdk.json names.

    Example: eventfabric diff
    """
    _run("diff", context)


def destroy(context: typer.Context) -> None:
    """Delete the project's stacks. Tables and keys are retained.

    Arguments are those of `cdk destroy`; `eventfabric destroy -- --help` lists them. Runs what cdk.json names.

    Example: eventfabric destroy --all
    """
    _run("destroy", context)


def bootstrap(context: typer.Context) -> None:
    """Prepare the project's Regions for deployments: once for each account and Region.

    Arguments are those of `cdk bootstrap`; `eventfabric bootstrap -- --help` lists them. Runs what cdk.json names.

    Example: eventfabric bootstrap
    """
    _run("bootstrap", context)


def _run(name: str, context: typer.Context) -> None:
    """Replace this process by the CDK's command. Raises MissingExtraError, InstallError."""
    from eventfabric.cdk.command_line import cdk_command, environment_of_apps

    command = [*cdk_command(), name, *context.args]
    sys.stdout.flush()
    os.execve(command[0], command, environment_of_apps())
