"""JSON text goes through the command line to the letter, numbers that no float holds included."""

import json
from pathlib import Path

import pytest

from tests.local.commanded_fabric import CommandedFabric

NUMBERS = '{"order": "A-1", "cents": 12345678901234567890123.5, "rate": 1e-400, "tip": 1.10, "big": 1E5}'
EDITED = NUMBERS.replace("1.10", "2.10")


def published(shop: CommandedFabric, *options: str | Path) -> str:
    """Publish an event from the command line; where it stands."""
    arguments = ("publish", "orders", *options, *shop.options, "--json")
    report = shop.cli.run(*arguments).json
    return f"{report['lane']}@{report['sequence']}"


def on_one_line(document: str) -> str:
    return " ".join(line.strip() for line in document.splitlines())


def test_data_is_published_and_shown_with_the_digits_that_were_given(
    shop: CommandedFabric, tmp_path: Path
) -> None:
    file = tmp_path / "data.json"
    file.write_text(NUMBERS)
    of = ("--key", "n", "--type", "Placed")
    for place in (published(shop, *of, "--data", NUMBERS), published(shop, *of, "--data-file", file)):
        assert (
            f'"data":{NUMBERS}'
            in shop.cli.run("show", place, "--stream", "orders", *shop.options, "--json").out
        )
        shown = on_one_line(shop.cli.run("show", place, "--stream", "orders", *shop.options).out)
        assert NUMBERS[1:-1] in shown
        record = shop.cli.run("show", place, "--stream", "orders", "--record", *shop.options, "--json").out
        assert f'"data":{NUMBERS}' in record


def test_a_payload_on_several_lines_is_shown_on_one_where_programs_read(shop: CommandedFabric) -> None:
    place = published(shop, "--key", "n", "--type", "Placed", "--data", '{\n"tip":\r\n1.10}')
    shown = shop.cli.run("show", place, "--stream", "orders", *shop.options, "--json").out
    assert shown.count("\n") == 1
    assert '"tip":' in shown
    assert json.loads(shown)["event"]["data"] == {"tip": 1.1}


def test_null_is_no_data(shop: CommandedFabric) -> None:
    place = published(shop, "--key", "n", "--type", "Placed", "--data", " null ")
    shown = shop.cli.run("show", place, "--stream", "orders", *shop.options, "--json").json
    assert "data" not in shown["event"]


@pytest.mark.parametrize(
    "text", ["1e400", "[" * 5_000, "{", "\udcff"], ids=["large", "deep", "open", "bytes"]
)
def test_text_that_is_no_json_is_one_complaint(shop: CommandedFabric, text: str) -> None:
    complaint = shop.cli.refused(
        "publish", "orders", "--key", "n", "--type", "Placed", "--data", text, *shop.options, code=2
    )
    assert complaint.startswith("eventfabric: --data: found ")


def test_an_edited_copy_of_what_was_shown_hands_over_the_same_amounts(
    shop: CommandedFabric, tmp_path: Path
) -> None:
    place = published(shop, "--key", "z", "--type", "Placed", "--id", "z1", "--data", NUMBERS)
    shop.failing.times["z1"] = 1
    shop.deliver()
    shown = shop.run("show", "billing", place, "--json").out
    assert f'"data":{NUMBERS}' in shown
    assert f'"data":{NUMBERS}' in shop.run("export", "billing").out
    assert NUMBERS[1:-1] in on_one_line(shop.run("show", "billing", place).out)

    file = tmp_path / "event.json"
    file.write_text(shown.partition('"event":')[2].rstrip()[:-1].replace("1.10", "2.10"))
    assert shop.run("redrive", "billing", place, "--edited", file).code == 0
    shop.deliver()
    handed = next(event for event in shop.recorder.events if event.id == "z1")
    assert handed.payload.content.decode() == EDITED
