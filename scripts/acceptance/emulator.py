"""The emulator: its environment, its process and its certificate.

It is the PyPI package `ministack`, in its own environment, on loopback, over TLS, with IAM enforced. It runs functions
in processes of its own Python, so their zip is staged for this machine.
"""

import gc
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import trustme

from eventfabric.cdk.tools import InstallError
from scripts.acceptance.target import AcceptanceError, Target
from scripts.install import ROOT, installed

LOCK = ROOT / "scripts" / "locks" / "emulator.txt"
PROGRAM = Path(__file__).with_name("start_emulator.py")
ACCOUNT = "000000000000"
ROOT_KEY = "test"
START_SECONDS = 60
STATE_SECONDS = 75
HEALTH = "/_ministack/health"


class Emulator:
    """An emulator that keeps its state in a folder, so that it can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._python = _environment()
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._certificate, self._private_key = _certificate(folder)
        self.log = folder / "emulator.log"

    @property
    def target(self) -> Target:
        """The emulator as a target, with the credentials of its root user."""
        url = f"https://127.0.0.1:{self._port}"
        trusted = str(self._certificate)
        return Target(
            {
                "AWS_ENDPOINT_URL": url,
                # Bucket names as host names do not resolve on loopback.
                "AWS_ENDPOINT_URL_S3": url,
                "AWS_ACCESS_KEY_ID": ROOT_KEY,
                "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
                "AWS_CA_BUNDLE": trusted,
                "NODE_EXTRA_CA_CERTS": trusted,
                "SSL_CERT_FILE": trusted,
            },
            ACCOUNT,
            is_emulator=True,
        )

    def start(self) -> None:
        """Start the emulator and wait until it answers. Raises AcceptanceError."""
        state = self._folder / "state"
        state.mkdir(exist_ok=True)
        temporary = self._folder / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self._folder),
            "TMPDIR": str(temporary),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self._port),
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "AUTH": "true",
            "PERSIST_STATE": "1",
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(state / "s3"),
            "STATE_DIR": str(state),
            "USE_SSL": "1",
            "MINISTACK_SSL_CERT": str(self._certificate),
            "MINISTACK_SSL_KEY": str(self._private_key),
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._python), str(PROGRAM)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise AcceptanceError(f"the emulator does not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Kill the emulator, and the processes of its functions, which are in its process group."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop the emulator and start it with its state. Raises AcceptanceError if it does not write that in time."""
        assert self._process is not None
        # The emulator waits up to half a minute for its clients to close their connections.
        gc.collect()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STATE_SECONDS)
        self.stop()
        path = self._folder / "state" / "lambda.json"
        if not path.is_file():
            raise AcceptanceError(f"the emulator did not write its state within {STATE_SECONDS} s")
        # It saves how far mappings have read DynamoDB streams, but not the streams, so they would read nothing more.
        state = json.loads(path.read_text())
        state["payload"]["dynamodb_stream_positions"] = {}
        path.write_text(json.dumps(state))
        self.start()

    def keep_log(self) -> None:
        """Copy the emulator's log to build/e2e.log, where it can be read after the folder is deleted."""
        if self.log.is_file():
            shutil.copyfile(self.log, ROOT / "build" / "e2e.log")

    def _answers(self) -> bool:
        trusted = ssl.create_default_context(cafile=str(self._certificate))
        try:
            url = f"https://127.0.0.1:{self._port}{HEALTH}"
            with urllib.request.urlopen(url, timeout=2, context=trusted) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _environment() -> Path:
    """Install the emulator's environment if needed, and return its Python. Raises AcceptanceError."""
    pip = ["{folder}/bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    try:
        folder = installed(
            "emulator",
            LOCK.read_bytes() + sys.version.encode(),
            [
                [sys.executable, "-m", "venv", "{folder}"],
                [*pip, "install", "--require-hashes", "--no-deps", "--requirement", str(LOCK)],
            ],
        )
    except InstallError as error:
        raise AcceptanceError(str(error)) from error
    return folder / "bin" / "python"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for loopback, with the authority that signed it, and its private key."""
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1", "localhost")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    chain = [*(part.bytes() for part in made.cert_chain_pems), authority.cert_pem.bytes()]
    certificate.write_bytes(b"".join(chain))
    made.private_key_pem.write_to_path(str(key))
    return certificate, key
