"""The demo: green without faults and with them, and red for every kind of broken promise."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from eventfabric.definition.guarantee import Guarantee
from eventfabric.model import (
    GENERATION_FIRST,
    NO_DATA,
    Chain,
    Event,
    HybridTime,
    Lane,
    LaneIndex,
    Region,
    SequenceNumber,
    Tail,
)
from eventfabric.testing.local.chaos import Rates
from eventfabric.testing.local.handled import Handled
from scripts.shop_demo.__main__ import main
from scripts.shop_demo.load import read_events
from scripts.shop_demo.run import run as run_demo
from scripts.shop_demo.verdict import (
    Decided,
    LogPlace,
    Published,
    Row,
    charge_problems,
    percentile,
    replica_problems,
    row_of,
)
from subscribers.billing import REFUSED_CARD
from tests.support.messages import TextWith

ROOT = Path(__file__).resolve().parents[2]
DEFINITION = ROOT / "infra/fabric.toml"
SAMPLE = ROOT / "infra/sample/events.jsonl"
US, EU = "us-east-1", "eu-west-1"
LANE = Lane(Region(US), GENERATION_FIRST, LaneIndex(0))


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """The first 160 of the sample's events: enough for every kind of fault."""
    few = tmp_path / "events.jsonl"
    few.write_text(
        "".join(SAMPLE.read_text(encoding="utf-8").splitlines(keepends=True)[:160]), encoding="utf-8"
    )
    return few


