"""Owns how verdicts are told: the survivors one by one, and the figures."""

from collections import Counter
from collections.abc import Sequence as Seq

from scripts.mutation.mutants import DEAD, FOLDERS, Fate, Mutant, Verdict

Known = Seq[tuple[Mutant, Verdict]]


def survivors(known: Known) -> str:
    """Each mutant that no test killed: where, and what it replaces by what."""
    lines = []
    for mutant, verdict in known:
        if verdict.fate not in DEAD:
            before, after = mutant.change()
            where = f"{mutant.path}:{mutant.line} {mutant.function}"
            lines.append(f"{where} ({verdict.fate})\n  - {before}\n  + {after}")
    return "\n".join(lines)


def figures(known: Known) -> str:
    """How many of each fate, by package, as a table."""
    rows = ["| package | mutants | killed | looped or stuck | survived | untested | share killed |"]
    rows.append("|---|---:|---:|---:|---:|---:|---:|")
    packages = [*FOLDERS, ""]
    for package in packages:
        fates = Counter(found.fate for mutant, found in known if mutant.path.startswith(package))
        if not fates:
            continue
        name = package.rpartition("/")[2] or "all"
        dead = sum(fates[fate] for fate in DEAD)
        hung = fates[Fate.LOOPED] + fates[Fate.STUCK]
        cells = [name, fates.total(), fates[Fate.KILLED], hung, fates[Fate.SURVIVED], fates[Fate.UNTESTED]]
        rows.append(f"| {' | '.join(str(cell) for cell in cells)} | {dead / fates.total():.1%} |")
    return "\n".join(rows)


def page(known: Known) -> str:
    """The page of survivors."""
    return f"{figures(known)}\n\n{survivors(known)}\n"
