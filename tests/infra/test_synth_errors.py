"""Undeployable definitions are refused in one message: what, where, and what is allowed. Nothing is written."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path

import aws_cdk
import pytest

from eventfabric.cdk.app import run
from eventfabric.cdk.bytecode import compiler_for
from eventfabric.cdk.wheels import unpacked_wheels
from eventfabric.deployment.shipped import files_in
from eventfabric.topology import LAMBDA_PYTHON
from infra.app import ROOT, WHEELS
from infra.app import context as sample_context
from tests.support.messages import missing_from

HANDLER = '[subscriptions.count]\nstream = "orders"\nhandler = "subscribers.count:record"\n'
REST = f"[streams.orders]\n{HANDLER}"


@dataclass(frozen=True)
class Project:
    """A user's own project, outside this one: a definition, and a folder of handlers."""

    folder: Path
    name: str

    @property
    def definition(self) -> Path:
        return self.folder / "infra" / "fabric.toml"

    @property
    def subscribers(self) -> Path:
        return self.folder / "functions" / "subscribers"

    @property
    def staged(self) -> list[Path]:
        """The code that the assembly has: a folder, once there is one."""
        return [path for path in (self.folder / "cdk.out").glob("asset.*") if path.is_dir()]

    def write(self, rest: str = REST, *, regions: str = '"eu-west-1"') -> None:
        self.definition.write_text(f'[fabric]\nname = "{self.name}"\nregions = [{regions}]\n{rest}')

    def synthesise(
        self, context: Mapping[str, object], *, folder: Path = ROOT
    ) -> "subprocess.CompletedProcess[str]":
        """`python -m infra.app`, as the CDK's command line runs it."""
        given = {"definition": str(self.definition), **context}
        return subprocess.run(
            [sys.executable, "-m", "infra.app"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "CDK_OUTDIR": str(self.folder / "cdk.out"),
                "CDK_CONTEXT_JSON": json.dumps(given),
            },
        )

    def refused(self, **context: object) -> str:
        """The one message with which a synthesis ends that changes nothing; in this process, which has the CDK."""
        printed, message = StringIO(), StringIO()
        given = {**sample_context(), "definition": str(self.definition), **context}
        with redirect_stdout(printed), redirect_stderr(message), pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            patch.setattr(aws_cdk, "App", partial(aws_cdk.App, outdir=str(self.folder / "cdk.out")))
            code = run(context=given, cache=WHEELS)
        return self.refusal(code, printed.getvalue(), message.getvalue())

    def refusal(self, code: int, printed: str, message: str) -> str:
        """Return the message of a refusal that changed nothing."""
        assert code == 1, message
        assert printed == ""
        assert message.count("cannot be deployed: ") == 1
        assert message.startswith("cannot be deployed: ")
        assert "Traceback" not in message
        assert list((self.folder / "cdk.out").rglob("*")) == []  # the CDK makes the folder at once
        return message


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "their", "their")
    made.definition.parent.mkdir(parents=True)
    made.subscribers.mkdir(parents=True)
    (made.subscribers / "count.py").write_text("def record(event, delivery): ...\n")
    made.write()
    return made


@pytest.fixture(scope="session")
def cached() -> None:
    """The wheels are there: a fresh clone fetches them once."""
    unpacked_wheels(ROOT / "functions", cache=WHEELS, compiler=compiler_for(LAMBDA_PYTHON))


def region(text: str) -> Callable[[Project], None]:
    return lambda project: project.write(regions=text)


def quorum(text: str) -> Callable[[Project], None]:
    return lambda project: project.write('[streams.orders]\ndurability = "quorum"\n', regions=text)


def content(written: bytes) -> Callable[[Project], object]:
    return lambda project: project.definition.write_bytes(written)


def extension(text: str) -> Callable[[Project], object]:
    return lambda project: project.definition.with_name("extension.py").write_text(text)


def folder_instead(project: Project) -> None:
    project.definition.unlink()
    project.definition.mkdir()


