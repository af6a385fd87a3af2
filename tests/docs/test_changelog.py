"""The changelog, the version of the library and the tags of this clone agree, whichever of them a release forgot."""

import re
import subprocess
from typing import Final

from eventfabric.version import VERSION
from scripts.install import ROOT

CHANGELOG: Final = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
HEADINGS: Final = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
RELEASED: Final = r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}"
NUMBERS: Final = [match[1] for heading in HEADINGS if (match := re.fullmatch(RELEASED, heading))]
KINDS: Final = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def parts(number: str) -> tuple[int, ...]:
    return tuple(map(int, number.split(".")))


def tags() -> list[str]:
    """List the tags of releases that this clone has: a shallow one, or a source distribution, may have none."""
    ran = subprocess.run(
        ["git", "tag", "--list", "v*"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return ran.stdout.split()


def test_sections_are_versions_in_the_order_of_their_numbers() -> None:
    assert HEADINGS[len(HEADINGS) - len(NUMBERS) :] == [h for h in HEADINGS if h != "[Unreleased]"]
    assert HEADINGS.count("[Unreleased]") == len(HEADINGS) - len(NUMBERS) <= 1
    assert sorted(NUMBERS, key=parts, reverse=True) == NUMBERS


def test_changes_are_grouped_as_keep_a_changelog_has_it() -> None:
    for section in re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.+)$", section, re.MULTILINE)
        assert kinds == [kind for kind in KINDS if kind in kinds]
        assert kinds


def test_the_version_is_the_newest_section_or_the_one_that_is_next() -> None:
    number, development, rest = VERSION.partition(".dev0")
    assert rest == ""
    if development:
        assert HEADINGS[0] == "[Unreleased]"
        assert all(parts(number) > parts(released) for released in NUMBERS)
    else:
        assert HEADINGS[0].startswith(f"[{number}] - ")


def test_each_tag_names_a_section_and_the_version_that_stood_there() -> None:
    for tag in tags():
        number = tag.removeprefix("v")
        assert number in NUMBERS
        command = ["git", "show", f"{tag}:functions/eventfabric/version.py"]
        shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert f'VERSION: Final = "{number}"\n' in shown.stdout
