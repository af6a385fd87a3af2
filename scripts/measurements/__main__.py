"""The command line of the measurements, `scripts/measure`. Exit code 1: with --check, an aim was missed."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from scripts.install import ROOT
from scripts.measurements.house import measured
from scripts.measurements.report import as_json, print_figures


def main(
    package: Annotated[
        Path, typer.Argument(help="The folder of the package.", exists=True, file_okay=False)
    ] = ROOT / "functions" / "eventfabric",
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 where an aim is missed.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure sizes, complexity, comments and imports of a package beside the aims of the house.

    Examples: scripts/measure --check; scripts/measure --json | jq .figures
    """
    figures = measured(package.resolve())
    if json:
        print(as_json(figures))
    else:
        print_figures(figures, Console())
    if check and not all(figure.is_met for figure in figures):
        raise typer.Exit(1)


typer.run(main)
