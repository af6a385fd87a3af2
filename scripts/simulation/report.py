"""Reports of a hunt: the results of the checkers, how often what took place, and each failure with what to do."""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from eventfabric.testing.simulation.kept import KeptFailure
from eventfabric.testing.simulation.outcome import SeedOutcome
from eventfabric.testing.simulation.summary import KINDS, Summary
from eventfabric.testing.simulation.verdict import Result, Verdict

_WIDTH_MIN = 100


def again(profile: str, seed: int) -> str:
    """Make the command that tries a seed again."""
    return f"scripts/simulate --seeds {seed}..{seed} --profile {profile}"


def print_summary(summary: Summary) -> None:
    """Print the tables of a hunt."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _WIDTH_MIN)
    console.print(_took_place(summary))
    console.print(_checkers(summary))
    print(
        f"{summary.seeds} seeds in {summary.seconds:.1f} s ({summary.rate:.1f} seeds/s), "
        f"{summary.entries} entries, {len(summary.failures)} failed"
    )


def _checkers(summary: Summary) -> Table:
    table = Table("checker", title="What the checkers said", title_justify="left")
    for result in Result:
        table.add_column(result.value, justify="right")
    for name in summary.checkers:
        table.add_row(name, *(str(summary.results[name, result.value]) for result in Result))
    return table


def _took_place(summary: Summary) -> Table:
    table = Table("", "what", title="What took place", title_justify="left")
    for column in ("times", "in seeds"):
        table.add_column(column, justify="right")
    for kind in KINDS:
        often_first = sorted(summary.times[kind].items(), key=lambda counted: (-counted[1], counted[0]))
        for number, (name, times) in enumerate(often_first):
            table.add_row("" if number else kind, name, str(times), str(summary.in_seeds[kind][name]))
        table.add_section()
    for number, (name, seeds) in enumerate(sorted(summary.planned.items())):
        table.add_row("" if number else "rates drawn", name, "", str(seeds))
    return table


def print_failure(outcome: SeedOutcome, profile: str, saved: KeptFailure | None) -> None:
    """Print a seed that failed, and what to do about it."""
    print(f"\nseed {outcome.seed}: {', '.join(sorted(outcome.signature))}")
    _print_what(outcome)
    print(f"  again:   {again(profile, outcome.seed)}")
    if saved is not None:
        _print_saved(saved)


def print_plan(outcome: SeedOutcome, saved: KeptFailure) -> None:
    """Print the result of a saved plan."""
    for result in (Result.VALID, Result.UNKNOWN):
        names = [verdict.checker for verdict in outcome.verdicts if verdict.result is result]
        print(f"{result.value}: {', '.join(names) or 'none'}")
    print(f"failed: {', '.join(sorted(outcome.signature)) or 'none'}")
    _print_what(outcome)
    _print_saved(saved)


def _print_what(outcome: SeedOutcome) -> None:
    for verdict in outcome.verdicts:
        for anomaly in verdict.anomalies:
            print(f"  {verdict.checker}: {anomaly.what}")
    for line in outcome.error.splitlines():
        print(f"  {line}")


def _print_saved(saved: KeptFailure) -> None:
    if saved.runs:
        how = "" if saved.is_minimal else ", and stopped there"
        print(f"  shrunk:  size {saved.size_before} to {saved.size} in {saved.runs} runs{how}")
    print(f"  plan:    scripts/simulate --plan {saved.plan}")
    if saved.picture.exists():
        print(f"  picture: {saved.picture}")


def as_json(summary: Summary, saved: Sequence[KeptFailure], *, interrupted: bool) -> str:
    """Encode everything as one JSON document."""
    of_seed = {failure.seed: failure for failure in saved}
    document = {
        "profile": summary.profile,
        "seeds": summary.seeds,
        "seconds": round(summary.seconds, 3),
        "seeds_per_second": round(summary.rate, 2),
        "interrupted": interrupted,
        "entries": summary.entries,
        "checkers": {
            name: {result.value: summary.results[name, result.value] for result in Result}
            for name in summary.checkers
        },
        **{
            kind: {
                name: {"times": times, "seeds": summary.in_seeds[kind][name]}
                for name, times in sorted(summary.times[kind].items())
            }
            for kind in KINDS
        },
        "rates_drawn": dict(sorted(summary.planned.items())),
        "failures": [
            _failure(outcome, summary.profile, of_seed.get(outcome.seed))
            for outcome in sorted(summary.failures, key=lambda outcome: outcome.seed)
        ],
    }
    return json.dumps(document, indent=2)


def _failure(outcome: SeedOutcome, profile: str, saved: KeptFailure | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "seed": outcome.seed,
        "failed": sorted(outcome.signature),
        "anomalies": _anomalies(outcome.verdicts),
        "error": outcome.error,
        "again": again(profile, outcome.seed),
    }
    if saved is not None:
        document["kept"] = {
            "folder": str(saved.folder),
            "plan": str(saved.plan),
            "picture": str(saved.picture),
            "anomalies": _anomalies(saved.verdicts),
            "size_before": saved.size_before,
            "size": saved.size,
            "runs": saved.runs,
            "is_minimal": saved.is_minimal,
        }
    return document


def _anomalies(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    return [
        {"checker": verdict.checker, "what": anomaly.what, "entry": anomaly.entry}
        for verdict in verdicts
        for anomaly in verdict.anomalies
    ]
