"""A process that has imported what a player imports, and is copied for each of its turns, which take less time.

Run as `python player_host.py PLAYER`. A line of standard input is a list in JSON: the files that are a turn's standard
input, output and errors. A line of standard output is the turn's exit code. It imports nothing of any version itself.
"""

import json
import os
import runpy
import sys
import traceback
from collections.abc import Sequence


def main(player: str) -> None:
    """Let the player take turns until nobody asks for any."""
    runpy.run_path(player)
    while line := sys.stdin.readline():
        if not (child := os.fork()):
            os._exit(_turn(player, json.loads(line)))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _turn(player: str, files: Sequence[str]) -> int:
    """Run the player as the main program, with these files. Return its exit code."""
    for number, file in enumerate(files):
        os.dup2(os.open(file, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT), number)
    try:
        runpy.run_path(player, run_name="__main__")
        sys.stdout.flush()
    except BaseException:  # reported to whoever asked for the turn
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main(sys.argv[1])
