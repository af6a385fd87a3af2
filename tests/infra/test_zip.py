"""The zip of the functions: small, complete, of our own and nothing that functions do not need, the same everywhere."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from errno import EXDEV
from pathlib import Path

import pytest

from eventfabric.cdk.bytecode import compiler_for
from eventfabric.cdk.library import imported_package
from eventfabric.cdk.staging import hash_of, stage
from eventfabric.cdk.twin import interpreter
from eventfabric.cdk.wheels import LAMBDA
from eventfabric.definition.file import read_definition
from eventfabric.definition.schema import from_json
from eventfabric.deployment.shipped import SHIPPED, files_in
from eventfabric.errors import SettingError
from eventfabric.resources import DEPLOYED_DEFINITION
from eventfabric.topology import LAMBDA_PYTHON, Topology
from tests.infra.deployed import DEFINITION, FUNCTIONS, command, environment, stage_sample

AWS_SDK = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py")
"""Packages that Lambda's runtime also has; the zip brings the tested versions."""
OWN_MEGABYTES_MAX = 15
NOT_SHIPPED = (
    "aws_cdk",
    "constructs",
    "jsii",
    "moto",
    "pydantic",
    "pydantic_core",
    "typer",
    "rich",
    "pytest",
    "mypy",
)
LEFT_OUT = ("cdk", "cli", "deployment", "local", "simulation", "testing", "typed")
"""Packages of eventfabric that are not in the zip: a new one joins these, or SHIPPED in deployment/shipped.py."""
HANDLERS = ("relay", "deliver", "timer", "reconcile", "backfill")
SUBSCRIBERS = ("analytics", "billing", "shipping", "tables", "clients")
IMPORTED = {
    *(
        "annotated_types",
        "aws_lambda_powertools",
        "backports",
        "boto3",
        "botocore",
        "dateutil",
        "eventfabric",
    ),
    *("jmespath", "msgspec", "s3transfer", "six", "typing_extensions", "urllib3"),
}
"""Top-level packages of the zip that a cold start imports; scripts/bench says what that takes."""
POWERTOOLS = {"jmespath_utils", "typing"}
"""Utilities of Powertools that it imports, each at its price: idempotency and batch would double it."""


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's zip for Lambda, as a folder."""
    folder = Path(tmp_path_factory.mktemp("zip")) / "lambda"
    stage_sample(folder, LAMBDA)
    return folder


