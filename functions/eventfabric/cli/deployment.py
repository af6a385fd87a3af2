"""`eventfabric synth`, `deploy`, `diff`, `destroy` and `bootstrap`: the CDK's command line, for a project's app.

All arguments but --stage, --adopt and --dry-run are passed on, and the CDK's process takes the place of this one: so
its exit code, its questions and its signals are the CDK's own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfabric.cli.cdk_arguments import CdkArguments, parse, refuse_ours
from eventfabric.cli.output import complain, say
from eventfabric.resources import ENVIRONMENT_STAGE

if TYPE_CHECKING:
    from eventfabric.cli.adoption import Adoption

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


def deploy(
    context: typer.Context,
    stage: Stage = None,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="First take retained tables and keys back into their stacks.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --adopt: only list what would be taken back.")
    ] = False,
) -> None:
    """Deploy the project's stacks.

    Arguments are those of `cdk deploy`; `eventfabric deploy -- --help` lists them. Runs what cdk.json names.

    After `destroy` or a failed first deployment, tables, keys and aliases are there, and in no stack: a deployment
    would fail because they exist. --adopt imports them into the stacks that declare them, and then deploys.

    Example: eventfabric deploy --all

    Example: eventfabric deploy --stage dev --all

    Example: eventfabric deploy --adopt --dry-run
    """
    if dry_run and not adopt:
        raise typer.BadParameter("--dry-run: allowed only with --adopt")
    if adopt:
        _adopt(context, stage, dry_run=dry_run)
    else:
        _run("deploy", context, stage)


def diff(context: typer.Context, stage: Stage = None) -> None:
    """Show what a deployment would change, and what is deployed of subscriptions that the definition lacks.

    Arguments are those of `cdk diff`; `eventfabric diff -- --help` lists them. Runs what cdk.json names.

    Example: eventfabric diff
    """
    _run("diff", context, stage)


def destroy(context: typer.Context, stage: Stage = None) -> None:
    """Delete the project's stacks. Tables and keys are retained. Names what stays of subscriptions that were removed.

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
    """Replace this process by the CDK's command. Raises MissingExtraError, InstallError, ProfileNotFound."""
    refuse_ours(context.args)
    if name in ("deploy", "diff", "destroy") and not {"--help", "-h"} & {*context.args}:
        from eventfabric.cdk.command_line import cdk_command
        from eventfabric.cli.strays import warnings

        cdk_command()  # without it, there is nothing to warn of
        for sentence in warnings(context.args, stage):
            complain(sentence)
    _become([name, *context.args], stage)


def _become(arguments: Sequence[str], stage: str | None) -> None:
    from eventfabric.cdk.command_line import cdk_command

    command = [*cdk_command(), *arguments]
    sys.stdout.flush()
    os.execve(command[0], command, _environment(stage))


def _environment(stage: str | None) -> dict[str, str]:
    from eventfabric.cdk.command_line import environment_of_apps

    return {**environment_of_apps(), **({} if stage is None else {ENVIRONMENT_STAGE: stage})}


def _adopt(context: typer.Context, stage: str | None, *, dry_run: bool) -> None:
    """Import what is retained, and deploy the same assembly.

    Raises AdoptionRefusedError, MissingExtraError, InstallError, ProfileNotFound.
    """
    from eventfabric.aws.clients import session_for
    from eventfabric.cdk.assembly import copy_to_import, stacks_in
    from eventfabric.cli.adoption import adoptions, delete_failed

    refuse_ours(context.args)
    arguments = parse(context.args)
    session: Any = session_for(None, profile=arguments.profile)
    assembly = _assembly(arguments, stage)

    def client(service: str, region: str) -> Any:
        return session.client(service, region_name=region)

    planned = adoptions(stacks_in(assembly), client)
    for line in _described(planned):
        say(line)
    if dry_run:
        return
    with TemporaryDirectory(prefix="eventfabric-import-") as folder:
        imported = Path(folder, "cdk.out")
        if planned:
            copy_to_import(assembly, imported)
        for adoption in planned:
            if adoption.failed_id is not None:
                delete_failed(adoption, client)
            _cdk(
                [
                    *("import", adoption.stack.id, "--force", "--app", str(imported), *arguments.access),
                    *("--resource-mapping-inline", json.dumps(adoption.identifiers)),
                ],
                stage,
            )
    _become(["deploy", *arguments.rest, "--app", str(assembly), *arguments.access], stage)


def _described(planned: Sequence["Adoption"]) -> list[str]:
    return [
        f"into stack {adoption.stack.name}: {' '.join(identifier.values())}"
        for adoption in planned
        for identifier in adoption.identifiers.values()
    ] or ["nothing to adopt"]


def _assembly(arguments: CdkArguments, stage: str | None) -> Path:
    """Synthesise the app, unless it is an assembly already. Returns the assembly's folder."""
    if arguments.app is not None and Path(arguments.app).is_dir():
        return Path(arguments.app)
    app = [] if arguments.app is None else ["--app", arguments.app]
    contexts = [word for value in arguments.context for word in ("--context", value)]
    _cdk(["synth", "--quiet", *app, "--output", arguments.output, *contexts, *arguments.access], stage)
    return Path(arguments.output)


def _cdk(arguments: Sequence[str], stage: str | None) -> None:
    """Run a command of the CDK, and end with its exit code if it fails."""
    from eventfabric.cdk.command_line import cdk_command

    ran = subprocess.run([*cdk_command(), *arguments], env=_environment(stage), check=False)
    if ran.returncode != 0:
        adopted = "what was adopted so far stays so, and the same command goes on from there"
        complain(
            f"cdk {arguments[0]} failed; {adopted if arguments[0] == 'import' else 'nothing was adopted'}"
        )
        raise typer.Exit(ran.returncode)
