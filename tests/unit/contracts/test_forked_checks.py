"""Checks in a forked child: nothing that another thread was doing at the fork is waited for."""

import json
import subprocess
import sys
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest

from eventfabric.contracts.document import SchemaDocument
from tests.support.forks import SECONDS, in_a_fork
from tests.support.schema_folders import PLACED, written

LOADED = """
import sys
from pathlib import Path
from eventfabric.sdk.schemas import checks_in
checks = checks_in(Path(sys.argv[1]), is_closed=True)
before = set(sys.modules)
assert checks.of("orders", "placed").problems(b"{}")
assert set(sys.modules) == before, set(sys.modules) - before
"""


def test_no_check_imports_anything_so_no_fork_is_in_the_middle_of_that(tmp_path: Path) -> None:
    folder = written(tmp_path, {"orders/placed": PLACED})
    subprocess.run([sys.executable, "-c", LOADED, str(folder)], check=True)


def test_a_child_reads_schemas_that_another_thread_was_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, go_on, decode = Flag(), Flag(), json.loads

    def loads(text: bytes) -> Any:
        if not reading.is_set():
            reading.set()
            go_on.wait(SECONDS)
        return decode(text)

    monkeypatch.setattr(json, "loads", loads)

    def read() -> None:
        document = SchemaDocument(b"true")
        assert document.value is True
        assert len(document.digest) == 22

    thread = Thread(target=read)
    thread.start()
    assert reading.wait(SECONDS)
    try:
        assert in_a_fork(read) == 0
    finally:
        go_on.set()
        thread.join()
