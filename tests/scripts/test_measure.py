"""scripts/measure: figures of a small package whose sizes are known."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.install import ROOT
from scripts.measurements import complexity
from scripts.measurements.complexity import Complexity, complexities
from scripts.measurements.figure import Figure, p90, percent
from scripts.measurements.house import measured
from scripts.measurements.imports import Imports, imports_of

FORMATTER_OFF = "# fmt" + ": skip"
BRANCHY = "def branchy(n: int) -> int:\n" + "".join(
    f"    if n == {n}:\n        return {n}\n" for n in range(12)
)
TREE = {
    "__init__.py": '"""A shop."""\n',
    "till.py": "from shop.basket import Basket\n\n\ndef pay(basket: Basket) -> None:\n    basket.close()\n",
    "basket.py": "from typing import TYPE_CHECKING\n"
    "from shop import prices\n"
    "if TYPE_CHECKING:\n"
    "    import shop.till\n"
    "class Basket:\n"
    "    size = 1\n"
    '    """Whether it is full."""\n'
    "    def close(self) -> None:\n"
    f"        pass  {FORMATTER_OFF}\n",
    "prices.py": BRANCHY + "    return 0\n",
    "services/__init__.py": "",
    "services/sell.py": "# Here,\n# half of all lines are comments.\nimport shop.till\nshop.till\n",
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "shop"


@pytest.fixture
def figure(shop: Path) -> Callable[[str], Figure]:
    by_name = {figure.name: figure for figure in measured(shop)}
    return by_name.__getitem__


def test_sizes_are_counted_in_lines(figure: Callable[[str], Figure]) -> None:
    assert figure("modules").measured == 6
    assert figure("lines of a module, most").measured == 26
    assert figure("functions").measured == 3
    assert figure("lines of a function, median").measured == 2
    assert figure("lines of a function, most").measured == 26


def test_a_function_over_the_bound_is_named(figure: Callable[[str], Figure]) -> None:
    assert figure("complexity, most").measured == 13
    assert not figure("functions over 12, %").is_met
    assert figure("functions over 10, %").places == ("prices.py:1 branchy has 13",)


def test_comments_are_counted_for_the_folders_that_have_an_aim(figure: Callable[[str], Figure]) -> None:
    assert figure("comments in services, % of lines").measured == 50
    assert figure("comments in services, % of lines").is_met
    with pytest.raises(KeyError):
        figure("comments in wire, % of lines")


def test_refused_words_are_found_where_they_stand(figure: Callable[[str], Figure]) -> None:
    assert figure("docstrings that open badly").places == ("basket.py:7 Whether it is full.",)
    assert figure("places without the formatter").places == ("basket.py:9",)


def test_imports_for_typing_count(figure: Callable[[str], Figure]) -> None:
    assert figure("import cycles").places == ("shop.basket, shop.till",)
    assert figure("import cycles, typing left out").measured == 0
    assert figure("imports a module").measured == pytest.approx(4 / 6)
    assert figure("imports a module, typing left out").measured == pytest.approx(3 / 6)


def test_the_longest_path_is_shown_from_the_top(shop: Path) -> None:
    assert imports_of(shop, for_typing=False).longest_path == (
        "shop.services.sell",
        "shop.till",
        "shop.basket",
        "shop.prices",
    )


def test_all_modules_of_a_cycle_lie_on_a_path() -> None:
    imports = Imports(
        {
            "top": frozenset({"left"}),
            "left": frozenset({"right"}),
            "right": frozenset({"left", "bottom"}),
            "bottom": frozenset(),
        }
    )
    assert imports.cycles == [{"left", "right"}]
    assert imports.longest_path == ("top", "left", "right", "bottom")


def test_what_a_function_defines_inside_is_measured_by_itself() -> None:
    text = (
        "class Basket:\n"
        "    def close(self, n: int) -> None:\n"
        "        if n:\n"
        "            class Bag:\n"
        "                async def inner(self) -> int:\n"
        "                    return 1 if n and self else 2\n"
    )
    assert list(complexities(text, "basket.py")) == [
        Complexity(2, "basket.py:2 Basket.close"),
        Complexity(3, "basket.py:5 Basket.close.Bag.inner"),
    ]


def test_the_gate_names_functions_over_the_bound(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(complexity, "ROOT", shop.parent)
    monkeypatch.setattr("sys.argv", ["complexity", "shop/services", "shop"])
    assert complexity.main() == 1
    message = "shop/prices.py:1 branchy has a complexity of 13; at most 12 is allowed\n"
    assert capsys.readouterr().out == message
    monkeypatch.setattr("sys.argv", ["complexity", "shop/services"])
    assert complexity.main() == 0


def test_a_tenth_of_all_values_reach_the_p90() -> None:
    assert p90(range(1, 11)) == 10
    assert p90(range(1, 101)) == 91
    assert p90([]) == 0
    assert percent(1, 0) == 0


@pytest.mark.parametrize(
    ("figure", "kept"),
    [
        (Figure("", 2), True),
        (Figure("", 2, at_most=2), True),
        (Figure("", 2, at_most=1), False),
        (Figure("", 2, at_least=2), True),
        (Figure("", 2, at_least=3), False),
    ],
)
def test_an_aim_is_kept_up_to_its_bound(figure: Figure, kept: bool) -> None:
    assert figure.is_met is kept


def test_a_missed_aim_fails_only_when_asked_to_check(shop: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "scripts.measurements", str(shop), *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    shown, checked = run("--json"), run("--check")
    assert shown.returncode == 0
    assert json.loads(shown.stdout)["ok"] is False
    assert checked.returncode == 1
    assert "branchy has 13" in checked.stdout
