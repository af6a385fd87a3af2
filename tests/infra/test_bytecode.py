"""Bytecode in the zip: the same bytes wherever it is made, used without a look at the source, and never in the hash."""

import shutil
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from eventfabric.cdk import functions_zip as module
from eventfabric.cdk.bytecode import BytecodeError, Compiler, compiler_for
from eventfabric.cdk.functions_zip import functions_zip
from eventfabric.cdk.library import imported_package
from eventfabric.cdk.staging import hash_of
from eventfabric.definition.file import parse_definition

THIS = "{}.{}".format(*sys.version_info)
UNCHECKED_HASH = 0b01


def own_compiler() -> Compiler:
    compiler = compiler_for(THIS)
    assert compiler is not None
    return compiler


def compiled(folder: Path) -> dict[str, bytes]:
    """Return the bytecode in a folder, by name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.pyc")}


def bytecode_of(path: Path) -> Path:
    return Path(cache_from_source(str(path)))


def test_two_places_have_the_same_bytes_that_name_files_as_functions_have_them(tmp_path: Path) -> None:
    copies = [tmp_path / "one", tmp_path / "elsewhere" / "two"]
    for copy in copies:
        shutil.copytree(
            imported_package() / "model", copy / "model", ignore=shutil.ignore_patterns("__pycache__")
        )
        own_compiler().compile(copy)
    first, second = map(compiled, copies)
    assert len(first) == len(list(copies[0].rglob("*.py")))
    assert first == second
    for name, content in first.items():
        assert int.from_bytes(content[4:8], "little") == UNCHECKED_HASH, name
        assert b"/var/task/model/" in content
        assert str(tmp_path).encode() not in content


def test_what_is_compiled_is_imported_without_a_look_at_its_source(tmp_path: Path) -> None:
    (tmp_path / "answer.py").write_text("print('compiled')")
    own_compiler().compile(tmp_path)
    (tmp_path / "answer.py").write_text("print('source ')")
    ran = subprocess.run(
        [sys.executable, "-c", "import answer"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (ran.stdout, ran.stderr) == ("compiled\n", "")


def test_what_does_not_compile_stays_without_and_what_has_bytecode_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "template.py").write_text("class {{ name }}:\n")
    (tmp_path / "good.py").write_text("x = 1\n")
    own_compiler().compile(tmp_path)
    assert not bytecode_of(tmp_path / "template.py").exists()
    bytecode_of(tmp_path / "good.py").write_bytes(b"made before")
    own_compiler().compile(tmp_path)
    assert bytecode_of(tmp_path / "good.py").read_bytes() == b"made before"


def test_the_hash_says_that_there_is_bytecode_but_not_which_patch_release_made_it(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("x = 1\n")
    without = hash_of(tmp_path)
    own_compiler().compile(tmp_path)
    with_bytecode = hash_of(tmp_path)
    assert with_bytecode != without
    bytecode_of(tmp_path / "good.py").write_bytes(b"of another release")
    assert hash_of(tmp_path) == with_bytecode


def test_only_a_python_of_the_functions_version_compiles() -> None:
    assert own_compiler().version.startswith(f"{THIS}.")
    assert compiler_for("3.2") is None


def test_a_python_that_fails_is_named() -> None:
    with pytest.raises(BytecodeError, match="false"):
        Compiler("false", THIS).compile(Path("nothing"))


def test_without_such_a_python_the_zip_has_no_bytecode_and_a_warning_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wheels").mkdir()
    monkeypatch.setattr(module, "unpacked_wheels", lambda *_, **__: tmp_path / "wheels")
    # Without wheels nothing of the zip can be imported; test_twin looks at that.
    monkeypatch.setattr(module, "check_twin", lambda *_, **__: "")
    definition = parse_definition('[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\n')

    def zipped(name: str) -> module.FunctionsZip:
        return functions_zip(
            definition,
            functions=None,
            target=tmp_path / name,
            cache=tmp_path,
            platform="host",
            where="definition",
        )

    made = zipped("with")
    assert made.warnings == {}
    assert compiled(made.path)
    monkeypatch.setattr(module, "compiler_for", lambda python: None)
    without = zipped("without")
    assert f"no Python {THIS} was found" in without.warnings["bytecode"]
    assert not compiled(without.path)
    assert without.hash != made.hash
