"""An earlier version's player at a seal: carries out commands, and notes the error of each that fails.

Run as a script, with the earlier version of the library on the path, and with the path of that version's player.
"""

import runpy
import sys
from typing import Any

from eventfabric.errors import EventFabricError
from eventfabric.model import Batch, BatchId, Lane, Region
from eventfabric.services.publishing.append import Appender
from eventfabric.wire.payload_codec import Row, pack


def append_behind(player: Any, lane: str, seal: dict[str, Any]) -> None:
    """Have a warm producer, which knows where the lane goes on, come to a seal that was put there meanwhile."""
    region = Lane.parse(lane).origin
    log, table = player.cloud.log("orders", region), player.cloud.log_table("orders", region)
    appender = Appender(log, stream="orders", clock=player.clock, entropy=player.entropy)
    for number in range(2):
        row: Row = (f"warm {number}", "Placed", "anna", 2**50, "/s", {}, 1, b"{}")
        batch = Batch(BatchId(bytes([number]) * 16), 1, frozenset({"Placed"}), pack([row]))
        record = appender.append(Lane.parse(lane), batch)
        if not number:
            tail = {"N": str(record.sequence + record.count)}
            table.write("Put", {"TableName": table.name, "Item": {**seal, "sk": tail}})


def read_tail(player: Any, lane: str) -> None:
    """Read where a lane ends: its header alone."""
    player.cloud.log("orders", Region(lane.partition("/")[0])).tail(Lane.parse(lane))


def main(path: str) -> None:
    """Play the turn that stands in standard input."""
    module = runpy.run_path(path)
    turn = module["decoded"](sys.stdin.read())
    player = module["Player"](turn["state"], by="earlier", seed=1)
    errors: list[list[str]] = []
    for name, *arguments in turn["commands"]:
        try:
            own = globals().get(name)
            if own is None:
                player.play([name, *arguments])
            else:
                own(player, *arguments)
        except EventFabricError as error:
            errors.append([name, type(error).__name__, str(error)])
    after = player.state(turn["state"]["definition"])
    sys.stdout.write(module["encoded"]({**after, "errors": errors}))


if __name__ == "__main__":
    main(sys.argv[1])
