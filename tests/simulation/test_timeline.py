"""The picture of a history: it needs nothing else, shows every entry, and takes no text for markup."""

import itertools
import re
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import AnyEntry, History
from eventfabric.testing.simulation.layout import Layout
from eventfabric.testing.simulation.marks import symbol_of, text_of, time_of
from eventfabric.testing.simulation.plan import Plan, PlannedEvent, PlannedSubscription, Publish
from eventfabric.testing.simulation.schedule import START_MS
from eventfabric.testing.simulation.timeline import timeline
from eventfabric.testing.simulation.verdict import Anomaly, Result, Verdict
from tests.simulation.profiles import PROFILES
from tests.simulation.trials import tried

US, EU = "us-east-1", "eu-west-1"
LANE = f"{US}/0.0"
EVIL = "</title><script>alert('1' & \"2\")</script>"
PLAN = Plan(
    seed=17,
    profile="default",
    regions=(US, EU),
    lanes=1,
    durability="replicated",
    subscriptions=(PlannedSubscription("billing"),),
    producers=(US,),
    publishes=(Publish(1.0, 0, (PlannedEvent("e1", "a"),)),),
    happenings=(),
    rates={"stall": 0.01},
)
DELIVER = f"deliver billing {US} 0"
VOID = ("meta", "input", "br")