def run(events: Path, *options: str, capture: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The JSON report of the demo, which must be green."""
    arguments = ["--events", str(events), "--definition", str(DEFINITION), "--json", *options]
    code = main(arguments)
    report: dict[str, object] = json.loads(capture.readouterr().out)
    assert (code, report["ok"], report["problems"]) == (0, True, [])
    return report


def deliveries(report: dict[str, object]) -> list[dict[str, object]]:
    """Return the parts of a report that faults must not change."""
    names = ("subscription", "region", "published", "delivered", "missing", "out_of_order", "lag", "digest")
    rows = report["deliveries"]
    assert isinstance(rows, list)
    return [{name: row[name] for name in names} for row in rows]


def test_the_deliveries_under_faults_are_those_without(
    events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calm = run(events, capture=capsys)
    assert sum(row["delivered"] > 0 for row in deliveries(calm)) == 6  # type: ignore[operator]  # a number
    for seed in ("1", "2"):
        faulty = run(events, "--chaos", "--seed", seed, capture=capsys)
        assert deliveries(faulty) == deliveries(calm)
        assert isinstance(faulty["chaos"], dict)
        assert all(count > 0 for count in faulty["chaos"].values()), f"seed {seed} has too few faults to show"


def test_a_malformed_line_is_reported_with_its_place_and_the_rest_goes_on(
    events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = events.read_text(encoding="utf-8").splitlines()
    events.write_text("\n".join([*lines[:4], "{]", "", *lines[4:20]]), encoding="utf-8")
    report = run(events, capture=capsys)
    assert report["events"] == 20
    assert isinstance(report["malformed"], list)
    assert [f"{events}:5:" in line for line in report["malformed"]] == [True]


def test_doorbells_that_nobody_rings_again_are_found_missing(events: Path, tmp_path: Path) -> None:
    by_relay = tmp_path / "fabric.toml"
    text = DEFINITION.read_text(encoding="utf-8")
    assert text.count("lanes = 64 ") == 1
    by_relay.write_text(text.replace("lanes = 64 ", "express = false\nlanes = 64 "), encoding="utf-8")
    report = run_demo(by_relay, read_events(events), faults=Rates(drop=0.5), rings_again=False)
    assert not report.ok
    assert any("missing" in problem for problem in report.problems)
    assert any("charges" in problem for problem in report.problems)


def test_a_refused_card_is_a_decision_of_the_shop_and_not_missing(
    events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = events.read_text(encoding="utf-8").splitlines()[:10]
    lines[0] = re.sub(r"tok_\w+", REFUSED_CARD, lines[0])
    events.write_text("\n".join(lines), encoding="utf-8")
    report = run(events, capture=capsys)
    rows = report["deliveries"]
    assert isinstance(rows, list)
    billing = [row for row in rows if row["subscription"] == "billing"]
    assert [row["dead"] for row in billing if row["dead"]] == [{"CardRefused": 1}]
    assert sum(row["missing"] for row in rows) == 0
    assert main(["--events", str(events), "--definition", str(DEFINITION)]) == 0
    assert "its handler refused 1 CardRefused" in " ".join(capsys.readouterr().out.split())


STRANGE: list[object] = [
    None,
    [],
    "text",
    7,
    True,
    {},
    {"order": None},
    {"order": 7},
    {"order": "A-1"},
    {"order": {"a": [1]}},
]


def test_a_users_own_payloads_are_no_problem_of_the_fabric(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = tmp_path / "mine.jsonl"
    attributes = {"specversion": "1.0", "source": "/mine", "type": "OrderPlaced"}
    lines = [
        {**attributes, "id": str(number), "partitionkey": f"k{number % 4}", "data": data}
        for number, data in enumerate(STRANGE * 2)
    ]
    lines.append({**attributes, "id": "b", "partitionkey": "bytes", "data_base64": "AP8="})
    events.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    report = run(events, capture=capsys)
    rows = report["deliveries"]
    assert isinstance(rows, list)
    decided = sum(
        sum(row["dead"].values()) + row["waiting"] for row in rows if row["subscription"] == "billing"
    )
    assert decided == len(lines)


def test_the_key_may_stand_elsewhere_in_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = tmp_path / "mine.jsonl"
    line = {"specversion": "1.0", "id": "1", "source": "/mine", "type": "Noted", "data": {"who": "me"}}
    events.write_text(json.dumps(line), encoding="utf-8")
    assert main(["--events", str(events), "--definition", str(DEFINITION)]) == 2
    assert "partitionkey: found nothing" in capsys.readouterr().err
    assert run(events, "--key-from", "/who", capture=capsys)["events"] == 1


def test_a_file_that_is_not_there_or_holds_no_event_is_reported_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--events", "nowhere.jsonl"]) == 2
    assert capsys.readouterr().err == TextWith("nowhere.jsonl", "No such file")
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text("\n")
    assert main(["--events", str(nothing), "--definition", str(DEFINITION)]) == 2
    assert capsys.readouterr().err == TextWith(nothing, "no events", "CloudEvents")


def test_the_committed_sample_is_what_its_script_makes() -> None:
    made = subprocess.run(
        [sys.executable, str(ROOT / "scripts/make-sample"), "-"], capture_output=True, check=True
    )
    assert made.stdout == SAMPLE.read_bytes(), "run scripts/make-sample"


def published(sequence: int, key: str = "a") -> Published:
    return Published(
        LogPlace(LANE, sequence), f"id-{sequence}", Event(key=key, type="Placed"), appended_ms=1_000
    )


def handled(sequence: int, key: str = "a") -> Handled:
    event = Event.from_log(
        (f"id-{sequence}", "Placed", key, 0, "/test", {}, NO_DATA), LANE, SequenceNumber(sequence)
    )
    return Handled(event, US, at_ms=1_000 + 10 * sequence, attempt=1)


def judged(sequences: Sequence[int], *, guarantee: Guarantee = Guarantee.AT_LEAST_ONCE, lag: int = 0) -> Row:
    """The row of a subscription that had 0, 1 and 2 of one key to deliver."""
    return row_of(
        "all",
        US,
        guarantee=guarantee,
        expected=[published(sequence) for sequence in range(3)],
        handled=[handled(sequence) for sequence in sequences],
        lag=lag,
    )


def test_events_delivered_once_and_in_order_are_no_problem() -> None:
    row = judged([0, 1, 2], guarantee=Guarantee.EXACTLY_ONCE)
    assert row.problems == []
    assert (row.published, row.delivered, list(row.latencies_ms)) == (3, 3, [0, 10, 20])


@pytest.mark.parametrize(
    ("sequences", "problem"),
    [
        ([0, 1], "1 missing"),
        ([1, 0, 2], "1 out of order"),
        ([2, 0, 1], "2 out of order"),
        ([0, 1, 2, 3], "1 delivered"),
    ],
)
def test_a_broken_promise_is_reported(sequences: list[int], problem: str) -> None:
    assert judged(sequences).problems == [TextWith(f"all in {US}", problem)]


def test_a_repeat_is_a_problem_except_at_least_once() -> None:
    assert judged([0, 1, 0, 1, 2]).problems == []
    assert judged([0, 1, 0, 1, 2]).repeated == 2
    for guarantee in (Guarantee.EXACTLY_ONCE, Guarantee.AT_MOST_ONCE):
        assert judged([0, 0, 1, 2], guarantee=guarantee).problems == [
            TextWith(f"all in {US}", "1 handled again")
        ]


def test_what_is_dead_or_waits_behind_it_is_not_missing() -> None:
    decided = Decided(
        {LogPlace(LANE, SequenceNumber(1)): "CardRefused"}, frozenset({LogPlace(LANE, SequenceNumber(2))})
    )
    row = row_of(
        "all",
        US,
        guarantee=Guarantee.AT_LEAST_ONCE,
        expected=[published(sequence) for sequence in range(3)],
        handled=[handled(0)],
        decided=decided,
    )
    assert (row.missing, dict(row.dead), row.waiting, row.problems) == (0, {"CardRefused": 1}, 1, [])


def test_a_dead_letter_that_no_handler_failed_at_is_a_problem() -> None:
    decided = Decided({LogPlace(LANE, SequenceNumber(2)): "Crashed"}, undecided=1)
    row = row_of(
        "all",
        US,
        guarantee=Guarantee.AT_LEAST_ONCE,
        expected=[published(sequence) for sequence in range(3)],
        handled=[handled(0), handled(1)],
        decided=decided,
    )
    assert row.problems == [TextWith(f"all in {US}", "1 dead letters", "no handler")]


def test_a_lane_that_lags_is_a_problem() -> None:
    assert judged([0, 1, 2], lag=4).problems == [TextWith(f"all in {US}", "4 not yet")]


def test_a_later_key_may_overtake_another_key() -> None:
    row = row_of(
        "all",
        US,
        guarantee=Guarantee.AT_LEAST_ONCE,
        expected=[published(0, "a"), published(1, "b")],
        handled=[handled(1, "b"), handled(0, "a")],
    )
    assert row.problems == []


def test_the_digest_depends_on_the_order_of_one_key_and_on_no_other_order() -> None:
    assert judged([0, 1, 2]).digest == judged([0, 1, 1, 2]).digest
    assert judged([0, 1, 2]).digest != judged([1, 0, 2]).digest


def test_charges_must_be_one_for_each_order_where_it_was_placed() -> None:
    expected = {US: ["o1"], EU: ["o2", "o3"]}
    assert charge_problems(expected, {US: {"o1": 1}, EU: {"o2": 1, "o3": 1}}) == []
    assert charge_problems(expected, {US: {"o1": 2}, EU: {"o2": 1, "o9": 1}}) == [
        TextWith(f"charges in {US}", "1 orders charged more than once"),
        TextWith(f"charges in {EU}", "1 orders not charged"),
        TextWith(f"charges in {EU}", "1 orders charged", "nobody placed"),
    ]
    assert charge_problems({US: ["o1", "o1"]}, {US: {"o1": 2}}) == []
    assert charge_problems({US: ["o1", "o1"]}, {US: {"o1": 1}}) == [
        TextWith(f"charges in {US}", "1 orders not charged")
    ]


def test_replicas_must_agree_in_sequence_and_chain() -> None:
    tail, short, forked = (
        Tail(SequenceNumber(sequence), Chain(chain), HybridTime(0))
        for sequence, chain in ((2, b"x"), (1, b"x"), (2, b"y"))
    )
    assert replica_problems({US: {LANE: tail}, EU: {LANE: tail}}) == []
    for other in ({LANE: short}, {LANE: forked}, {}):
        assert len(replica_problems({US: {LANE: tail}, EU: other})) == 1


def test_percentiles_of_few_values_are_values() -> None:
    assert (percentile([], 0.5), percentile([7], 0.99), percentile(range(100), 0.5)) == (0, 7, 50)
