"""Wrong declaration: what is declared in the end is not what is deployed, or something is forgotten."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.history_of_deployments import (
    CatalogueListed,
    ListedChange,
    ListedSubscription,
    Retired,
    StackEnded,
)
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict

NAME = "wrong_declaration"
_Stacks = dict[str, StackEnded]
_Decided = frozenset[tuple[str, int]]
"""Names that operators have retired in any Region, each with its incarnation."""


def check(of: History) -> Verdict:
    """Check each Region's own lane against how its stacks ended, and against what operators were told."""
    anomalies: list[Anomaly] = []
    stacks: defaultdict[str, _Stacks] = defaultdict(dict)
    retired: defaultdict[str, set[str]] = defaultdict(set)
    decided = _decided(of)
    for number, entry in enumerate(of.entries):
        match entry:
            case StackEnded():
                stacks[entry.region][entry.subscription] = entry
            case Retired():
                retired[entry.region].add(entry.subscription)
            case CatalogueListed() if entry.region == entry.lane:
                about = [*_forgotten(entry), *_passed_over(entry)]
                about += [*_not_as_deployed(entry, stacks[entry.region], decided)]
                about += [
                    f"{name} was never retired"
                    for name in sorted(retired[entry.region])
                    if not _was_retired(entry.changes, name, decided)
                ]
                anomalies += [Anomaly(f"in {entry.lane}: {said}", number) for said in about]
            case _:
                pass
    return verdict(NAME, anomalies)


def _forgotten(entry: CatalogueListed) -> list[str]:
    """Name what a declaration leaves out that was in the one before."""
    said, before = list[str](), set[str]()
    for change in entry.changes:
        said += [f"{change.request} forgets {name}" for name in sorted(before - change.subscriptions.keys())]
        before = set(change.subscriptions)
    return said


def _passed_over(entry: CatalogueListed) -> list[str]:
    """Name what goes on in a later incarnation while it was not retired there: what waits for it is lost."""
    return [
        f"{change.request} passes over {name} {before.incarnation}, {before.state}"
        for earlier, change in pairwise(entry.changes)
        for name, before in earlier.subscriptions.items()
        if before.state != "retired"
        and change.subscriptions.get(name, before).incarnation > before.incarnation
    ]


def _not_as_deployed(entry: CatalogueListed, stacks: _Stacks, decided: _Decided) -> list[str]:
    said: list[str] = []
    for name, ended in stacks.items():
        last = _last(entry.changes, name)
        if last is None:
            said += [f"{name} is deployed and not declared"] if ended.content else []
        elif last.state == "retired":
            said += (
                []
                if _was_retired(entry.changes, name, decided)
                else [f"{name} is retired, and nobody did that"]
            )
        elif ended.content and last.content != ended.content:
            said.append(f"{name} is declared with {last.content}, and has {ended.content}")
        elif ended.state and last.state != ended.state:
            said.append(f"{name} is {last.state}, and must be {ended.state}")
        elif ended.request and not _was_retired(entry.changes, name, decided):
            before = _before(entry.changes, name, ended.request)
            if before is not None and not _is_back(last, before):
                said.append(f"{name} was rolled back to {last}, and not to {before}")
    return said


def _is_back(last: ListedSubscription, before: ListedSubscription) -> bool:
    """Tell if a name is as before. The highest incarnation stays, which the request may have heard of elsewhere."""
    is_same = (last.state, last.incarnation, last.content) == (
        before.state,
        before.incarnation,
        before.content,
    )
    return is_same and last.highest >= before.highest


def _last(changes: Sequence[ListedChange], name: str) -> ListedSubscription | None:
    return changes[-1].subscriptions.get(name) if changes else None


def _before(changes: Sequence[ListedChange], name: str, request: str) -> ListedSubscription | None:
    """Return what was declared of a name before a request; None: the request declared nothing."""
    for earlier, change in pairwise(changes):
        if change.request == request:
            return earlier.subscriptions.get(name)
    return None


def _decided(of: History) -> _Decided:
    return frozenset(
        (change.of, change.subscriptions[change.of].incarnation)
        for entry in of.entries
        if isinstance(entry, CatalogueListed) and entry.region == entry.lane
        for change in entry.changes
        if change.kind == "retired" and change.of in change.subscriptions
    )


def _was_retired(changes: Sequence[ListedChange], name: str, decided: _Decided) -> bool:
    """Tell if an operator retired a name, as its lane has it.

    That may have been in another Region, before a stack here rolls back from the name's next incarnation.
    """
    return any(
        (change.kind == "retired" and change.of == name)
        or (
            name in change.subscriptions
            and change.subscriptions[name].state == "retired"
            and (name, change.subscriptions[name].incarnation) in decided
        )
        for change in changes
    )
