"""The page: everything is in it, nothing comes from elsewhere, and no text in it acts as a part of it."""

from html.parser import HTMLParser
from itertools import pairwise

import pytest

from eventfabric.cli.catalogue.page import page_of
from tests.support.described import HOSTILE, hard, shop

NO_END = {"meta", "link", "img", "br"}
FETCHES = {"src", "href", "action", "data", "poster", "srcset", "background"}


class Page(HTMLParser):
    """Elements, attributes and text of a page; every element must be closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.cells: dict[str, list[list[str]]] = {}
        self._caption = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in NO_END:
            self.open.append(tag)
        if tag == "tr":
            self.cells.setdefault(self._caption, []).append([])
        if tag in ("td", "th"):
            self.cells[self._caption][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if "caption" in self.open:
            self._caption = data
        if self.open and {"td", "th"} & set(self.open):
            self.cells[self._caption][-1][-1] += data


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(page_of(shop()))


@pytest.fixture(scope="module")
def hostile() -> Page:
    return Page(page_of(hard()))


def test_nothing_is_fetched_and_nothing_runs(page: Page, hostile: Page) -> None:
    for read in (page, hostile):
        assert read.open == []
        for tag, attributes in read.elements:
            assert tag not in ("script", "iframe", "img", "link", "object", "form")
            for name, value in attributes.items():
                assert not name.startswith("on")
                assert name not in FETCHES or value.startswith("#")
    policy = next(own["content"] for tag, own in page.elements if "http-equiv" in own)
    assert policy.startswith("default-src 'none'")
    assert "url(" not in page_of(shop())
    assert "@import" not in page_of(shop())


def test_hostile_text_is_shown_and_does_nothing(hostile: Page) -> None:
    text = "".join(hostile.words)
    assert """<script>alert("1")</script>'&\\u202e\\u0007""" in text
    assert HOSTILE not in text
    assert "\u202e" not in page_of(hard())


def test_every_link_has_its_place_and_every_place_is_one(page: Page, hostile: Page) -> None:
    for read in (page, hostile):
        ids = [own["id"] for _, own in read.elements if "id" in own]
        assert len(ids) == len(set(ids))
        for _, own in read.elements:
            for name in ("href", "aria-labelledby"):
                if name in own:
                    assert own[name].removeprefix("#") in ids


def test_a_reader_without_eyes_finds_the_way(page: Page) -> None:
    tags = [tag for tag, _ in page.elements]
    assert page.elements[0] == ("html", {"lang": "en"})
    assert {"header", "nav", "main"} <= set(tags)
    levels = [int(tag[1]) for tag in tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert tags.count("table") == tags.count("caption")
    heads = [own for tag, own in page.elements if tag == "th"]
    assert all(own["scope"] in ("col", "row") for own in heads)


def test_types_members_subscribers_and_versions_can_be_read(page: Page) -> None:
    text = " ".join(" ".join(page.words).split())
    for said in (
        "Stream orders",
        "30 days",
        "Publishing it is refused from 2027-06-01 on",
        "version 2",
        "the handler of billing",
        "/checkout (#checkout)",
    ):
        assert said in text
    assert ["billing", "exactly once", "of each key", "the Region of origin", "#billing"] in page.cells[
        "Who gets OrderPlaced"
    ]
    assert ["audit", "at least once", "none", "eu-central-1", ""] in page.cells["Who gets OrderPlaced"]
    members = page.cells["Members of OrderPlaced"]
    assert ["order", "string", "required", "Number of the order.", r"matches ^[A-Z]{2}-\d{4}$"] in members
    assert '"order": "AA-0000"' in text
    earlier = next(
        caption for caption in page.cells if caption.startswith("Members of OrderPlaced, version 1")
    )
    assert ["customer", "object", "optional", "", ""] in page.cells[earlier]
    assert "InvoiceIssued" in text
    assert "It has no schema" in text
