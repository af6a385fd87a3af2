"""Event types in a definition: their announced ends, and who publishes to a stream."""

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.errors import DefinitionError

TEXT = """
[fabric]
name = "shop"
regions = ["us-east-1"]
[streams.orders]
durability = "regional"
"""
END = "[streams.orders.types.OrderPlaced.deprecated]\n"


def paths(text: str) -> list[str]:
    """Where the problems of a definition are."""
    with pytest.raises(DefinitionError) as refused:
        parse_definition(TEXT + text)
    return [problem.path for problem in refused.value.problems]


@pytest.mark.parametrize("sunset", ["", 'sunset = "2026-12-01"', 'sunset = "2027-01-01"'])
def test_the_end_of_a_type_comes_with_its_announcement_or_later(sunset: str) -> None:
    end = f'{END}since = "2026-12-01"\nuse = "OrderAccepted"\n{sunset}'
    section = parse_definition(TEXT + end).streams["orders"].types["OrderPlaced"]
    assert section.deprecated is not None
    assert section.deprecated.use == "OrderAccepted"


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ('since = "2026-12-01"\nsunset = "2026-11-30"', "sunset"),
        ('since = "2026-12-01"\nuse = "OrderPlaced"', "use"),
        ('since = "2026-02-30"', "since"),
        ("since = 2026-12-01", "since"),
        ('sunset = "2026-12-01"', "since"),
        ('since = "2026-12-01"\nuse = ""', "use"),
    ],
)
def test_no_other_end_is_taken(keys: str, path: str) -> None:
    assert paths(END + keys) == [f"streams.orders.types.OrderPlaced.deprecated.{path}"]


def test_sources_come_with_whom_to_ask() -> None:
    text = 'sources = { "/checkout" = "#checkout", "urn:till:7" = "a@example.com" }'
    sources = parse_definition(TEXT + text).streams["orders"].sources
    assert sources == {"/checkout": "#checkout", "urn:till:7": "a@example.com"}


@pytest.mark.parametrize("source", ['"" = "a"', '"a b" = "a"', '"/checkout" = ""', '"/checkout" = 1'])
def test_no_other_sources_are_taken(source: str) -> None:
    [path] = paths(f"sources = {{ {source} }}")
    assert path.startswith("streams.orders.sources")
