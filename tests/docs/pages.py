"""The project's Markdown pages, and what stands in them: prose, headings, and samples between fences."""

from pathlib import Path
from re import MULTILINE, findall

from tests.docs.test_house_style import ROOT, tracked_files

FENCE = "```"


def pages() -> list[Path]:
    """Every page that git tracks."""
    return [path for path in tracked_files() if path.suffix == ".md"]


def living_pages() -> list[Path]:
    """Every page that says how things are now; a decision record says how they were when it was made."""
    return [path for path in pages() if ROOT / "docs/decisions" not in path.parents]


def _split(page: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the lines outside fences; and each block between fences, with the language that its fence names."""
    outside: list[str] = []
    fenced: list[tuple[str, str]] = []
    block: list[str] | None = None
    language = ""
    for line in page.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.startswith(FENCE):
            (outside if block is None else block).append(line)
        elif block is None:
            language, block = line.strip().removeprefix(FENCE), []
        else:
            fenced.append((language, "".join(block)))
            block = None
    assert block is None, f"{page}: a fence is not closed"
    return outside, fenced


def languages(page: Path) -> set[str]:
    return {language for language, _ in _split(page)[1]}


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language, in the order of the page; those without one for an empty name."""
    return [text for named, text in _split(page)[1] if named == language]


def prose(page: Path) -> str:
    """Return the text of a page without its fenced blocks."""
    return "".join(_split(page)[0])


def headings(page: Path) -> list[str]:
    titles: list[str] = findall(r"^#+ (.*)$", prose(page), MULTILINE)
    return titles
