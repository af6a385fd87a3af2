"""The command line of the acceptance test, `scripts/e2e`.

Exit codes: 0 all checks hold; 1 a check fails, or could not be made; 2 wrong arguments; 130 interrupted.
"""

import argparse
import json
import secrets
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import botocore.exceptions
from boto3 import Session
from rich.console import Console
from rich.table import Table

from scripts.acceptance.emulator import Emulator
from scripts.acceptance.fabric import DeployedFabric
from scripts.acceptance.many import SUBSCRIPTIONS, Many
from scripts.acceptance.report import Report
from scripts.acceptance.scenario import Scenario
from scripts.acceptance.target import ENDPOINTS, AcceptanceError, Target

_EXAMPLE = """examples:
  scripts/e2e                                 starts an emulator that enforces IAM: no account, no Docker
  scripts/e2e --account --regions eu-west-1,eu-central-1
                                              in the account of your AWS profile; costs a few cents
  scripts/e2e --endpoint http://127.0.0.1:4566
  scripts/e2e --many                          40 subscriptions, one more, a failure in the middle, all adopted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the acceptance test; returns the exit code."""
    chosen = _parsed(arguments)
    console = Console(stderr=True, highlight=False)
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="eventfabric-e2e-") as folder:
        emulator: Emulator | None = None
        try:
            if chosen.account or chosen.endpoint:
                target = _given(chosen.endpoint)
            else:
                console.print("starting the emulator", style="dim")
                emulator = Emulator(Path(folder))
                emulator.start()
                target = emulator.target
            report = _run(target, emulator, Path(folder), chosen, console)
        except AcceptanceError as error:
            print(f"scripts/e2e: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("scripts/e2e: interrupted", file=sys.stderr)
            return 130
        finally:
            if emulator is not None:
                emulator.stop()
                emulator.keep_log()
    if chosen.json:
        print(_as_json(report))
    else:
        _print(report, Console())
    return 0 if report.ok else 1


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/e2e",
        description="Deploy a fabric with the CDK, publish, break it, redeploy and destroy it; check what must hold.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--account", action="store_true", help="deploy to the AWS account of the environment")
    where.add_argument("--endpoint", metavar="URL", help="deploy to another endpoint that speaks like AWS")
    parser.add_argument(
        "--regions",
        default="us-east-1,eu-west-1",
        metavar="HOME,OTHER",
        help="two Regions; default: %(default)s",
    )
    parser.add_argument(
        "--patience",
        type=float,
        metavar="SECONDS",
        help="time to wait for deliveries; default: 60, in an account 600",
    )
    parser.add_argument(
        "--many",
        type=int,
        nargs="?",
        const=SUBSCRIPTIONS,
        metavar="COUNT",
        help="deploy so many subscriptions instead, fail in the middle, destroy and adopt; default: %(const)s",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    chosen = parser.parse_args(arguments)
    chosen.regions = tuple(chosen.regions.split(","))
    if len(set(chosen.regions)) != 2 or not all(chosen.regions):
        parser.error(
            f"--regions: found {','.join(chosen.regions)}, allowed: two different Regions, as HOME,OTHER"
        )
    if chosen.patience is None:
        chosen.patience = 600.0 if chosen.account else 60.0
    return chosen


def _run(
    target: Target, emulator: Emulator | None, folder: Path, chosen: argparse.Namespace, console: Console
) -> Report:
    name = f"accept-{secrets.token_hex(3)}"
    fabric = DeployedFabric.make(target, folder / "project", name, chosen.regions)
    with console.status("deploying") as status:

        def tell(line: str) -> None:
            if line.startswith(("==", "holds", "FAILED")):
                console.print(line, markup=False)
            elif line:
                status.update(line.replace("[", "(")[:100])

        scenario: Scenario | Many
        if chosen.many:
            scenario = Many(
                target, fabric, folder, tell, patience_seconds=chosen.patience, subscriptions=chosen.many
            )
        else:
            scenario = Scenario(
                target, fabric, folder, tell, emulator=emulator, patience_seconds=chosen.patience
            )
        try:
            scenario.run()
        except (AcceptanceError, botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            left = "" if emulator else f"\nResources that are left in the account are named {name}."
            raise AcceptanceError(f"{error}{left}") from error
    return scenario.report


def _given(endpoint: str | None) -> Target:
    """Use the account, or the endpoint, of the user's credentials. Raises AcceptanceError if it does not answer."""
    environment = {} if endpoint is None else dict.fromkeys(ENDPOINTS, endpoint)
    try:
        account = (
            Session()
            .client("sts", region_name="us-east-1", endpoint_url=endpoint)
            .get_caller_identity()["Account"]
        )
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise AcceptanceError(f"no account to deploy to: {error}") from error
    return Target(environment, account)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _print(report: Report, console: Console) -> None:
    table = Table("", "what must hold", "problem")
    for check in report.checks:
        table.add_row("[red]no[/red]" if check.problem else "yes", check.name, check.problem)
    console.print(table)
    console.print("  ".join(f"{name} {seconds} s" for name, seconds in report.steps.items()))
    for difference in report.made_up_for:
        console.print(f"made up for in the emulator: {difference}")
    for promise in report.not_checked:
        console.print(f"not checked: {promise}")


def _as_json(report: Report) -> str:
    return json.dumps(
        {
            "ok": report.ok,
            "checks": [{"name": c.name, "ok": not c.problem, "problem": c.problem} for c in report.checks],
            "steps_seconds": report.steps,
            "made_up_for": report.made_up_for,
            "not_checked": report.not_checked,
        },
        indent=2,
    )


if __name__ == "__main__":
    raise SystemExit(main())
