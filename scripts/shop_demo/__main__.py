"""The demo: sends a load through a whole local fabric, with faults if wanted, and checks the result.

Real handlers, real functions, two Regions, no AWS account. Exit codes: 0 every promise was kept; 1 one was broken;
2 wrong arguments, or a file that cannot be used.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from eventfabric.errors import EventFabricError
from eventfabric.testing.local.chaos import CHAOS
from eventfabric.wire.cloudevent import KeyRule
from scripts.shop_demo.load import read_events
from scripts.shop_demo.report import as_json, print_report
from scripts.shop_demo.run import run

_EXAMPLE = """examples:
  scripts/demo                        sends the sample events through the sample definition
  scripts/demo --chaos --seed 7       the same with faults; the deliveries must be the same
  scripts/demo --events mine.jsonl    your own CloudEvents, one JSON object a line
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Send a load through a whole local fabric: two Regions, real functions, no AWS account.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--events",
        type=Path,
        default=Path("infra/sample/events.jsonl"),
        help="file of CloudEvents, one a line",
    )
    parser.add_argument(
        "--key-from",
        metavar="subject|id|source|/POINTER",
        help="attribute that holds the key of each event, or JSON pointer to it in the data; default: partitionkey, "
        "else subject",
    )
    parser.add_argument(
        "--definition", type=Path, default=Path("infra/fabric.toml"), help="default: %(default)s"
    )
    parser.add_argument(
        "--chaos",
        action="store_true",
        help="lose, repeat and delay doorbells, crash functions, cut Regions apart",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the faults; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    chosen = parser.parse_args(arguments)
    logging.getLogger("botocore").setLevel(logging.ERROR)
    try:
        key_rule = None if chosen.key_from is None else KeyRule.parse(chosen.key_from)
        given = read_events(chosen.events, key_rule=key_rule)
        for error in given.malformed:
            print(error, file=sys.stderr)
        if not given.events:
            print(f"{chosen.events}: found no events, allowed: CloudEvents, one a line", file=sys.stderr)
            return 2
        report = run(
            chosen.definition,
            given,
            faults=CHAOS if chosen.chaos else None,
            seed=chosen.seed,
            console=Console(stderr=True),
        )
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except EventFabricError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.json:
        print(as_json(report))
    else:
        print_report(report, Console())
    return 0 if report.ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
