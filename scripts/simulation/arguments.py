"""The arguments of `scripts/simulate`. Wrong ones end it with one clear line and exit code 2."""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import msgspec

from eventfabric.testing.simulation.hunt import seed_range
from eventfabric.testing.simulation.plan import Plan
from tests.simulation.profiles import PROFILES

OUT = Path("build/simulation")
_DEFAULT_LAST = 199
_EXAMPLES = """examples:
  scripts/simulate --seeds 0..999                    a thousand fabrics, one for each seed
  scripts/simulate --seeds 100000.. --minutes 30     as many fabrics as there is time for
  scripts/simulate --seeds 17..17 --profile default  one of them again; if it fails, it is shrunk and drawn
  scripts/simulate --plan build/simulation/default-17/plan.json
  scripts/simulate --regression late_copy --seeds 17..17 --reason "what was wrong and is mended"

profiles:
"""


@dataclass(frozen=True)
class Arguments:
    """The parsed arguments. `last` is None if only time ends the run; `plan` is a saved plan to run again."""

    profile: str
    first: int
    last: int | None
    minutes: float | None
    jobs: int
    json: bool
    out: Path
    shrink: bool
    plan: Plan | None
    regression: str
    reason: str

    @property
    def count(self) -> int | None:
        """Number of seeds; None if only time ends the run."""
        return None if self.last is None else self.last - self.first + 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def parsed(arguments: Sequence[str] | None) -> Arguments:
    """Parse the arguments. Raises SystemExit."""
    parser = _parser()
    given = parser.parse_args(arguments)
    default = (0, None if given.minutes is not None else _DEFAULT_LAST)
    first, last = default if given.seeds is None else given.seeds
    for complaint in _contradictions(given, first, last):
        parser.error(complaint)
    try:
        # Now, and not after the hunt, which may take hours.
        given.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out {given.out}: {error.strerror}")
    return Arguments(
        profile=given.profile if given.plan is None else given.plan.profile,
        first=first if given.plan is None else given.plan.seed,
        last=last,
        minutes=given.minutes,
        jobs=given.jobs,
        json=given.json,
        out=given.out,
        shrink=not given.no_shrink,
        plan=given.plan,
        regression=given.regression or "",
        reason=given.reason,
    )


def _contradictions(given: argparse.Namespace, first: int, last: int | None) -> Iterator[str]:
    """Yield what is wrong with arguments that are right by themselves."""
    replays = given.plan is not None
    if replays and (given.seeds is not None or given.minutes is not None):
        yield "--plan replays one plan: no --seeds, no --minutes"
    if last is None and given.minutes is None:
        yield "seeds without an end need --minutes"
    if bool(given.regression) != bool(given.reason):
        yield "--regression needs --reason, and --reason --regression"
    if given.regression and not replays and (given.seeds is None or first != last):
        yield "--regression needs one seed (--seeds 17..17) or --plan"


def _parser() -> argparse.ArgumentParser:
    profiles = "\n".join(f"  {name:12} {profile.what}" for name, profile in PROFILES.items())
    parser = _Parser(
        prog="scripts/simulate",
        description="Simulate whole fabrics, each decided by a seed, and check what must hold.",
        epilog=_EXAMPLES + profiles,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seeds", type=_seeds, metavar="A..B", help=f"seeds, both included; default: 0..{_DEFAULT_LAST}")
    add("--profile", type=_profile, default="default", metavar="NAME", help="default: %(default)s")
    add("--minutes", type=_minutes, metavar="M", help="start no seed after M minutes; A.. then needs no end")
    add("--jobs", type=_jobs, default=os.cpu_count() or 1, metavar="N", help="processes; default: one a core")
    add("--json", action="store_true", help="print the summary as JSON")
    add(
        "--out",
        type=Path,
        default=OUT,
        metavar="FOLDER",
        help="where failures are kept; default: %(default)s",
    )
    add("--no-shrink", action="store_true", help="keep failing plans as they are")
    add("--plan", type=_plan, metavar="FILE", help="replay a saved plan")
    add(
        "--regression",
        type=_name,
        metavar="NAME",
        help="keep the plan of the seed, or of --plan, as a regression test of this name",
    )
    add("--reason", default="", metavar="TEXT", help="with --regression: what was wrong")
    return parser


def _seeds(text: str) -> tuple[int, int | None]:
    try:
        return seed_range(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _profile(text: str) -> str:
    if text not in PROFILES:
        raise argparse.ArgumentTypeError(f"there is no profile {text!r}; there is {', '.join(PROFILES)}")
    return text


def _minutes(text: str) -> float:
    return _above_zero(text, float)


def _jobs(text: str) -> int:
    return round(_above_zero(text, int))


def _above_zero(text: str, kind: type[float]) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def _plan(text: str) -> Plan:
    try:
        plan = msgspec.json.decode(Path(text).read_bytes(), type=Plan)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise argparse.ArgumentTypeError(f"{text} is no plan: {error}") from error
    if plan.profile not in PROFILES:
        raise argparse.ArgumentTypeError(
            f"{text} is of profile {plan.profile!r}, which is not here; `eventfabric simulate` replays its own"
        )
    return plan


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name: lower case letters, digits and _")
    return text
