"""The gate against dead code: it finds some, and its list of exceptions holds nothing that is not needed."""

from pathlib import Path

import pytest

from scripts.install import ROOT
from scripts.measurements import dead_code
from scripts.measurements.dead_code import Unused, alive, main, names_in_quoted_annotations, unused_in

FOLDERS = [ROOT / "functions", ROOT / "infra", ROOT / "scripts"]
SHOP = """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shop import Till

BASKETS = 3

@pytest.fixture
def basket(): ...

class Till:
    def __enter__(self): ...
    def close(self): ...

class Bag: ...

def pay(till: "Till", bag: "Bag | None" = None): ...
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(dead_code, "ROOT", tmp_path)
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    return tmp_path


def test_what_has_a_name_that_nobody_says_is_dead(shop: Path) -> None:
    assert {unused.name for unused in unused_in([shop])} == {"BASKETS", "close", "pay", "till", "bag"}


def test_a_list_of_names_uses_none_of_them(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / "names.py").write_text('from shop import pay\n\n__all__ = ["pay"]\n', encoding="utf-8")
    assert "pay" not in {unused.name for unused in unused_in([shop])}
    monkeypatch.setattr(dead_code, "_LISTS", ("names.py",))
    assert "pay" in {unused.name for unused in unused_in([shop])}


def test_names_in_quoted_annotations_are_used() -> None:
    text = 'def f(a: "A", b: list["B"]) -> "C | None": ...\nd: "D" = "no name"\n'
    assert {*names_in_quoted_annotations(text)} == {"A", "B", "C", "None", "D"}


def test_the_gate_names_the_place(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["dead_code", "."])
    known = dict.fromkeys([Unused("shop.py", name) for name in ("BASKETS", "pay", "till", "bag")], "users")
    monkeypatch.setattr(dead_code, "alive", lambda: known)
    assert main() == 1
    assert capsys.readouterr().out.startswith("shop.py:14: nothing uses close;")
    known[Unused("shop.py", "close")] = "users"
    assert main() == 0


def test_every_exception_is_needed() -> None:
    assert sorted(alive().keys() - unused_in(FOLDERS).keys()) == []
