"""The command line of trials of the differ, `scripts/contracts`.

Exit codes: 0 nothing is refuted; 1 an answer is wrong, or a bound is not kept; 2 wrong arguments.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.contract_trials.cases import change_cases, subschema_cases, tally
from scripts.contract_trials.random_trials import run_trials
from scripts.contract_trials.suite import run_suite

_EXAMPLES = """examples:
  scripts/contracts --pairs 2000 --documents 200     random pairs that the differ calls compatible, and documents
  scripts/contracts --suite DIR                      the JSON-Schema-Test-Suite: its folder tests/draft2020-12
  scripts/contracts --subschemas DIR                 tests of a subschema checker that call isSubschema(first, second)
  scripts/contracts --changes DIR                    files of original_schema, update_schema and compatible

Nothing is fetched. Each folder is one that you fetched yourself.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trials from the command line. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/contracts",
        description="Try to refute the differ of schemas.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pairs", type=int, default=0, help="compatible pairs that are tried, of each kind")
    parser.add_argument("--documents", type=int, default=200, help="documents for each pair")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first pair")
    parser.add_argument("--suite", type=Path, help="a folder of the JSON-Schema-Test-Suite")
    parser.add_argument("--subschemas", type=Path, help="a folder of Python tests of a subschema checker")
    parser.add_argument("--changes", type=Path, help="a folder of JSON files of changes")
    asked = parser.parse_args(arguments)
    folders = [folder for folder in (asked.suite, asked.subschemas, asked.changes) if folder is not None]
    for folder in folders:
        if not folder.is_dir():
            parser.error(f"{folder} is no folder")
    if not folders and asked.pairs < 1:
        parser.error("nothing to do: give --pairs or a folder")
    is_right = True
    if asked.pairs:
        is_right &= run_trials(asked.pairs, asked.documents, asked.first_seed)
    if asked.suite:
        is_right &= run_suite(asked.suite)
    if asked.subschemas:
        is_right &= tally("subschema cases", subschema_cases(asked.subschemas))
    if asked.changes:
        is_right &= tally("changes", change_cases(asked.changes))
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
