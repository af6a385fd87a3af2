"""The twin of the functions' zip: a handler that cannot be imported there is refused, by name and with the reason."""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from eventfabric.cdk import twin as module
from eventfabric.cdk.functions_zip import functions_zip
from eventfabric.cdk.library import LibraryError
from eventfabric.cdk.staging import copy_wheels, stage
from eventfabric.cdk.twin import check_twin, interpreter
from eventfabric.cdk.wheels import WheelsError
from eventfabric.definition.file import read_definition
from eventfabric.definition.schema import to_json
from eventfabric.errors import DefinitionError
from eventfabric.resources import DEPLOYED_DEFINITION
from eventfabric.topology import LAMBDA_PYTHON
from infra.app import WHEELS
from tests.support.messages import missing_from
from tests.support.projects import make_project

Checked = Callable[[Path], str]
Imported = Callable[..., str]
HANDLER = "warehouse.stock:count"
HANDLING = "def count(event, delivery): ...\n"
needs_the_functions_python = pytest.mark.skipif(
    interpreter().platform.python != LAMBDA_PYTHON, reason="another version only warns"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library as it is staged, with bytecode for the interpreter that imports it: the same in each test's zip."""
    folder = Path(tmp_path_factory.mktemp("library"))
    path = make_project(folder, {"warehouse/stock.py": HANDLING}, handler=HANDLER)
    staged = folder / "zip"
    stage(read_definition(path), functions=None, target=staged, wheels=None, compiler=interpreter().compiler)
    (staged / DEPLOYED_DEFINITION).unlink()
    return staged


def zipped(path: Path, library: Path) -> Path:
    """Make the zip of a definition, without wheels, as a folder beside its own."""
    target = path.parents[1] / "zip"
    copy_wheels(library, target)
    shutil.copytree(path.parents[1] / "functions", target, dirs_exist_ok=True)
    (target / DEPLOYED_DEFINITION).write_bytes(to_json(read_definition(path)))
    return target


@pytest.fixture
def checked(library: Path) -> Checked:
    """Return a function that returns the warning about the handlers of a definition."""

    def warning(path: Path) -> str:
        target, functions = zipped(path, library), path.parents[1] / "functions"
        return check_twin(read_definition(path), target, functions=functions, cache=WHEELS, where=str(path))

    return warning


@pytest.fixture
def imported(tmp_path: Path, checked: Checked) -> Imported:
    """Return a function that returns the warning about a handler with a source, and further files beside it."""

    def warning(source: str, **files: str) -> str:
        return checked(make_project(tmp_path, {"warehouse/stock.py": source, **files}, handler=HANDLER))

    return warning


def test_what_can_be_imported_is(imported: Imported) -> None:
    source = (
        f"import boto3, msgspec, os\nboto3.client('dynamodb')\nassert os.environ['AWS_REGION']\n{HANDLING}"
    )
    assert imported(source) == ""


@needs_the_functions_python
@pytest.mark.parametrize(
    ("source", "facts"),
    [
        (f"from warehouse.shelves import rows\n{HANDLING}", ("ImportError", "libshelves.so")),
        (
            f"import importlib\nimportlib.import_module('mo' + 'to')\n{HANDLING}",
            ("ModuleNotFoundError", "moto"),
        ),
        (f"from boto3 import nothing_like_this\n{HANDLING}", ("ImportError", "nothing_like_this")),
        ("def count(event): ...\n", ("HandlerError", "(event, delivery)")),
        ("async def count(event, delivery): ...\n", ("HandlerError", "async")),
        (f"from eventfabric import upcast\nupcast('Placed', 2, 1)\n{HANDLING}", ("HandlerError", "@upcast")),
        (
            f"from eventfabric import upcast\n@upcast('Placed', 0, 1)\nasync def up(data): ...\n{HANDLING}",
            ("HandlerError", "async"),
        ),
        ("import nothing_like_this\n" + HANDLING, ("ModuleNotFoundError", "nothing_like_this")),
        ("count = len = 1 +\n", ("SyntaxError", "invalid syntax")),
        ("import os\nos._exit(3)\n", ("the process ended", "exit code 3")),
        ("import os\nos._exit(0)\n", ("the process ended", "exit code 0")),
    ],
)
def test_what_cannot_be_imported_is_refused_by_name_with_the_reason(
    source: str, facts: tuple[str, ...], imported: Imported
) -> None:
    shelves = "raise ImportError('libshelves.so: cannot open shared object file')\n"
    with pytest.raises(DefinitionError) as caught:
        imported(source, **{"warehouse/shelves.py": shelves})
    assert missing_from(str(caught.value), "subscriptions.bill.handler", HANDLER, *facts) == []


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        (f"import os\nTABLE = os.environ['TABLE']\n{HANDLING}", (HANDLER, "KeyError", "TABLE")),
        ("import sys\nsys.exit('no table')\n", (HANDLER, "SystemExit", "no table")),
        ("raise KeyboardInterrupt\n", (HANDLER, "KeyboardInterrupt")),
        ("raise type('Odd', (BaseException,), {})('odd')\n", (HANDLER, "Odd", "odd")),
    ],
)
def test_what_may_be_otherwise_in_a_function_is_a_warning(
    source: str, facts: tuple[str, ...], imported: Imported
) -> None:
    assert missing_from(imported(source), *facts) == []


