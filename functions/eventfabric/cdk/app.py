"""A CDK app with one fabric, which reports all problems in one message before any stack is made.

Context values:

    definition           path of another definition
    stage                stage, instead of the one that EVENTFABRIC_STAGE or the definition names
    account              AWS account to deploy to
    platform             platform of the wheels: `lambda`, or `host` for emulators that run functions on this machine
    streams_again        any new value makes the deployment look up the tables' DynamoDB streams again
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eventfabric.cdk.extensions import extension_beside
from eventfabric.cdk.node import choose_node
from eventfabric.errors import DefinitionError, EventFabricError, Problem
from eventfabric.extras import needing
from eventfabric.resources import FABRIC_TAG
from eventfabric.settings import definition_path


def run(
    definition: Path | str | None = None,
    *,
    context: Mapping[str, Any] | None = None,
    cache: Path | None = None,
) -> int:
    """Synthesise a fabric with the extension beside its definition, and check it against the AwsSolutions rules.

    If it cannot be deployed: a message on standard error, and exit code 1; 130 if it was interrupted.

    Args:
        definition: path of the definition, if the context names no other; by default it is looked for as by everything
            else (see `settings.definition_path`).
        context: context values beside those of the CDK's command line, such as those of cdk.json.
        cache: folder for wheels that were fetched; by default one in the user's home.
    """
    if "CDK_OUTDIR" in os.environ:
        # Else a process that ends too soon leaves a former assembly, which would be deployed.
        Path(os.environ["CDK_OUTDIR"], "manifest.json").unlink(missing_ok=True)
    try:
        _synthesise(definition, dict(context or {}), cache)
    except EventFabricError as error:
        print(f"cannot be deployed: {error}", file=sys.stderr)
        return 1
    except SystemExit as error:
        print(f"cannot be deployed: the extension ends the process, with {error.code!r}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _synthesise(default: Path | str | None, context: dict[str, Any], cache: Path | None) -> None:
    choose_node()
    with needing("infra", "the deployment"):
        import aws_cdk as cdk
        import cdk_nag

    from eventfabric.cdk.fabric import EventFabric

    app = cdk.App(analytics_reporting=False, context=context)
    _refuse_signing(app.node.try_get_context("code_signing_config"))
    definition = Path(str(app.node.try_get_context("definition") or default or definition_path()))
    fabric = EventFabric(
        app,
        definition=definition,
        stage=app.node.try_get_context("stage"),
        extension=extension_beside(definition),
        account=app.node.try_get_context("account"),
        platform=app.node.try_get_context("platform") or "lambda",
        cache=cache,
    )
    cdk.Tags.of(app).add(FABRIC_TAG, fabric.topology.fabric)
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    app.synth()


def _refuse_signing(value: object) -> None:
    """Refuse a setting that earlier versions took: nobody should believe that it has an effect. DefinitionError."""
    if value is not None:
        allowed = "no value: nothing here signs code; an extension can set such a config (docs/deploy.md)"
        raise DefinitionError([Problem("code_signing_config", str(value), allowed)], where="context")