WRONG: dict[str, tuple[Callable[[Project], object], tuple[str, ...]]] = {
    "a key that no definition has": (
        lambda project: project.write(f"[streams.orders]\nlane = 4\n{HANDLER}"),
        ("streams.orders.lane", "an unknown key", "lanes"),
    ),
    "two faults": (
        lambda project: project.write(f"[streams.orders]\nlanes = -1\n{HANDLER}colour = 1\n"),
        ("streams.orders.lanes", "-1", "subscriptions.count.colour", "unknown key"),
    ),
    "an unknown Region": (
        region('"eu-west-1", "mars-north-1"'),
        ("fabric.regions[1]", '"mars-north-1"', "a Region of AWS"),
    ),
    "Regions of two partitions": (
        region('"eu-west-1", "cn-north-1"'),
        ("fabric.regions[1]", "of partition aws-cn", "a Region of aws, as eu-west-1"),
    ),
    "a quorum of Regions that AWS does not have": (
        quorum('"eu-west-1", "us-east-1", "ap-northeast-1"'),
        ("streams.orders.regions", "eu-west-1, us-east-1, ap-northeast-1", "us-east-1, us-east-2, us-west-2"),
    ),
    "no TOML": (content(b"[fabric\n"), ("fabric.toml:1", "a syntax error", "TOML 1.0")),
    "an empty file": (content(b""), ("fabric: found nothing", "streams: found nothing", "tables")),
    "a binary file": (
        content(b"\x00\xff\xfe"),
        ("fabric.toml", "bytes that are not UTF-8", "allowed: UTF-8"),
    ),
    "no file": (
        lambda project: project.definition.unlink(),
        ("fabric.toml", "no such file", "a definition in TOML"),
    ),
    "a folder": (
        folder_instead,
        ("fabric.toml", "is a directory", "a definition in TOML"),
    ),
    "an extension that does not compile": (
        extension("x = (\n"),
        ("extension.py, line 1", "a syntax error", "allowed: Python"),
    ),
    "an extension without its function": (
        extension("x = 1\n"),
        ("extension.py", "no function extend", "def extend(fabric: EventFabric)"),
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_it_is_refused_in_one_message_that_says_where_and_what_is_allowed(
    wrong: str, project: Project
) -> None:
    change, refusal = WRONG[wrong]
    change(project)
    message = project.refused()
    assert str(project.definition.parent) in message
    assert [part for part in refusal if part not in message] == [], message


def test_the_app_as_a_process_ends_with_that_message(project: Project) -> None:
    change, refusal = WRONG["two faults"]
    change(project)
    process = project.synthesise({})
    message = project.refusal(process.returncode, process.stdout, process.stderr)
    assert missing_from(message, *refusal) == []


@pytest.mark.usefixtures("cached")
def test_a_handler_that_is_not_there_is_refused(project: Project) -> None:
    (project.subscribers / "count.py").write_text("def other(event, delivery): ...\n")
    assert "subscriptions.count.handler" in (message := project.refused())
    assert "no record in module subscribers.count" in message
    (project.subscribers / "count.py").rename(project.subscribers / "other.py")
    assert "no module subscribers.count" in project.refused()


@pytest.mark.usefixtures("cached")
def test_a_handler_that_only_this_machine_has_is_refused(project: Project) -> None:
    project.write(REST.replace("subscribers.count:record", "pytest:main"))
    assert "no module pytest" in project.refused()


@pytest.mark.usefixtures("cached")
def test_an_import_of_a_handler_that_only_this_machine_has_is_refused(project: Project) -> None:
    handler = project.subscribers / "count.py"
    handler.write_text("from pydantic import BaseModel\ndef record(event, delivery): ...\n")
    message = project.refused()
    assert missing_from(message, "module subscribers.count", "imports pydantic") == []
    assert "requirements.txt" in message


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("eventfabric-has-no-such-package==99", "eventfabric-has-no-such-package==99"),
        ("!! no requirement", "!! no"),
    ],
)
@pytest.mark.usefixtures("cached")
def test_requirements_that_cannot_be_met_are_refused(line: str, refusal: str, project: Project) -> None:
    requirements = project.subscribers / "requirements.txt"
    requirements.write_text(f"{line}\n")
    message = project.refused()
    assert [
        part for part in (str(requirements), refusal, "Python 3.13 on Linux (aarch64)") if part not in message
    ] == []


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"platform": "windows"}, "platform: found windows, allowed: lambda or host"),
        ({"code_signing_config": "csc-1"}, "context: code_signing_config: found csc-1, allowed: no value"),
        ({"definition": "nothing/here.toml"}, "nothing/here.toml: found no readable file"),
        ({"definition": 7}, "7: found no readable file"),
    ],
)
def test_context_that_means_nothing_is_refused(
    context: dict[str, object], message: str, project: Project
) -> None:
    assert message in project.refused(**context)


@pytest.mark.usefixtures("cached")
def test_a_project_elsewhere_named_by_a_relative_path_gets_our_functions_and_its_own_handlers(
    project: Project,
) -> None:
    (project.subscribers / "more").mkdir()
    (project.subscribers / "more" / "data.json").write_text("{}")
    # What it has installed, or copied, of this project is not what is deployed.
    for ours in ("eventfabric/limits.py", "eventfabric/handlers/relay.py"):
        copy = project.folder / "functions" / ours
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("raise SystemExit('not this one')\n")
    process = project.synthesise({"definition": "infra/fabric.toml"}, folder=project.folder)
    assert process.returncode == 0, process.stderr
    [staged] = project.staged
    for ours in ("eventfabric/limits.py", "eventfabric/handlers/relay.py"):
        assert (staged / ours).read_bytes() == (ROOT / "functions" / ours).read_bytes()
    theirs = {path.relative_to(staged).as_posix() for path in files_in(staged / "subscribers")}
    assert theirs == {"subscribers/count.py", "subscribers/more/data.json"}


@pytest.mark.parametrize("code", ["raise SystemExit(0)", "import os\nos._exit(0)"])
def test_an_extension_that_ends_the_process_leaves_no_assembly_to_be_deployed(
    code: str, project: Project
) -> None:
    (project.definition.parent / "extension.py").write_text(f"{code}\n")
    (project.folder / "cdk.out").mkdir()
    (project.folder / "cdk.out" / "manifest.json").write_text("{}")
    process = project.synthesise({})
    assert ("extension" in process.stderr) == (process.returncode == 1) == (code == "raise SystemExit(0)")
    assert list((project.folder / "cdk.out").rglob("*")) == []