@needs_the_functions_python
@pytest.mark.parametrize("first", ["import os\nos._exit(0)\n", "raise KeyboardInterrupt\n"])
def test_what_one_handler_does_at_its_import_hides_nothing_of_the_next(
    first: str, tmp_path: Path, checked: Checked
) -> None:
    files = {"warehouse/stock.py": first, "warehouse/mail.py": f"import nothing_like_this\n{HANDLING}"}
    path = make_project(tmp_path, files, handler=HANDLER)
    path.write_text(
        f'{path.read_text()}[subscriptions.mail]\nstream = "orders"\nhandler = "warehouse.mail:count"\n'
    )
    with pytest.raises(DefinitionError, match=r"subscriptions\.mail\.handler(.|\n)*nothing_like_this"):
        checked(path)


def test_a_module_that_starts_a_process_keeps_nobody_waiting_and_reads_nothing(imported: Imported) -> None:
    keeps = "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(9)'])\n"
    before = time.monotonic()
    assert imported(f"{keeps}assert sys.stdin.read() == ''\n{HANDLING}") == ""
    assert time.monotonic() - before < 9


@pytest.mark.parametrize("name", ["relay", "timer", "reconcile", "backfill"])
def test_a_zip_whose_library_lacks_an_entry_point_is_refused(
    name: str, tmp_path: Path, library: Path
) -> None:
    path = make_project(tmp_path, {"warehouse/stock.py": HANDLING}, handler=HANDLER)
    staged = zipped(path, library)
    (staged / "eventfabric" / "handlers" / f"{name}.py").unlink()
    with pytest.raises(LibraryError, match=rf"handlers\.{name}"):
        check_twin(read_definition(path), staged, functions=None, cache=WHEELS, where=str(path))


def test_a_handler_that_never_ends_its_import_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, imported: Imported
) -> None:
    monkeypatch.setattr(module, "_SECONDS_MAX", 2)
    assert "did not end" in imported(f"import time\ntime.sleep(60)\n{HANDLING}")


def test_a_machine_that_is_too_slow_for_the_library_itself_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, imported: Imported
) -> None:
    monkeypatch.setattr(module, "_SECONDS_MAX", 0.001)
    assert missing_from(imported(HANDLING), "handlers.relay.handle did not end", HANDLER) == []


def test_without_the_functions_python_there_are_warnings_only(
    monkeypatch: pytest.MonkeyPatch, imported: Imported
) -> None:
    monkeypatch.setattr(module, "LAMBDA_PYTHON", "2.7")
    warning = imported(f"import nothing_like_this\n{HANDLING}")
    assert missing_from(warning, HANDLER, "ModuleNotFoundError", "nothing_like_this") == []


def test_without_wheels_for_this_machine_nothing_is_imported(
    monkeypatch: pytest.MonkeyPatch, imported: Imported
) -> None:
    def unpacked_wheels(*arguments: object, **more: object) -> Path:
        raise WheelsError("no wheel of shelves")

    monkeypatch.setattr(module, "unpacked_wheels", unpacked_wheels)
    assert "no wheel of shelves" in imported("import nothing_like_this\n")


def test_synthesis_warns_of_what_stays_unknown(tmp_path: Path) -> None:
    source = f"import os\nTABLE = os.environ['TABLE']\n{HANDLING}"
    path = make_project(tmp_path, {"warehouse/stock.py": source}, handler=HANDLER)
    made = functions_zip(
        read_definition(path),
        functions=tmp_path / "functions",
        target=tmp_path / "zip",
        cache=WHEELS,
        platform="lambda",
        where=str(path),
    )
    assert "TABLE" in made.warnings["handlers"]
    assert "warehouse" not in sys.modules