class Page(HTMLParser):
    """The elements and texts of a page. Every element that begins must end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self._open:
            self.texts.append((self._open[-1], data))

    def classed(self, name: str) -> list[dict[str, str]]:
        return [about for _, about in self.elements if name in about.get("class", "").split()]

    def marks(self) -> list[dict[str, str]]:
        return [about for about in self.classed("mark") if about.get("id")]

    def texts_of(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


def ms_at(seconds: float) -> int:
    return START_MS + round(1000 * seconds)


def appended(seconds: float, *, id_: str = "e1", sequence: int = 0) -> history.Appended:
    return history.Appended(
        at_ms=ms_at(seconds),
        actor=f"producer 0 {US}#1",
        region=US,
        lane=LANE,
        sequence=sequence,
        ids=(id_,),
        keys=("a",),
        types=("placed",),
        chain="00",
        batch="b",
    )


def attempt(kind: Any, seconds: float, process: int, **about: Any) -> AnyEntry:
    place = history.EventPlace("e1", "a", LANE, 0)
    given: AnyEntry = kind(
        at_ms=ms_at(seconds),
        actor=f"{DELIVER}#{process}",
        region=US,
        subscription="billing",
        events=(place,),
        replay=False,
        **about,
    )
    return given


def began(seconds: float, process: int = 1) -> AnyEntry:
    return attempt(history.AttemptBegan, seconds, process, number=1, code=0)


def ended(seconds: float, process: int = 1, error: str = "") -> AnyEntry:
    return attempt(history.AttemptEnded, seconds, process, error=error)


def happened(seconds: float, what: str, about: str, outcome: str = "done") -> AnyEntry:
    return history.Happened(at_ms=ms_at(seconds), actor="world", what=what, about=about, outcome=outcome)


def drawn(*entries: AnyEntry, verdicts: tuple[Verdict, ...] = (), error: str = "", plan: Plan = PLAN) -> Page:
    return Page(timeline(History(plan, list(entries)), list(verdicts), error=error))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", PROFILES)
def test_every_entry_has_one_mark_with_its_text_and_every_id_is_unique(name: str, seed: int) -> None:
    outcome, of = tried(PROFILES[name].plan(seed))
    page = Page(timeline(of, list(outcome.verdicts)))
    assert [mark["id"] for mark in page.marks()] == [f"e{number}" for number in range(len(of.entries))]
    ids = Counter(about["id"] for _, about in page.elements if "id" in about)
    assert set(ids.values()) == {1}
    known = {f"#{id_}" for id_ in ids}
    assert all(about["href"] in known for _, about in page.elements if "href" in about)
    titles = set(page.texts_of("title"))
    assert all(text_of(entry, number) in titles for number, entry in enumerate(of.entries))
    assert all(symbol_of(entry).name != "other" for entry in of.entries)


def test_it_needs_nothing_from_elsewhere_and_knows_light_and_dark() -> None:
    outcome, of = tried(PROFILES["default"].plan(1))
    text = timeline(of, list(outcome.verdicts))
    assert not re.search(r"https?:|//[a-z]|@import|url\(|src=|<link", text)
    assert "prefers-color-scheme: dark" in text


def test_no_text_of_a_history_is_taken_for_markup() -> None:
    plan = msgspec.structs.replace(PLAN, profile=EVIL, subscriptions=(PlannedSubscription(EVIL),))
    entries = (
        appended(1, id_=EVIL),
        happened(2, "region_loss", US, EVIL),
        history.Crashed(at_ms=ms_at(3), actor=f"{EVIL}#1", reason=EVIL),
    )
    invalid = Verdict(EVIL, Result.INVALID, (Anomaly(EVIL, 0),))
    text = timeline(History(plan, list(entries)), [invalid], error=EVIL)
    assert text.count("<script>") == 1
    page = Page(text)
    assert page.texts_of("pre") == [EVIL]
    assert any(EVIL in unescape(text) for text in page.texts_of("text"))


def test_an_anomaly_is_on_top_ringed_and_linked() -> None:
    invalid = Verdict("lost_event", Result.INVALID, (Anomaly("e1 was never handed out", 1),))
    page = drawn(appended(1), began(2), ended(3), verdicts=(invalid, Verdict("stuck_lane", Result.VALID)))
    assert page.texts_of("a") == ["e1 was never handed out"]
    assert "#e1" in [about["href"] for tag, about in page.elements if tag == "a"]
    (ring,) = [about for tag, about in page.elements if tag == "circle"]
    mark = next(mark for mark in page.marks() if mark["id"] == "e1")
    assert (float(ring["cx"]), float(ring["cy"])) == (float(mark["x"]), float(mark["y"]))
    (text,) = page.classed("anomaly")
    assert float(text["x"]) <= float(mark["x"])
    assert "lost_event" in page.texts_of("span")
    assert "valid" in page.texts_of("span")


def test_texts_of_anomalies_at_one_place_stand_in_lines_of_their_own() -> None:
    invalid = Verdict(
        "lost_event", Result.INVALID, tuple(Anomaly(f"something {number}", 0) for number in range(4))
    )
    page = drawn(appended(1), verdicts=(invalid,))
    assert len({anomaly["y"] for anomaly in page.classed("anomaly")}) == 4


def test_an_attempt_is_a_bar_up_to_its_end_and_one_without_an_end_looks_different() -> None:
    page = drawn(
        began(1),
        ended(2),
        began(3),
        ended(4, error="FailedForNow"),
        began(5),
        history.Crashed(at_ms=ms_at(6), actor=f"{DELIVER}#1", reason="its time was up"),
        began(7, process=2),
        ended(8, process=2),
    )
    bars = [
        about for tag, about in page.elements if tag == "rect" and "bar" in about.get("class", "").split()
    ]
    drawn_bars = [bar for bar in bars if "x" in bar]
    assert sorted(drawn_bar["class"] for drawn_bar in drawn_bars) == [
        "bar crashed",
        "bar handled",
        "bar handled",
        "bar raised",
    ]
    marks = {mark["id"]: float(mark["x"]) for mark in page.marks()}
    first = next(drawn_bar for drawn_bar in drawn_bars if float(drawn_bar["x"]) == marks["e0"])
    assert float(first["x"]) + float(first["width"]) == pytest.approx(marks["e1"], abs=0.2)


def test_processes_of_an_actor_share_a_row_and_where_another_begins_is_marked() -> None:
    of = History(PLAN, [began(1), ended(2), began(3, process=2), ended(4, process=2)])
    layout = Layout(of)
    assert [(row.name, row.region) for row in layout.rows] == [("deliver billing 0", US)]
    assert layout.begins == [(2, "2")]
    assert len(drawn(*of.entries).classed("process")) == 1


def test_rows_stand_region_by_region_in_the_order_of_an_events_way() -> None:
    of = History(
        PLAN,
        [
            history.StandingRead(at_ms=ms_at(number), actor=actor, region=US, subscription="billing")
            for number, actor in enumerate(
                (
                    f"failover {EU} 104",
                    f"deliver billing {EU} 0#1",
                    f"reconcile {US} 594#1",
                    f"relay {US} 0#2",
                    f"reconcile {US} 600#1",
                    f"replication {US} {EU}",
                    "tamperer",
                    f"producer 0 {US}#1",
                    "world",
                )
            )
        ],
    )
    assert [(row.region, row.name) for row in Layout(of).rows] == [
        ("", "world"),
        ("", "tamperer"),
        (US, "producer 0"),
        (US, "relay 0"),
        (US, "reconcile"),
        (US, f"replication {EU}"),
        (EU, "deliver billing 0"),
        (EU, "failover"),
    ]


def test_a_lost_region_is_a_band_over_its_rows_until_it_returns() -> None:
    page = drawn(
        appended(1),
        began(1.5),
        ended(1.6),
        happened(2, "region_loss", f"{US} {EU}"),
        appended(3, sequence=1),
        happened(9, "region_return", f"{US} {EU}"),
        appended(10, sequence=2),
    )
    (band,) = page.classed("lost")
    marks = {mark["id"]: mark for mark in page.marks()}
    assert float(band["x"]) == float(marks["e3"]["x"])
    assert float(band["x"]) + float(band["width"]) == pytest.approx(float(marks["e5"]["x"]), abs=0.2)
    top, height = float(band["y"]), float(band["height"])
    rows = {float(marks[id_]["y"]) for id_ in ("e0", "e1")}
    assert all(top < y < top + height for y in rows)
    assert not top < float(marks["e3"]["y"]) < top + height


def test_what_nobody_ended_lasts_until_the_faults_end() -> None:
    layout = Layout(
        History(
            PLAN,
            [
                happened(1, "cut", f"{US} {EU}"),
                happened(2, "outage", US, "billing"),
                happened(3, "pause", US, "ThrottledError"),
                history.Healed(at_ms=ms_at(4), actor="world"),
                appended(5),
            ],
        )
    )
    assert [(span.what, span.begin, span.end) for span in layout.spans] == [
        ("cut", layout.x[0], layout.x[3]),
        ("outage", layout.x[1], layout.x[3]),
    ]
    assert [span.lane for span in layout.spans] == [0, 1]


def test_idle_time_takes_little_room_and_the_order_of_entries_stays() -> None:
    hours = [0.0, 0.001, 0.002, 30.0, 3_600.0, 86_400.0, 86_400.001]
    layout = Layout(
        History(PLAN, [appended(seconds, sequence=number) for number, seconds in enumerate(hours)])
    )
    steps = [after - before for before, after in pairwise(layout.x)]
    assert all(step > 0 for step in steps)
    assert max(steps) < 4 * min(steps)
    assert len(layout.idle) == 3
    assert all(begin < end for begin, end in layout.idle)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0.000 s"),
        (2_691, "2.691 s"),
        (62_005, "1:02.005"),
        (3_725_000, "1:02:05"),
        (90_061_000, "1 d 1:01:01"),
    ],
)
def test_times_are_printed_since_the_beginning(ms: int, text: str) -> None:
    assert time_of(START_MS + ms) == text


def test_the_axis_shows_the_time_without_one_text_over_another() -> None:
    page = drawn(*(appended(number / 10, sequence=number) for number in range(200)))
    xs = [float(bar["x"]) for bar in page.classed("time")]
    assert len(xs) > 5
    assert all(after - before > 60 for before, after in itertools.pairwise(xs))


def test_thousands_of_entries_are_one_page_of_bearable_size() -> None:
    alone = [appended(1), began(2), ended(3)]
    of = History(PLAN, [entry for _ in range(1_100) for entry in alone])
    text = timeline(of, [])
    assert len(Page(text).marks()) == 3_300
    assert len(text) < 2_000_000
    assert Layout(of).width < 40_000


def test_an_empty_history_is_a_page_too() -> None:
    page = drawn(error="Traceback: at the very beginning")
    assert page.texts_of("pre") == ["Traceback: at the very beginning"]
    assert not page.marks()
