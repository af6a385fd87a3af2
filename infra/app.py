"""The CDK app, `python -m infra.app`: reads a definition, checks it, stages the functions and declares the stacks.

Problems are reported in one message, before any stack is made. Context values:

    definition           path of the definition; default: infra/fabric.toml
    account              AWS account to deploy to
    code_signing_config  ARNs, one for each Region, separated by commas
    platform             platform of the wheels: `lambda`, or `host` for emulators that run functions on this machine
    streams_again        any new value makes the deployment look up the tables' DynamoDB streams again
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from eventfabric.cdk.imports import check_imports
from eventfabric.cdk.node import choose_node
from eventfabric.cdk.staging import LIBRARY, stage
from eventfabric.cdk.wheels import platform_named, unpacked_wheels
from eventfabric.definition.file import handler_folders, read_definition
from eventfabric.definition.schema import Definition
from eventfabric.errors import EventFabricError, MissingExtraError
from eventfabric.extras import needing
from eventfabric.topology import Topology

if TYPE_CHECKING:
    import aws_cdk as cdk

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"


@dataclass(frozen=True)
class Staged:
    """The staged code of the functions: a folder, and the hash of its content."""

    path: Path
    hash: str


def main() -> int:
    """Synthesise the app. If the definition cannot be deployed: a message on standard error, and exit code 1."""
    choose_node()
    try:
        with needing("infra", "the deployment"):
            import aws_cdk as cdk
    except MissingExtraError as error:
        print(f"cannot be deployed: {error}", file=sys.stderr)
        return 1
    from eventfabric.cdk.checks import check_regions, signing_configs
    from eventfabric.cdk.extensions import extension_beside

    app = cdk.App(analytics_reporting=False, context=context())
    path = Path(str(app.node.try_get_context("definition") or ROOT / "infra" / "fabric.toml"))
    # A temporary folder is enough: synthesis copies the staged code into the assembly, where it can be inspected.
    with TemporaryDirectory(prefix="eventfabric-functions-") as folder:
        try:
            read = read_definition(path)
            check_regions(read, where=str(path))
            signing_configs(app.node.try_get_context("code_signing_config"), read)
            extend = extension_beside(path)
            functions = next(
                (candidate for candidate in handler_folders(path) if candidate.is_dir()), LIBRARY
            )
            platform = platform_named(app.node.try_get_context("platform") or "lambda")
            wheels = unpacked_wheels(functions, cache=BUILD / "wheels", platform=platform)
            # Handlers are looked up among the files of the zip: what only this machine has would be missing in Lambda.
            definition = read_definition(path, check_handlers=True, search_path=[functions, wheels])
            target = Path(folder, definition.fabric.name)
            staged = Staged(target, stage(definition, functions=functions, target=target, wheels=wheels))
            check_imports(definition, target, functions=functions, where=str(path))
            extend(declare(app, definition, staged))
        except EventFabricError as error:
            print(f"cannot be deployed: {error}", file=sys.stderr)
            return 1
        app.synth()
    return 0


def declare(app: "cdk.App", definition: Definition, staged: Staged) -> Any:
    """Declare all stacks of the definition, and check them against the AwsSolutions rules. Returns a FabricStacks."""
    with needing("infra", "the deployment"):
        import aws_cdk as cdk
        import cdk_nag

    from eventfabric.cdk.checks import signing_configs
    from eventfabric.cdk.fabric import FabricStacks

    stacks = FabricStacks(
        app,
        Topology(definition),
        code_path=str(staged.path),
        code_hash=staged.hash,
        account=app.node.try_get_context("account"),
        signing_configs=signing_configs(app.node.try_get_context("code_signing_config"), definition),
    )
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    return stacks


def context() -> dict[str, Any]:
    """Read the context of cdk.json, so that synthesis without the CDK's command line gives the same result."""
    context: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]
    return context


if __name__ == "__main__":
    sys.exit(main())
