"""Check that handlers can run as they are deployed: from the functions' zip, with the role of their function.

The deployment checks the zip that it has staged; the command line and the local fabric, what it will hold.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from eventfabric.definition.file import handler_folder
from eventfabric.definition.handler_lookup import WantedKind
from eventfabric.definition.schema import Definition, Subscription
from eventfabric.deployment.zip_imports import ZipImports
from eventfabric.deployment.zip_modules import ExpectedModules, ZipModules
from eventfabric.deployment.zip_rights import ZipRights
from eventfabric.errors import DefinitionError, Problem
from eventfabric.topology import Topology


def check_handlers(
    definition: Definition,
    modules: ZipModules,
    *,
    functions: Path | None,
    where: str,
    without: Collection[str] = (),
) -> None:
    """Raise DefinitionError if a handler is not in the zip, imports what is not there, or uses what it may not.

    Args:
        definition: the definition, which names the handlers.
        modules: what the zip holds.
        functions: the user's folder, if there is one.
        where: place of the definition, for the error.
        without: subscriptions whose handlers are not looked at.
    """
    topology = Topology(definition)
    imports, rights = ZipImports(modules, functions), ZipRights(topology, modules)
    problems: list[Problem] = []
    for name, subscription in definition.subscriptions.items():
        if name in without:
            continue
        function = topology.deliver_function(name, topology.subscription(name).regions[0])
        for key, reference, wanted in _references(subscription):
            # Nobody here knows what modules a layer brings.
            lacks = [] if function.layers else list(imports.lacks(reference, wanted))
            if key == "handler" and not lacks:
                lacks += rights.lacks(name, reference)
            problems += [
                Problem(f"subscriptions.{name}.{key}", f'"{reference}", but {lack}', allowed)
                for lack, allowed in dict(lacks).items()
            ]
    if problems:
        raise DefinitionError(problems, where=where)


def check_before_deployment(path: Path, definition: Definition, *, without: Collection[str] = ()) -> None:
    """Raise DefinitionError as the deployment of a definition file will, as far as can be told before it."""
    functions = handler_folder(path)
    if functions is not None:
        modules = ExpectedModules(functions)
        check_handlers(definition, modules, functions=functions, where=str(path), without=without)


def _references(subscription: Subscription) -> Iterator[tuple[str, str, WantedKind]]:
    yield "handler", subscription.handler, "function"
    for index, reference in enumerate(subscription.retry.permanent):
        yield f"retry.permanent[{index}]", reference, "class"