@pytest.fixture(scope="session")
def runnable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a staged folder with wheels that run on this machine."""
    folder = Path(tmp_path_factory.mktemp("zip")) / "here"
    stage_sample(folder, interpreter().platform)
    return folder


def size_of(folder: Path, *, without: tuple[str, ...] = ()) -> int:
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in without
    )


def test_it_is_small_beside_the_sdk_of_aws(deployed: Path) -> None:
    assert 1_000_000 < size_of(deployed, without=AWS_SDK) <= OWN_MEGABYTES_MAX * 1_000_000
    assert size_of(deployed) < 250_000_000, "Lambda unpacks no more"


def test_it_holds_nothing_of_the_command_line_the_local_fabric_the_deployment_or_the_tests(
    deployed: Path,
) -> None:
    names = {path.name for path in deployed.iterdir()}
    assert names & {*NOT_SHIPPED, "infra", "tests", "scripts", "bin"} == set()
    packages = {path.name for path in (deployed / "eventfabric").iterdir() if path.is_dir()}
    assert packages - {"__pycache__"} == {*SHIPPED}
    assert not [path for path in deployed.rglob("*") if path.name == "requirements.txt"]


def test_all_that_is_compiled_in_it_is_compiled_for_lambda(deployed: Path) -> None:
    compiled = sorted(path.name for path in deployed.rglob("*.so"))
    assert compiled
    tag = f"cpython-{LAMBDA_PYTHON.replace('.', '')}-aarch64-linux-gnu.so"
    assert [name for name in compiled if not name.endswith((tag, ".abi3.so"))] == []


def test_every_module_has_bytecode_of_the_functions_python_where_that_is_on_this_machine(
    deployed: Path,
) -> None:
    modules = set(deployed.rglob("*.py"))
    bytecode = set(deployed.rglob("*.pyc"))
    tag = f".cpython-{LAMBDA_PYTHON.replace('.', '')}.pyc"
    wanted = {path.parent / "__pycache__" / f"{path.stem}{tag}" for path in modules}
    assert bytecode == (wanted if compiler_for(LAMBDA_PYTHON) else set())


def test_every_package_of_the_library_is_either_shipped_or_left_out() -> None:
    placed = [*SHIPPED, *LEFT_OUT]
    there = {path.name for path in imported_package().iterdir() if path.is_dir()} - {"__pycache__"}
    assert set(placed) == there
    assert len(placed) == len(set(placed))


def test_it_has_every_handler_and_every_subscriber_of_the_sample(deployed: Path) -> None:
    for folder in ("eventfabric/handlers", "subscribers"):
        shipped = {path.relative_to(deployed) for path in files_in(deployed / folder)}
        assert shipped == {path.relative_to(FUNCTIONS) for path in files_in(FUNCTIONS / folder)} != set()


def test_its_definition_reads_back_equal(deployed: Path) -> None:
    assert from_json((deployed / DEPLOYED_DEFINITION).read_bytes()) == read_definition(DEFINITION)


def test_its_hash_is_the_same_in_another_place_at_another_time(deployed: Path, tmp_path: Path) -> None:
    again = tmp_path / "another" / "place"
    assert stage_sample(again, LAMBDA) == hash_of(deployed)
    for path in (again / "eventfabric").rglob("*"):  # the wheels' files are those of the cache
        os.utime(path, (0, 0))
    assert hash_of(again) == hash_of(deployed)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077], ids="{:o}".format)
def test_everybody_may_read_it_whatever_umask_it_was_made_under(tmp_path: Path, umask: int) -> None:
    former = os.umask(umask)
    try:
        wheels, target = tmp_path / "wheels", tmp_path / "zip"
        (wheels / "package").mkdir(parents=True)
        (wheels / "package" / "module.py").write_text("x = 1\n")
        (wheels / "package" / "program").touch(mode=0o755)
        definition, compiler = read_definition(DEFINITION), compiler_for("{}.{}".format(*sys.version_info))
        made = stage(definition, functions=FUNCTIONS, target=target, wheels=wheels, compiler=compiler)
    finally:
        os.umask(former)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in target.rglob("*")}
    programs = {path for path, mode in modes.items() if mode == 0o755 and path.is_file()}
    assert programs == {target / "package" / "program"}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o755}
    assert {mode for path, mode in modes.items() if path.is_file() and path not in programs} == {0o644}
    assert {path.suffix for path in modes} >= {".py", ".pyc", ".json"}
    programs.pop().chmod(0o644)
    assert hash_of(target) != made, "the hash of an asset that nobody can run must not hide one that works"


def staged(folder: Path, *, wheels: dict[str, str] | None = None) -> Path:
    """Stage the folder `functions` in a folder, beside wheels with these files."""
    for name, content in (wheels or {}).items():
        (folder / "wheels" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "wheels" / name).write_text(content)
    unpacked, target = folder / "wheels" if wheels else None, folder / "zip"
    stage(read_definition(DEFINITION), functions=folder / "functions", target=target, wheels=unpacked)
    return target


@pytest.mark.parametrize("linked", [True, False])
def test_wheels_are_in_it_if_files_can_have_two_names_or_not(
    linked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, copy: str) -> None:
        raise OSError(EXDEV, "another file system", source, None, copy)

    if not linked:
        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "functions" / "common").mkdir(parents=True)
    (tmp_path / "functions" / "common" / "ours.py").write_text("")
    shipped = staged(tmp_path, wheels={"common/a.py": "x = 1\n"}) / "common" / "a.py"
    assert shipped.read_text() == "x = 1\n"
    assert shipped.samefile(tmp_path / "wheels" / "common" / "a.py") == linked


def test_all_that_lies_beside_handlers_ships_but_what_is_hidden_or_read_by_pip(tmp_path: Path) -> None:
    functions, hidden = (
        tmp_path / "functions",
        ("requirements.txt", "a/requirements.txt", ".env", "a/.b/c.py"),
    )
    shipped = ("a/h.py", "a/b/requirements.txt", "a/data.bin", "m.pyc", "bin/tool")
    for name in (*shipped, *hidden, "a/__pycache__/h.pyc", "eventfabric/limits.py"):
        (functions / name).parent.mkdir(parents=True, exist_ok=True)
        (functions / name).write_text("")
    (functions / "linked.py").symlink_to("a/h.py")
    (functions / "bin" / "tool").chmod(0o750)
    target = staged(tmp_path)
    files = {path.relative_to(target).as_posix() for path in files_in(target)}
    assert files == {*shipped, "linked.py", DEPLOYED_DEFINITION}
    assert stat.S_IMODE((target / "bin" / "tool").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to(path.parents[1], target_is_directory=True),
        lambda path: path.symlink_to("gone"),
        os.mkfifo,
        lambda path: path.with_name(os.fsdecode(b"refused\xff")).touch(),
    ],
    ids=["a link to a folder", "a link to nothing", "a pipe", "a name that is no text"],
)
def test_what_cannot_be_in_it_is_refused_by_name(make: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "functions" / "a").mkdir(parents=True)
    make(tmp_path / "functions" / "a" / "refused")
    with pytest.raises(SettingError, match=r"functions/a\b.*refused"):
        staged(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        *("rows/__init__.py", "rows", "rows.py", "shelves/__init__.py", "common/a.py/b.py"),
        *("eventfabric.py", "definition.json"),
    ],
)
def test_a_file_that_would_take_anothers_place_is_refused_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "functions" / name).parent.mkdir(parents=True)
    (tmp_path / "functions" / name).touch()
    with pytest.raises(SettingError, match=re.escape(f"functions/{name}: ")):
        staged(tmp_path, wheels={"rows/__init__.py": "", "shelves.py": "", "common/a.py": ""})


def test_folders_without_a_file_in_common_are_one_in_it(tmp_path: Path) -> None:
    (tmp_path / "functions" / "common").mkdir(parents=True)
    (tmp_path / "functions" / "common" / "ours.py").touch()
    folder = staged(tmp_path, wheels={"common/theirs.py": ""}) / "common"
    assert {path.name for path in folder.iterdir()} == {"ours.py", "theirs.py"}


@pytest.mark.parametrize("name", ["eventfabric/aws/more.py", "eventfabric.py", "definition.json"])
def test_a_package_that_brings_a_name_of_the_fabrics_own_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    with pytest.raises(SettingError, match=name.partition("/")[0]):
        staged(tmp_path, wheels={name: ""})


def test_its_hash_changes_with_every_byte_and_every_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"3")
    seen = [hash_of(tmp_path)]
    for name, content in (("a", b"1"), ("b", b"23"), ("c", b""), ("m.pyc", b""), ("m.pyc", b"1")):
        (tmp_path / name).write_bytes(content)
        seen.append(hash_of(tmp_path))
    (tmp_path / "c").rename(tmp_path / "d")
    seen.append(hash_of(tmp_path))
    assert len(set(seen)) == len(seen)


def test_a_byte_of_any_file_changes_the_hash_of_the_zip(deployed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    # One file of each kind and place; what all of them together weigh makes no difference to the hash.
    for name in (
        "eventfabric/handlers/relay.py",
        "eventfabric/limits.py",
        "subscribers/billing.py",
        DEPLOYED_DEFINITION,
    ):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(deployed / name, copy / name)
    before = hash_of(copy)
    for path in [path for path in copy.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert hash_of(copy) != before, path
        path.write_bytes(content)
    assert hash_of(copy) == before


_REPORT = """
import importlib, json
importlib.import_module({module!r})
files = {{name: module.__file__ for name, module in sys.modules.items() if getattr(module, "__file__", None)}}
import sysconfig
print(json.dumps([files, sysconfig.get_paths()["stdlib"]]))
"""


def imported(module: str, folder: Path) -> tuple[dict[str, Path], Path]:
    """Every module with a file that an import loads in a fresh interpreter, and where the standard library is."""
    topology = Topology(read_definition(DEFINITION))
    function = topology.deliver_function("billing", topology.home)
    process = subprocess.run(
        command(_REPORT.format(module=module), folder),
        cwd=folder,
        env=environment(function, folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    files, stdlib = json.loads(process.stdout.splitlines()[-1])
    return {name: Path(file) for name, file in files.items()}, Path(stdlib)


@pytest.mark.parametrize(
    "module",
    [
        *(f"eventfabric.handlers.{name}" for name in HANDLERS),
        *(f"subscribers.{name}" for name in SUBSCRIBERS),
    ],
)
def test_what_functions_import_is_in_the_zip_or_in_pythons_library(module: str, runnable: Path) -> None:
    files, stdlib = imported(module, runnable)
    elsewhere = {
        name: file
        for name, file in files.items()
        if not file.is_relative_to(runnable)
        and (not file.is_relative_to(stdlib) or "site-packages" in file.parts)
    }
    assert elsewhere == {}
    assert files[module].is_relative_to(runnable)


@pytest.mark.parametrize("name", HANDLERS)
def test_a_cold_start_imports_the_packages_that_are_listed_and_no_others(name: str, runnable: Path) -> None:
    files, _ = imported(f"eventfabric.handlers.{name}", runnable)
    from_zip = {module for module, file in files.items() if file.is_relative_to(runnable)}
    assert {module.partition(".")[0] for module in from_zip} == IMPORTED
    utilities = (
        module.split(".") for module in from_zip if module.startswith("aws_lambda_powertools.utilities.")
    )
    assert {parts[2] for parts in utilities} <= POWERTOOLS
    handlers = {module for module in from_zip if module.startswith("eventfabric.handlers.")}
    assert handlers == {f"eventfabric.handlers.{name}"}
