"""`eventfabric new` writes a project that is right by every tool, and `check` says what is wrong with one."""

import json
import os
import re
import subprocess
import sys
import tomllib
from errno import ENOSPC
from pathlib import Path
from signal import SIGKILL

import pytest

from eventfabric.cdk import command_line, wheels
from eventfabric.cdk.bytecode import compiler_for
from eventfabric.cli import exit_codes
from eventfabric.cli.project import TEMPLATES, rendered
from eventfabric.definition.file import parse_definition, read_definition
from eventfabric.resources import ENVIRONMENT_STAGE
from eventfabric.testing.idempotency.trials import SAMPLE
from eventfabric.topology import LAMBDA_PYTHON
from infra.app import WHEELS
from scripts.install import ROOT
from tests.support.command_line import CommandLine

REGIONS = ("eu-central-1", "eu-west-1")
RULES = "ANN,B,C4,D,E,F,I,PT,RUF,SIM,UP,W"


@pytest.fixture
def cli(cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return cli


def test_every_template_is_a_file_of_the_project(cli: CommandLine, tmp_path: Path) -> None:
    made = cli.run("new", "shop", "--json").json
    files = {path.relative_to("shop").as_posix() for path in Path("shop").rglob("*") if path.is_file()}
    assert (made["folder"], set(made["files"])) == ("shop", files)
    assert len(files) == len([path for path in TEMPLATES.rglob("*") if path.is_file()])
    assert {".gitignore", ".github/workflows/test.yml", "infra/fabric.toml"} < files
    text = "".join((Path("shop") / name).read_text(encoding="utf-8") for name in files)
    assert "$" not in text.replace("${{", "")


def test_its_sample_has_events_for_each_subscription() -> None:
    files = {path.as_posix(): text for path, text in rendered("shop", REGIONS).items()}
    events = [json.loads(line) for line in files[f"infra/{SAMPLE}"].splitlines()]
    subscriptions = parse_definition(files["infra/fabric.toml"]).subscriptions.values()
    assert [
        own.name for own in subscriptions if not {event["type"] for event in events} & {*(own.types or ())}
    ] == []
    assert all(event["partitionkey"] for event in events)


@pytest.mark.parametrize(("regions", "durability"), [(REGIONS[:1], "regional"), (REGIONS, "replicated")])
def test_it_has_the_name_and_the_regions_that_were_asked_for(
    cli: CommandLine, regions: tuple[str, ...], durability: str
) -> None:
    options = [word for region in regions for word in ("--region", region)]
    assert cli.run("new", "book-shop", "--folder", "here", *options).code == 0
    definition = read_definition("here/infra/fabric.toml", check_handlers=True)
    assert (definition.fabric.name, definition.fabric.regions) == ("book-shop", regions)
    assert definition.streams["orders"].durability == durability
    project = tomllib.loads(Path("here/pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["name"] == "book-shop"
    assert json.loads(Path("here/cdk.json").read_text(encoding="utf-8"))["app"] == "python infra/app.py"


def test_the_region_is_that_of_the_environment_if_none_is_named(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "ap-southeast-2")
    assert cli.run("new", "shop").code == 0
    assert read_definition("shop/infra/fabric.toml").fabric.regions == ("ap-southeast-2",)


def test_where_a_file_cannot_be_written_nothing_is_left(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_text

    def until_the_disk_is_full(path: Path, text: str, **options: str) -> int:
        written = write(path, text, **options)
        if path.name == "fabric.toml":
            raise OSError(ENOSPC, "No space left on device")
        return written

    monkeypatch.setattr(Path, "write_text", until_the_disk_is_full)
    result = cli.run("new", "shop", "--folder", "a/shop")
    assert (result.code, result.out) == (exit_codes.BAD_INPUT, "")
    assert result.err == "eventfabric: a/shop/infra/fabric.toml: No space left on device\n"
    assert list(Path().iterdir()) == []


def test_a_run_that_was_killed_is_in_nobodys_way(cli: CommandLine) -> None:
    script = """
import os, pathlib, signal
from eventfabric.cli import new
write = new._write_file
def until_it_is_killed(file, text, *, named):
    if named.name == "fabric.toml":
        os.kill(os.getpid(), signal.SIGKILL)
    write(file, text, named=named)
new._write_file = until_it_is_killed
new.new("shop", folder=pathlib.Path("shop"))
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -SIGKILL
    assert [path.name[:17] for path in Path("shop").iterdir()] == [".eventfabric-new-"]
    assert cli.run("new", "shop").code == 0
    assert Path("shop/infra/fabric.toml").is_file()
    assert not list(Path("shop").glob(".eventfabric-new-*"))


@pytest.mark.parametrize("entry", ["infra", "pyproject.toml"])
def test_where_an_entry_cannot_be_moved_to_its_place_nothing_is_left(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        renamed = rename(path, target)
        if path.name == entry:
            raise KeyboardInterrupt
        return renamed

    monkeypatch.setattr(Path, "rename", interrupted)
    assert cli.run("new", "shop", "--folder", "a/shop").code == exit_codes.INTERRUPTED
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("folder", ["to-nothing", "to-nothing/shop", "circle", "\udcff", "\udcff/shop"])
def test_a_folder_that_cannot_be_is_refused_and_nothing_is_written(cli: CommandLine, folder: str) -> None:
    Path("to-nothing").symlink_to("nothing")
    Path("circle").symlink_to("circle")
    for options in ([], ["--json"]):
        refused = cli.refused("new", "shop", "--folder", folder, *options, code=exit_codes.BAD_INPUT)
        assert "link to nothing" in refused or "UTF-8" in refused
    assert sorted(path.name for path in Path().iterdir()) == ["circle", "to-nothing"]


def test_what_it_says_to_run_can_be_copied(cli: CommandLine) -> None:
    assert "\ncd 'a b' && pytest\n" in cli.run("new", "shop", "--folder", "a b").out


def test_its_python_is_linted_formatted_and_typed(tmp_path: Path) -> None:
    for path, text in rendered("shop", REGIONS).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    # A cache of its own, which runs share: the project's settings are not those of this checkout.
    cached = ("--cache-dir", str(ROOT / "build" / "mypy-of-new-projects"))
    for command in (
        ("ruff", "check", "--no-cache", "--select", RULES, "--ignore", "D1,D2", "."),
        ("ruff", "format", "--no-cache", "--check", "."),
        (
            "mypy",
            *cached,
            "functions",
            "tests",
        ),  # with infra, it would read all of the CDK's library for a minute
    ):
        ran = subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("Shop",),
        ('shop"\nx = "',),
        ("../shop",),
        ("",),
        ("s" * 40,),
        ("shop", "--region", "mars"),
        ("shop", "--region", REGIONS[0], "--region", REGIONS[0]),
    ],
    ids=lambda arguments: " ".join(arguments)[:20],
)
def test_what_a_definition_would_refuse_is_refused_and_nothing_is_written(
    cli: CommandLine, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    cli.refused("new", *arguments, code=exit_codes.BAD_INPUT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("occupied", ["a file in it", "a file"])
def test_a_folder_that_is_not_empty_stays_as_it_is(cli: CommandLine, tmp_path: Path, occupied: str) -> None:
    file = tmp_path / "shop" / "mine.txt" if occupied == "a file in it" else tmp_path / "shop"
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    assert "shop" in cli.refused("new", "shop", code=exit_codes.BAD_INPUT)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_a_repository_or_an_environment_in_the_folder_is_no_obstacle(
    cli: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".venv").mkdir()
    assert cli.run("new", "shop", "--folder", ".").code == 0
    assert Path("infra/fabric.toml").is_file()


@pytest.fixture
def project(cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project, in which the commands run."""
    monkeypatch.setattr(wheels, "CACHE", WHEELS)
    assert cli.run("new", "shop").code == 0
    monkeypatch.chdir(tmp_path / "shop")
    return tmp_path / "shop"


def test_its_tests_pass_without_and_with_the_schema_of_orders_that_its_readme_makes(project: Path) -> None:
    # In processes of their own, since this repository has a package of that name, too.
    readme = (project / "README.md").read_text(encoding="utf-8")
    [command] = re.findall("`eventfabric (schemas from [^`]+)`", readme)
    program = (sys.executable, "-c", "from eventfabric.cli.entry import main; main()")
    tests = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "functions")}
    for arguments in (tests, (*program, *command.split()), tests):
        ran = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (project / "infra/schemas/orders/OrderPlaced.json").is_file()


def test_to_write_and_test_handlers_its_group_has_what_schemas_need(project: Path) -> None:
    groups = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    [library] = [own for own in groups["dev"] if own.startswith("eventfabric-aws")]
    assert {"cli", "local", "schemas"} == set(library.partition("[")[2].partition("]")[0].split(","))


def test_nothing_is_wrong_with_a_new_project(cli: CommandLine, project: Path) -> None:
    result = cli.run("check", "--json")
    assert (result.code, result.json["problems"]) == (0, [])
    assert result.json["zip_bytes"] > 1_000_000
    assert (result.err == "") == (compiler_for(LAMBDA_PYTHON) is not None)


def test_an_import_that_the_zip_lacks_is_named(cli: CommandLine, project: Path) -> None:
    handler = project / "functions" / "subscribers" / "billing.py"
    handler.write_text(f"import pytest\n{handler.read_text(encoding='utf-8')}", encoding="utf-8")
    result = cli.run("check", "--json")
    assert result.code == exit_codes.BAD_INPUT
    [problem] = result.json["problems"]
    assert problem["path"] == "subscriptions.billing.handler"
    assert "pytest" in problem["found"]
    assert "pytest" in cli.refused("check", code=exit_codes.BAD_INPUT)


def test_a_handler_that_is_not_there_and_a_region_that_is_none_are_problems(
    cli: CommandLine, project: Path
) -> None:
    definition = project / "infra" / "fabric.toml"
    whole = definition.read_text(encoding="utf-8")
    for right, wrong in (("billing:issue_invoice", "billing:issue_nothing"), ("us-east-1", "us-moon-1")):
        definition.write_text(whole.replace(right, wrong), encoding="utf-8")
        result = cli.run("check", "--json")
        assert result.code == exit_codes.BAD_INPUT
        assert [wrong in problem["found"] for problem in result.json["problems"]] == [True]


@pytest.mark.parametrize("command", ["synth", "deploy", "diff", "destroy", "bootstrap"])
@pytest.mark.parametrize("missing", ["folder_of_node", "find_spec"])
def test_what_runs_the_cdk_names_the_extra_that_is_missing(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, command: str, missing: str
) -> None:
    monkeypatch.setattr(command_line, missing, lambda *_: None)
    assert "eventfabric-aws[infra]" in cli.refused(command, code=exit_codes.BAD_INPUT)
    result = cli.run(command, "--help")
    assert (result.code, f"Example: eventfabric {command}" in result.out) == (0, True)


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        (("synth", "--quiet"), None),
        (("deploy", "--all", "-c", "a=b", "--outputs-file", "x y"), None),
        (("diff", "shop-cell-us-east-1", "--fail"), None),
        (("destroy", "--all", "--force"), None),
        (("synth", "--no-staging", "--staging", "--region", "eu-west-1"), None),
        (("bootstrap", "aws://111122223333/us-east-1"), None),
        (("synth", "-c", "definition=other.toml", "--context", "stage=dev"), None),
        (("deploy", "--", "--help"), ["deploy", "--help"]),
    ],
    ids=lambda given: given and " ".join(given),
)
def test_all_arguments_are_passed_on_to_the_cdk(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], passed_on: list[str] | None
) -> None:
    monkeypatch.setattr(command_line, "cdk_command", lambda: ["node", "cdk"])

    def replaced(program: str, arguments: list[str], environment: dict[str, str]) -> None:
        assert (program, arguments) == ("node", ["node", "cdk", *(passed_on or given)])
        assert environment == command_line.environment_of_apps()
        raise SystemExit(7)

    monkeypatch.setattr("os.execve", replaced)
    assert cli.run(*given).code == 7


@pytest.mark.parametrize("option", ["--definition=b.toml", "--endpoint-url", "--stag", "--adpot"])
@pytest.mark.parametrize("command", ["synth", "deploy", "deploy --adopt", "diff", "destroy", "bootstrap"])
def test_an_option_that_the_cdk_would_ignore_is_refused(cli: CommandLine, command: str, option: str) -> None:
    complaint = cli.refused(*command.split(), "--all", option, "x", code=exit_codes.BAD_INPUT)
    assert f"{option.partition('=')[0]}: the CDK does not know it" in complaint


@pytest.mark.parametrize("command", ["synth", "deploy", "diff", "destroy"])
def test_a_stage_is_told_to_whatever_the_cdk_runs(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(command_line, "cdk_command", lambda: ["node", "cdk"])

    def replaced(program: str, arguments: list[str], environment: dict[str, str]) -> None:
        assert arguments == ["node", "cdk", command, "--all"]
        assert environment == {**command_line.environment_of_apps(), ENVIRONMENT_STAGE: "dev"}
        raise SystemExit(7)

    monkeypatch.setattr("os.execve", replaced)
    assert cli.run(command, "--stage", "dev", "--all").code == 7
