"""Trials of random pairs: those that the differ calls compatible, against documents that producers may publish."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from eventfabric.contracts.differ import compared
from tests.support.random_pairs import PairTrial, random_pair

SECONDS_MAX = 1.0
UNDECIDED_SHARE_MAX = 0.02
"""Largest share of undecided pairs, of schemas that have only what the differ decides."""
_WITNESS_DOCUMENTS = 50


@dataclass
class _Trials:
    verdicts: Counter[str] = field(default_factory=Counter)
    documents: int = 0
    wrong: int = 0
    witnessed: int = 0
    slowest_seconds: float = 0.0
    slowest_seed: int = 0
    steps_max: int = 0


def run_trials(pairs: int, documents: int, first_seed: int) -> bool:
    """Try pairs until so many were called compatible, and print figures. Returns if none was refuted."""
    decided = _run(pairs, documents, first_seed, beyond=False)
    everything = _run(pairs, documents, first_seed, beyond=True)
    _print("schemas of the decided subset", decided)
    _print("schemas of all of JSON Schema", everything)
    is_share_kept = decided.verdicts["undecided"] <= UNDECIDED_SHARE_MAX * decided.verdicts.total()
    is_fast = max(decided.slowest_seconds, everything.slowest_seconds) <= SECONDS_MAX
    return is_share_kept and is_fast and decided.wrong + everything.wrong == 0


def _run(pairs: int, documents: int, first_seed: int, *, beyond: bool) -> _Trials:
    trials = _Trials()
    seed = first_seed
    while trials.verdicts["compatible"] < pairs:
        reader, writer = random_pair(seed, beyond=beyond)
        begun = time.process_time()
        known, steps = compared(reader, writer)
        seconds = time.process_time() - begun
        if seconds > trials.slowest_seconds:
            trials.slowest_seconds, trials.slowest_seed = seconds, seed
        trials.steps_max = max(trials.steps_max, steps)
        trial = PairTrial(reader, writer, seed)
        if not known:
            trials.verdicts["compatible"] += 1
            refuting = trial.refuted_by(documents)
            trials.documents += trial.published
            if refuting is not None:
                trials.wrong += 1
                _print_wrong(seed, reader, writer, refuting)
        elif all(difference.is_undecided for difference in known):
            trials.verdicts["undecided"] += 1
        else:
            trials.verdicts["incompatible"] += 1
            trials.witnessed += trial.refuted_by(_WITNESS_DOCUMENTS, second=0) is not None
        seed += 1
    return trials


def _print(name: str, trials: _Trials) -> None:
    total = trials.verdicts.total()
    print(f"{name}: {total:,} pairs")
    for verdict, count in sorted(trials.verdicts.items()):
        print(f"  {verdict:<14}{count:>8,}  {count / total:6.2%}")
    print(f"  documents of compatible pairs: {trials.documents:,}; refuted: {trials.wrong}")
    print(f"  incompatible pairs for which a document was found at random: {trials.witnessed:,}")
    print(
        f"  slowest: {trials.slowest_seconds:.3f} s of CPU (seed {trials.slowest_seed}); "
        f"most steps: {trials.steps_max:,}"
    )


def _print_wrong(seed: int, reader: Any, writer: Any, document: Any) -> None:
    print(f"WRONG, seed {seed}:")
    for name, value in (("reader", reader), ("writer", writer), ("document", document)):
        print(f"  {name}: {json.dumps(value)}")
