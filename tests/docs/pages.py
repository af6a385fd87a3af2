"""The project's Markdown pages, and what stands in them: fenced blocks, links and headings."""

from pathlib import Path
from re import DOTALL, MULTILINE, findall, sub

from tests.docs.test_house_style import ROOT, tracked_files

FENCED = r"^```{}\n(.*?)^```"


def pages() -> list[Path]:
    """Every page that git tracks."""
    return [path for path in tracked_files() if path.suffix == ".md"]


def living_pages() -> list[Path]:
    """Every page that says how things are now; a decision record says how they were when it was made."""
    return [path for path in pages() if ROOT / "docs/decisions" not in path.parents]


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language, in the order of the page; those without one for an empty name."""
    found: list[str] = findall(FENCED.format(language), page.read_text(encoding="utf-8"), DOTALL | MULTILINE)
    return found


def prose(page: Path) -> str:
    """Return the text of a page without its fenced blocks."""
    return sub(FENCED.format(r"\w*"), "", page.read_text(encoding="utf-8"), flags=DOTALL | MULTILINE)


def headings(page: Path) -> list[str]:
    found: list[str] = findall(r"^#+ (.*)$", prose(page), MULTILINE)
    return found
