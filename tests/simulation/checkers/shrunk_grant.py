"""Shrunk grant: a slot, or the account of a lane, grants less than it did."""

from eventfabric.testing.simulation import history, history_of_credits
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.credited import gates_in

NAME = "shrunk_grant"


def check(of: History) -> Verdict:
    """Check that slots only grow, and accounts, too, unless the subscription holds nobody back any more."""
    if not gates_in(of):
        return verdict(NAME, [])
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        match entry:
            case history_of_credits.Granted() if entry.grant < entry.before:
                what = (
                    f"{entry.subscription}'s slot of {entry.lane} went from {entry.before} to {entry.grant}"
                )
                anomalies.append(Anomaly(what, number))
            case history.CursorMoved(copied=False, before=history.CursorStand() as before):
                if -1 < entry.after.granted < before.granted:
                    what = f"{entry.subscription}'s account of {entry.lane} went from {before.granted}"
                    anomalies.append(Anomaly(f"{what} to {entry.after.granted}", number))
            case _:
                pass
    return verdict(NAME, anomalies)
