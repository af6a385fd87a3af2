"""Reports of verdicts: the figures, and the survivors with the reason why each may survive."""

import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.mutation.mutants import DEAD, FOLDERS, Fate, Mutant, Verdict

Known = Sequence[tuple[Mutant, Verdict]]
REASONS = Path(__file__).with_name("reasons.toml")
_NONE = "No reason is known: a gap of the tests, or nobody has looked yet."


@dataclass(frozen=True)
class Reason:
    """A reason why some mutants may survive. The other fields are regular expressions, and all must match somewhere."""

    why: str
    path: str = ""
    function: str = ""
    operator: str = ""
    before: str = ""
    after: str = ""

    def holds(self, mutant: Mutant, before: str, after: str) -> bool:
        """Tell if the reason applies to a mutant, which replaces `before` by `after`."""
        actual = [mutant.path, mutant.function, mutant.operator, before, after]
        wanted = [self.path, self.function, self.operator, self.before, self.after]
        return all(re.search(pattern, text) for pattern, text in zip(wanted, actual, strict=True))


def reasons() -> list[Reason]:
    """Read the reasons from their file. The first one that applies to a mutant counts."""
    with REASONS.open("rb") as file:
        entries = tomllib.load(file)["reason"]
    return [
        Reason(entry["why"], **change)
        for entry in entries
        for change in entry.get("of", [{key: entry[key] for key in entry if key != "why"}])
    ]


def survivors(known: Known) -> str:
    """List each mutant that no test killed, grouped by reasons: where it is, and what it replaces by what."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    written = reasons()
    for mutant, verdict in known:
        if verdict.fate in (Fate.SURVIVED, Fate.UNTESTED):
            before, after = mutant.change()
            why = next((reason.why for reason in written if reason.holds(mutant, before, after)), _NONE)
            untested = "" if verdict.fate is Fate.SURVIVED else " (untested)"
            where = f"{mutant.path}:{mutant.line} {mutant.function}{untested}"
            groups[why].append(f"{where}\n  - {_cut(before, after)}\n  + {_cut(after, before)}")
    order = dict.fromkeys([*(reason.why for reason in written), _NONE])
    return "\n\n".join(
        f"## {why}\n\n{len(groups[why])} mutants.\n\n```diff\n" + "\n".join(groups[why]) + "\n```"
        for why in order
        if groups[why]
    )


def _cut(text: str, other: str, most: int = 100) -> str:
    """Cut a long line to the part around its first difference from the other."""
    same = next((index for index, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), 0)
    start = max(0, min(same - most // 2, len(text) - most))
    cut = text[start : start + most]
    return f"{'... ' if start else ''}{cut}{' ...' if start + most < len(text) else ''}"


def figures(known: Known) -> str:
    """Make a table with the number of mutants of each fate, for each package."""
    names = ("killed", "looped or stuck", "ill-typed", "survived", "untested", "share killed", "or ill-typed")
    rows = [f"| package | mutants | {' | '.join(names)} |", f"|---|---:|{'---:|' * len(names)}"]
    packages = [*FOLDERS, ""]
    for package in packages:
        fates = Counter(verdict.fate for mutant, verdict in known if mutant.path.startswith(package))
        if not fates:
            continue
        name = package.rpartition("/")[2] or "all"
        dead = sum(fates[fate] for fate in DEAD)
        hung = fates[Fate.LOOPED] + fates[Fate.STUCK]
        counts = [fates[fate] for fate in (Fate.ILL_TYPED, Fate.SURVIVED, Fate.UNTESTED)]
        cells = [name, fates.total(), fates[Fate.KILLED], hung, *counts]
        shares = f"{dead / fates.total():.1%} | {(dead + fates[Fate.ILL_TYPED]) / fates.total():.1%}"
        rows.append(f"| {' | '.join(str(cell) for cell in cells)} | {shares} |")
    return "\n".join(rows)


def page(known: Known, mutants: int) -> str:
    """Make the page scripts/mutation/survivors.md."""
    left = "" if len(known) == mutants else f"\n{mutants - len(known):,} more mutants have no verdict yet.\n"
    return f"{_HEAD}\n{figures(known)}\n{left}\n{survivors(known)}\n"


_HEAD = """# Mutants

Written by `scripts/mutate --write scripts/mutation/survivors.md`. mutmut's operators change the packages below, one
place at a time; the tests of `tests/unit`, `contract`, `handlers` and `simulation` that run the changed line are to
fail. Those that no test kills go to the type checker, which refuses the ill-typed ones: `scripts/check` runs it
before any test. The last column has both shares together.
`scripts/mutate --help` says how to go on with a run; `scripts/mutation/reasons.toml` holds the reasons below.
"""
