"""`EventFabric`: a fabric within a CDK app, from its definition and its handlers to its stacks."""

from pathlib import Path
from tempfile import TemporaryDirectory

from constructs import Construct

from eventfabric.cdk.checks import check_regions
from eventfabric.cdk.extensions import Extension, extension_in
from eventfabric.cdk.fabric_stacks import FabricStacks
from eventfabric.cdk.functions_zip import functions_zip
from eventfabric.cdk.wheels import CACHE
from eventfabric.contracts.folder import digests_of
from eventfabric.definition.file import handler_folder, schemas_beside
from eventfabric.definition.schema import Definition
from eventfabric.deployment.quotas import check_quotas
from eventfabric.errors import DefinitionError, Problem, SettingError
from eventfabric.settings import definition_at
from eventfabric.topology import Topology


class EventFabric(FabricStacks):
    """A fabric, declared in an App or a Stage as stacks: `keys`, `logs`, `cells` and `watches`, each by Region, and
    `subscriptions` and `subscription_watches`, by name and Region.

    The stacks have the same names in any app, because everything finds them by names that follow from the fabric's.
    Problems raise an EventFabricError, before any stack is declared.

    Args:
        scope: the App or Stage.
        definition: the definition, or the path of its file.
        stage: the stage, instead of the one that EVENTFABRIC_STAGE or the definition's file names.
        functions: the folder of handlers, and of what they import; by default `functions` beside the definition's file
            or beside its folder.
        extension: a function that declares further resources, or the file that has it (see extensions.py).
        account: AWS account to deploy to; by default that of the Stage, or of whoever deploys.
        platform: platform of the wheels: `lambda`, or `host` for emulators that run functions on this machine.
        cache: folder for wheels that were fetched; by default one in the user's home.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        definition: Definition | Path | str,
        stage: str | None = None,
        functions: Path | str | None = None,
        extension: Extension | Path | str | None = None,
        account: str | None = None,
        platform: str = "lambda",
        cache: Path | str | None = None,
    ) -> None:
        file = None if isinstance(definition, Definition) else Path(definition)
        resolved = _resolved(definition, stage)
        where = "definition" if file is None else str(file)
        check_regions(resolved, where=where)
        check_quotas(resolved, where=where)
        extend = extension_in(Path(extension)) if isinstance(extension, Path | str) else extension
        folder = _folder(functions) if functions is not None else file and handler_folder(file)
        topology = Topology(resolved)
        schemas = {} if file is None else schemas_beside(file, resolved)
        _check_scope(scope, topology)
        # A temporary folder is enough: the CDK copies it into the assembly as soon as the first function is declared.
        with TemporaryDirectory(prefix="eventfabric-functions-") as staged:
            codes = {
                architecture: functions_zip(
                    resolved,
                    functions=folder,
                    schemas=schemas,
                    target=Path(staged, architecture),
                    cache=Path(cache or CACHE).expanduser(),
                    platform=platform,
                    architecture=architecture,
                    where=where,
                )
                for architecture in topology.architectures
            }
            super().__init__(scope, topology, codes, account=account, schemas=digests_of(schemas))
        if extend is not None:
            extend(self)


def _check_scope(scope: object, topology: Topology) -> None:
    """Refuse what stacks cannot be declared in, or what has this fabric already. SettingError."""
    if not isinstance(scope, Construct):
        raise SettingError("scope", type(scope).__name__, "an App or a Stage")
    if scope.node.try_find_child(topology.stack_name("keys", topology.home)) is not None:
        raise SettingError(
            "scope", f"fabric {topology.fabric}, declared before", "one EventFabric of a fabric"
        )


def _folder(functions: Path | str) -> Path:
    """Return the folder of handlers. SettingError: it is none."""
    if not Path(functions).is_dir():
        raise SettingError("functions", str(functions), "a folder, that of the handlers")
    return Path(functions)


def _resolved(definition: Definition | Path | str, stage: str | None) -> Definition:
    """Return the definition, which is read in its stage if it is a file. DefinitionError."""
    if not isinstance(definition, Definition):
        return definition_at(definition, stage=stage)
    if stage not in (None, definition.fabric.stage):
        allowed = f"that of the definition, {definition.fabric.stage}: only a file can be read in another"
        raise DefinitionError([Problem("stage", str(stage), allowed)])
    return definition
