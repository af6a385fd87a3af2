"""Wheels for Lambda: all that its glibc runs, and no others, by the pip that is here."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from eventfabric.cdk.wheels import linux
from eventfabric.topology import LAMBDA_PYTHON

CPYTHON = f"cp{LAMBDA_PYTHON.replace('.', '')}"


def wheel_of(folder: Path, tag: str) -> Path:
    """Write a wheel that holds nothing."""
    path = folder / f"nothing-1.0-{tag}.whl"
    with ZipFile(path, "w") as archive:
        archive.writestr(
            "nothing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: nothing\nVersion: 1.0\n"
        )
        archive.writestr(
            "nothing-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n"
        )
        archive.writestr("nothing-1.0.dist-info/RECORD", "")
    return path


def is_taken(folder: Path, tag: str, machine: str) -> bool:
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-index", "--no-deps"),
        *("--only-binary", ":all:", "--target", str(folder / "target"), "--disable-pip-version-check"),
        *linux(LAMBDA_PYTHON, machine).options,
        str(wheel_of(folder, tag)),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0 or "is not a supported wheel on this platform" in ran.stderr, ran.stderr
    return ran.returncode == 0


@pytest.mark.parametrize(
    ("tag", "machine", "expected"),
    [
        *(
            (f"{CPYTHON}-{CPYTHON}-manylinux_2_{minor}_aarch64", "aarch64", True)
            for minor in (17, 24, 31, 34)
        ),
        (f"{CPYTHON}-abi3-manylinux2014_aarch64", "aarch64", True),
        (f"{CPYTHON}-{CPYTHON}-manylinux_2_5_x86_64", "x86_64", True),
        (f"{CPYTHON}-{CPYTHON}-manylinux2010_x86_64", "x86_64", True),
        ("py3-none-any", "aarch64", True),
        (f"{CPYTHON}-{CPYTHON}-manylinux_2_35_aarch64", "aarch64", False),
        (f"{CPYTHON}-{CPYTHON}-manylinux_2_34_x86_64", "aarch64", False),
        (f"{CPYTHON}-{CPYTHON}-musllinux_1_2_aarch64", "aarch64", False),
    ],
)
def test_a_wheel_is_taken_if_lambda_runs_it(tag: str, machine: str, expected: bool, tmp_path: Path) -> None:
    assert is_taken(tmp_path, tag, machine) is expected
