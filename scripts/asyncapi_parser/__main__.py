"""`scripts/asyncapi`: what the standard's parser says of documents. Exit code 1: it finds an error in one."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from eventfabric.cdk.tools import InstallError
from scripts.asyncapi_parser.parsing import errors_in, install, parsed


def main(
    files: Annotated[list[Path] | None, typer.Argument(help="Documents, as JSON.", exists=True)] = None,
) -> None:
    """Read AsyncAPI documents with the standard's parser. Without any, it is only installed, and tests use it, too.

    Example: scripts/asyncapi build/catalogue/asyncapi.json
    """
    try:
        install()
        reports = parsed(files or [])
    except InstallError as error:
        raise SystemExit(f"scripts/asyncapi: {error}") from error
    for report in reports:
        print(f"{report['file']}: {len(errors_in(report))} errors; {report['counts'] or 'no document'}")
        for own in report["said"]:
            print(f"  {own['severity']} {own['code']} {own['path']}: {own['message']}")
    sys.exit(1 if any(map(errors_in, reports)) else 0)


if __name__ == "__main__":
    typer.run(main)
