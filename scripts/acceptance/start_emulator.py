"""Start the emulator with those faults mended that stand in the way of imports, batches, and many stacks at a time.

This is the one place where it is changed. It runs in the emulator's own environment, so it imports nothing of this
project. Where the emulator has changed, it fails at once instead of mending nothing.
"""

import logging
import os
import runpy
import threading
import zipfile
from collections.abc import Callable
from hashlib import file_digest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.core import iam_actions, lambda_runtime, responses  # type: ignore[import-not-found]  # see above
from ministack.services import lambda_svc, sts  # type: ignore[import-not-found]  # see above
from ministack.services.cloudformation import changesets, provisioners  # type: ignore[import-not-found]  # see above

AT_A_TIME = 2 * (os.cpu_count() or 1)
"""Functions that may handle messages of their queues at the same time."""
GLOBAL, REGIONAL = "AWS::DynamoDB::GlobalTable", "AWS::DynamoDB::Table"


def import_global_tables() -> None:
    """Have a global table found and imported as a table of one Region is.

    The emulator imports those only, and keeps a global table as a table of that name, too.
    """
    handlers, lookups = provisioners._RESOURCE_HANDLERS, changesets._IMPORT_LOOKUPS
    assert "import" not in handlers[GLOBAL], "the emulator imports them itself by now"
    handlers[GLOBAL]["import"] = handlers[REGIONAL]["import"]
    lookups[GLOBAL] = lookups[REGIONAL]


def keep_functions_of_other_regions() -> None:
    """End only the processes of the Region in which a function is created, deleted or changed.

    The emulator also ends those of the same name elsewhere, in the middle of their invocations.
    """
    end: Callable[..., None] = lambda_svc.invalidate_worker

    def end_in_region(
        name: str, qualifier: str | None = None, account: str | None = None, region: str | None = None
    ) -> None:
        end(name, qualifier, account or responses.get_account_id(), region or responses.get_region())

    lambda_svc.invalidate_worker = end_in_region


def end_deleted_versions() -> None:
    """End the idle processes of a version that a stack deletes: the emulator keeps one of each version for good."""
    handler = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Version"]
    delete: Callable[[str, dict[str, Any]], None] = handler["delete"]

    def delete_and_end(physical_id: str, properties: dict[str, Any]) -> None:
        delete(physical_id, properties)
        _, _, _, region, account, _, name, version = physical_id.split(":")
        with lambda_runtime._lock:
            workers = lambda_runtime._workers.get(f"{account}:{region}:{name}:{version}", [])
            idle = [worker for worker in workers if not worker.in_use]
            workers[:] = [worker for worker in workers if worker.in_use]
        lambda_runtime.kill_workers(idle)

    handler["delete"] = delete_and_end


def register_sessions_one_by_one() -> None:
    """Register sessions of roles under a lock: the emulator walks the dictionary of sessions while others add to it."""
    lock, register = threading.Lock(), sts.register_session

    def register_alone(key: str, session: dict[str, Any]) -> None:
        with lock:
            register(key, session)

    sts.register_session = register_alone


def share_code() -> None:
    """Keep and extract the code of functions once for all that have the same. Lambda, too, lets none change its own.

    The emulator keeps 20 MB for each function, and extracts 52 MB for each process, which takes it a second.
    """
    lock, folder = threading.Lock(), Path(os.environ["TMPDIR"], "code")
    fetch: Callable[..., bytes | None] = lambda_svc._fetch_code_from_s3
    kept: dict[bytes, bytes] = {}

    def fetch_once(*arguments: Any, **options: Any) -> bytes | None:
        code = fetch(*arguments, **options)
        return None if code is None else kept.setdefault(code, code)

    class Shared(zipfile.ZipFile):
        def extractall(self, path: Any = None, *arguments: Any, **options: Any) -> None:
            with open(str(self.filename), "rb") as archive:
                extracted = folder / file_digest(archive, "sha256").hexdigest()
            with lock:
                if not extracted.is_dir():
                    super().extractall(f"{extracted}.part", *arguments, **options)
                    os.rename(f"{extracted}.part", extracted)
            os.rmdir(path)
            os.symlink(extracted, path)
            os.remove(str(self.filename))

    lambda_svc._fetch_code_from_s3 = fetch_once
    assert lambda_runtime.zipfile is zipfile
    lambda_runtime.zipfile = SimpleNamespace(**{**vars(zipfile), "ZipFile": Shared})


def take_turns() -> None:
    """Have the functions of many queues wait for their turn, a batch each.

    The emulator invokes all at the same time, and answers in one thread: their calls would exceed their time-outs.
    """
    turns = threading.Semaphore(AT_A_TIME)
    dispatch: Callable[..., None] = lambda_svc._dispatch_esm_batch

    def dispatch_in_turn(mapping: str, handle: Callable[..., None], *batch: Any) -> None:
        def handle_in_turn(*batch: Any) -> None:
            with turns:
                handle(*batch)

        dispatch(mapping, handle_in_turn, *batch)

    lambda_svc._dispatch_esm_batch = dispatch_in_turn


def name_batches_as_iam_does() -> None:
    """Allow a batch of messages to whoever may send, delete or hide a single one: IAM has no actions for batches."""
    name: Callable[..., str | None] = iam_actions.extract_iam_action

    def name_single(*arguments: Any, **options: Any) -> str | None:
        action = name(*arguments, **options)
        return action.removesuffix("Batch") if action is not None and action.startswith("sqs:") else action

    iam_actions.extract_iam_action = name_single


def log_no_closed_connections() -> None:
    """Leave out the traces of connections that clients close: the emulator spends a fifth of its time on them."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def mend() -> None:
    """Mend all of it."""
    import_global_tables()
    keep_functions_of_other_regions()
    end_deleted_versions()
    register_sessions_one_by_one()
    share_code()
    take_turns()
    name_batches_as_iam_does()
    log_no_closed_connections()


if __name__ == "__main__":
    mend()
    runpy.run_module("ministack.app", run_name="__main__", alter_sys=True)
