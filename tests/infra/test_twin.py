"""The twin of the functions' zip: a handler that cannot be imported there is refused, by name and with the reason."""

import sys
from pathlib import Path

import pytest

from eventfabric.cdk import twin as module
from eventfabric.cdk.functions_zip import functions_zip
from eventfabric.cdk.staging import stage
from eventfabric.cdk.twin import check_twin, interpreter
from eventfabric.cdk.wheels import WheelsError
from eventfabric.definition.file import read_definition
from eventfabric.errors import DefinitionError
from eventfabric.topology import LAMBDA_PYTHON
from infra.app import WHEELS
from tests.support.messages import missing_from
from tests.support.projects import make_project

HANDLER = "warehouse.stock:count"
HANDLING = "def count(event, delivery): ...\n"
needs_the_functions_python = pytest.mark.skipif(
    interpreter().platform.python != LAMBDA_PYTHON, reason="another version only warns"
)


def imported(folder: Path, source: str, **files: str) -> str:
    """Return the warning about a handler with this source, staged without wheels of the functions' platform."""
    named = {"warehouse/stock.py": source, **files}
    path = make_project(folder, named, handler=HANDLER)
    definition, functions, target = read_definition(path), folder / "functions", folder / "zip"
    stage(definition, functions=functions, target=target, wheels=None)
    return check_twin(definition, target, functions=functions, cache=WHEELS, where=str(path))


def test_what_can_be_imported_is(tmp_path: Path) -> None:
    source = (
        f"import boto3, msgspec, os\nboto3.client('dynamodb')\nassert os.environ['AWS_REGION']\n{HANDLING}"
    )
    assert imported(tmp_path, source) == ""


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
        ("import nothing_like_this\n" + HANDLING, ("ModuleNotFoundError", "nothing_like_this")),
        ("count = len = 1 +\n", ("SyntaxError", "invalid syntax")),
    ],
)
def test_what_cannot_be_imported_is_refused_by_name_with_the_reason(
    source: str, facts: tuple[str, ...], tmp_path: Path
) -> None:
    shelves = "raise ImportError('libshelves.so: cannot open shared object file')\n"
    with pytest.raises(DefinitionError) as caught:
        imported(tmp_path, source, **{"warehouse/shelves.py": shelves})
    assert missing_from(str(caught.value), "subscriptions.bill.handler", HANDLER, *facts) == []


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        (f"import os\nTABLE = os.environ['TABLE']\n{HANDLING}", (HANDLER, "KeyError", "TABLE")),
        ("import os\nos._exit(3)\n", ("ended with 3",)),
    ],
)
def test_what_may_be_otherwise_in_a_function_is_a_warning(
    source: str, facts: tuple[str, ...], tmp_path: Path
) -> None:
    assert missing_from(imported(tmp_path, source), *facts) == []


def test_a_handler_that_never_ends_its_import_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS_MAX", 2)
    assert "did not end" in imported(tmp_path, f"import time\ntime.sleep(60)\n{HANDLING}")


def test_without_the_functions_python_there_are_warnings_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAMBDA_PYTHON", "2.7")
    warning = imported(tmp_path, f"import nothing_like_this\n{HANDLING}")
    assert missing_from(warning, HANDLER, "ModuleNotFoundError", "nothing_like_this") == []


def test_without_wheels_for_this_machine_nothing_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpacked_wheels(*arguments: object, **more: object) -> Path:
        raise WheelsError("no wheel of shelves")

    monkeypatch.setattr(module, "unpacked_wheels", unpacked_wheels)
    assert "no wheel of shelves" in imported(tmp_path, "import nothing_like_this\n")


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
