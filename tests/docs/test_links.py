"""Pages lead somewhere: every link has its file and heading, and every path that a page names exists.

And that the first page, from which all others are reached, stays short.
"""

from pathlib import Path
from re import findall

import pytest

from eventfabric.deployment.alarms import anchor
from tests.docs.pages import headings, living_pages, pages, prose
from tests.docs.test_house_style import ROOT, name_of

LINK = r"\[[^\]]*\]\(([^)\s]+)\)"
PATH = r"`([\w.*/-]+/[\w.*-]+\.[a-z]+|[\w*]+\.py)`"
HOMES = [
    ROOT / name
    for name in ("", "functions", "functions/eventfabric", "functions/eventfabric/deployment", "infra")
]
"""The folders that pages take paths from."""
PART_OF = {ROOT / "scripts/benchmarks/found.md": ROOT / "docs/performance.md"}
"""Texts that `scripts/bench` copies into a page, from where their links lead."""
NOT_TRACKED = {"build/e2e.log"}


def leads_somewhere(page: Path, link: str) -> bool:
    name, _, fragment = link.partition("#")
    target = page.parent / name if name else page
    if not fragment:
        return target.exists()
    return target.is_file() and fragment in {anchor(heading) for heading in headings(target)}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    links = [link for link in findall(LINK, prose(page)) if not link.startswith("https://")]
    broken = [link for link in links if not leads_somewhere(PART_OF.get(page, page), link)]
    assert broken == []


@pytest.mark.parametrize("page", living_pages(), ids=name_of)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = set(findall(PATH, prose(page))) - NOT_TRACKED
    assert {path for path in named if not any(any(home.glob(path)) for home in HOMES)} == set()


def test_links_and_paths_are_seen_where_they_stand() -> None:
    guarantees = prose(ROOT / "docs/guarantees.md")
    assert "regions.md#failover" in findall(LINK, guarantees)
    assert "tests/simulation/test_append_properties.py" in findall(PATH, guarantees)


def test_the_readme_is_read_in_a_few_minutes_and_leads_to_every_page() -> None:
    readme = ROOT / "README.md"
    assert len(readme.read_text(encoding="utf-8").split()) < 700
    linked = {ROOT / link for link in findall(LINK, prose(readme))}
    guides = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    assert [name_of(page) for page in guides if page != readme and page not in linked] == []


def test_every_decision_has_a_number_of_its_own_which_its_links_say() -> None:
    records = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    numbers = [record.name[:4] for record in records]
    assert numbers == [f"{number:04}" for number in range(1, len(records) + 1)]
    assert [record.read_text(encoding="utf-8")[:7] for record in records] == [f"# {n} " for n in numbers]
    links = [link for page in pages() for link in findall(r"\[(\d{4})\]\((?:\S*/)?(\d{4})-", prose(page))]
    assert links
    assert [link for link in links if len({*link}) > 1] == []
