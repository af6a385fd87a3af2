"""Every name has one home, and private names stay in theirs. The model is one home for all that its package lists."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

from tests.docs.test_house_style import ROOT, assert_none, name_of, python_files, tree_of

FOLDERS = ("functions/", "infra/", "scripts/", "tests/", "examples/")
MODEL = "eventfabric.model"
# Packages that give names of their modules on: the model's, and those through which users import, as the documentation
# says.
DOORS = {
    "eventfabric",
    "eventfabric.cdk",
    "eventfabric.local",
    "eventfabric.model",
    "eventfabric.simulation",
    "eventfabric.testing.idempotency",
}

# The entries of a simulation's history are named with their module, as `history.Appended`: they note what became of
# things that have those names elsewhere.
QUALIFIED = {"eventfabric.testing.simulation.history"}


@cache
def module_files() -> dict[str, Path]:
    """Every module of the project by its dotted name."""
    return {module_of(path): path for folder in FOLDERS for path in python_files(folder)}


def module_of(path: Path) -> str:
    parts = Path(name_of(path).removeprefix("functions/")).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports_of(path: Path) -> tuple[tuple[int, str, str], ...]:
    """Line, module and name of everything that a file takes from a module of the project."""
    return tuple(
        (node.lineno, node.module, alias.name)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.module in module_files()
        for alias in node.names
    )


@cache
def passed_on_by(module: str) -> frozenset[str]:
    """Names that a module imports from another module of the project, and could therefore pass on."""
    return frozenset(
        alias.asname or alias.name
        for node in ast.walk(tree_of(module_files()[module]))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )


def test_the_projects_modules_are_found() -> None:
    assert "eventfabric.model.identity" in module_files()
    assert ("eventfabric.errors", "EventFabricError") in {
        (module, name) for _, module, name in imports_of(ROOT / "functions/eventfabric/__init__.py")
    }


def test_every_name_is_imported_from_the_module_that_defines_it() -> None:
    offences = [
        f"{name_of(path)}:{line}: {name} from {module}"
        for path in module_files().values()
        for line, module, name in imports_of(path)
        if module not in DOORS and name in passed_on_by(module) and f"{module}.{name}" not in module_files()
    ]
    assert_none(offences, "Import the name from its home; a second home makes it look like another thing:")


def public_classes() -> Iterator[tuple[str, str, str]]:
    """Name, module and place of every class of the package that has a name for others to use."""
    for module, path in module_files().items():
        if module.startswith("eventfabric."):
            for node in tree_of(path).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    yield node.name, module, f"{name_of(path)}:{node.lineno}: {node.name}"


def test_no_two_public_classes_share_a_name() -> None:
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for name, module, place in public_classes():
        if module not in QUALIFIED:
            homes[name].append(place)
    offences = [place for places in homes.values() if len(places) > 1 for place in places]
    assert_none(offences, "A name has one meaning and one home. Name the class for what it is:")


def test_what_may_share_a_name_is_named_with_its_module() -> None:
    shared = {name for name, module, _ in public_classes() if module not in QUALIFIED}
    offences = [
        f"{name_of(path)}:{line}: {name} from {module}"
        for path in module_files().values()
        for line, module, name in imports_of(path)
        if module in QUALIFIED and name in shared
    ]
    assert_none(offences, "Import the module, and name the class with it:")


def listed_by_the_model() -> list[str]:
    """Names that the model's package lists for others to import."""
    listed: list[str] = import_module(MODEL).__all__
    return listed


def taken_from_the_model() -> Iterator[tuple[str, str, str]]:
    """Module, name and place of everything that others take from the model."""
    for user, path in module_files().items():
        if not f"{user}.".startswith(f"{MODEL}."):
            for line, module, name in imports_of(path):
                if f"{module}.".startswith(f"{MODEL}."):
                    yield module, name, f"{name_of(path)}:{line}: {name} from {module}"


def test_what_the_model_lists_is_imported_from_its_package() -> None:
    listed = listed_by_the_model()
    offences = [place for module, name, place in taken_from_the_model() if module != MODEL and name in listed]
    assert_none(offences, f"Import the name from {MODEL}, whichever of its modules defines it:")


def test_no_module_of_the_model_is_taken_for_a_name_of_its_package() -> None:
    assert not {
        module for module in module_files() if module.removeprefix(f"{MODEL}.") in listed_by_the_model()
    }
    offences = [
        place for module, name, place in taken_from_the_model() if f"{module}.{name}" in module_files()
    ]
    assert_none(offences, f"Import the names, not the module, from {MODEL}:")


def test_the_models_own_modules_import_each_other() -> None:
    offences = [
        f"{name_of(path)}:{line}: {name}"
        for user, path in module_files().items()
        if user.startswith(f"{MODEL}.")
        for line, module, name in imports_of(path)
        if module == MODEL
    ]
    assert_none(
        offences, "Import the name from the module that defines it: the package is made of these modules:"
    )


def test_the_model_lists_what_others_take() -> None:
    taken = {name for module, name, _ in taken_from_the_model() if module == MODEL}
    assert taken == {*listed_by_the_model()}


def test_no_private_name_is_imported() -> None:
    offences = [
        f"{name_of(path)}:{line}: {name} from {module}"
        for path in module_files().values()
        for line, module, name in imports_of(path)
        if name.startswith("_") and not name.startswith("__")
    ]
    assert_none(
        offences, "A name with a leading underscore is its module's own. Make it public, or do without:"
    )
