"""scripts/build: what it builds, what it says of it, and what it refuses to call a release."""

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from email.message import Message
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from eventfabric.version import VERSION
from scripts.building.__main__ import (
    LIBRARY,
    LOCK,
    LOCK_WITH_MORE,
    SECONDS_MAX,
    WITHOUT_HISTORY_SECONDS,
    BuildError,
    Commit,
    check_release,
    commit_of,
    main,
    seconds_of,
)
from scripts.building.sbom import LockError, Pin, bill_of_materials, pins_in
from scripts.install import ROOT

TAGGED: Final = Commit("c" * 40, 1_790_000_000, ("v1.2.3",), modified=False)
LOCK_TEXT: Final = (ROOT / LOCK).read_text(encoding="utf-8")
PINS: Final = pins_in(LOCK_TEXT)
HASH: Final = f"--hash=sha256:{'a' * 64}"


def git(*words: str, folder: Path) -> None:
    about = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *about, *words], cwd=folder, check=True, capture_output=True)


def bill(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "pins": PINS,
        "direct": ["boto3>=1.40,<2", "msgspec"],
        "seconds": 1_790_000_000,
    }
    document: dict[str, Any] = json.loads(bill_of_materials("1.2.3", **{**arguments, **changes}))
    return document


def test_wheel_source_and_bill_are_built_and_named_with_their_digests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    main(out=tmp_path / "first", as_json=True)
    main(out=tmp_path / "second", as_json=True)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == second
    assert first["version"] == VERSION
    names = [f"eventfabric_aws-{VERSION}{end}" for end in ("-py3-none-any.whl", ".cdx.json", ".tar.gz")]
    assert [file["name"] for file in first["files"]] == names
    for file in first["files"]:
        content = (tmp_path / "first" / file["name"]).read_bytes()
        assert (len(content), sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    written = json.loads((tmp_path / "first" / names[1]).read_text(encoding="utf-8"))
    assert written["metadata"]["timestamp"] == "2026-09-21T14:13:20Z"


def test_without_json_a_person_reads_what_was_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(out=tmp_path)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith(f"eventfabric-aws {VERSION}, of ")
    assert [line.split()[-1] for line in lines] == sorted(file.name for file in tmp_path.iterdir())


def test_a_release_is_a_clean_checkout_of_the_tag_of_its_version() -> None:
    check_release(TAGGED, "1.2.3")
    development = replace(TAGGED, tags=("v1.2.3.dev0",))
    for commit, version, reason in [
        (None, "1.2.3", "without history"),
        (replace(TAGGED, modified=True), "1.2.3", "not committed"),
        (TAGGED, "1.2.4", "v1.2.4"),
        (replace(TAGGED, tags=()), "1.2.3", "none; allowed: v1.2.3"),
        (development, "1.2.3.dev0", "without .dev0"),
    ]:
        with pytest.raises(BuildError, match=reason):
            check_release(commit, version)


def test_time_and_tags_are_the_commit_s_also_in_a_shallow_clone_and_in_one_without_tags(
    tmp_path: Path,
) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    git("init", "-q", folder=origin)
    for _ in range(2):
        git("commit", "-q", "--allow-empty", "-m", "x", folder=origin)
    git("tag", "v1.2.3", folder=origin)
    whole = commit_of(origin)
    assert whole is not None
    assert (whole.tags, whole.modified) == (("v1.2.3",), False)
    git("clone", "-q", "--depth", "1", "--no-tags", origin.as_uri(), str(tmp_path / "clone"), folder=tmp_path)
    assert commit_of(tmp_path / "clone") == replace(whole, tags=())
    (origin / "new").touch()
    assert commit_of(origin) == replace(whole, modified=True)
    shutil.rmtree(origin / ".git")
    assert commit_of(origin) is None


def test_the_time_is_what_the_environment_says_or_the_commit_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert seconds_of(TAGGED) == TAGGED.seconds
    assert seconds_of(None) == WITHOUT_HISTORY_SECONDS
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    assert seconds_of(TAGGED) == seconds_of(None) == 5
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(SECONDS_MAX))
    assert seconds_of(TAGGED) == SECONDS_MAX
    for text in ("now", "", " 1", "-1", "1.5", "٣", str(SECONDS_MAX + 1), "9" * 5000):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
        with pytest.raises(BuildError, match="SOURCE_DATE_EPOCH: found '"):
            seconds_of(TAGGED)


def checkout_of_a_release(root: Path) -> Path:
    """A clean checkout of a small project, at the tag of its version."""
    library = root / LIBRARY
    (library / "cdk").mkdir(parents=True)
    (library / "__init__.py").touch()
    (library / "version.py").write_text('VERSION = "1.2.3"\n')
    for lock in (LOCK, LOCK_WITH_MORE):
        (root / lock).write_text(LOCK_TEXT)
    (root / "pyproject.toml").write_text(
        f'''
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"
        [project]
        name = "eventfabric-aws"
        version = "1.2.3"
        requires-python = ">=3.11"
        dependencies = []
        [tool.hatch.build.targets.wheel]
        packages = ["{LIBRARY}"]
    '''
    )
    git("init", "-q", folder=root)
    git("add", ".", folder=root)
    git("commit", "-q", "-m", "x", folder=root)
    git("tag", "v1.2.3", folder=root)
    git("checkout", "-q", "--detach", folder=root)  # as in a workflow
    return root


def add_an_ignored_file(root: Path) -> None:
    (root / ".git" / "info" / "exclude").write_text("extra.py\n")
    (root / LIBRARY / "extra.py").touch()


def change_a_file_without_notice(root: Path) -> None:
    git("update-index", "--assume-unchanged", str(LIBRARY / "__init__.py"), folder=root)
    (root / LIBRARY / "__init__.py").write_text("changed = True\n")


def change_the_version_without_notice(root: Path) -> None:
    git("update-index", "--skip-worktree", str(LIBRARY / "version.py"), folder=root)
    (root / LIBRARY / "version.py").write_text('VERSION = "1.2.4"\n')


@pytest.mark.parametrize(
    "change", [add_an_ignored_file, change_a_file_without_notice, change_the_version_without_notice]
)
def test_a_release_is_built_from_the_commit__whatever_only_looks_clean(
    change: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = checkout_of_a_release(tmp_path / "root")
    change(root)
    monkeypatch.setattr("scripts.building.__main__.ROOT", root)
    main(out=tmp_path / "out", release=True)
    assert capsys.readouterr().out.startswith("eventfabric-aws 1.2.3, of commit ")
    with zipfile.ZipFile(tmp_path / "out" / "eventfabric_aws-1.2.3-py3-none-any.whl") as wheel:
        assert "eventfabric/extra.py" not in wheel.namelist()
        assert wheel.read("eventfabric/__init__.py") == b""
        assert wheel.read("eventfabric/version.py") == b'VERSION = "1.2.3"\n'


def test_a_file_that_git_is_told_not_to_show_is_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout_of_a_release(tmp_path / "root")
    git("config", "status.showUntrackedFiles", "no", folder=root)
    (root / LIBRARY / "extra.py").touch()
    monkeypatch.setattr("scripts.building.__main__.ROOT", root)
    with pytest.raises(SystemExit, match="changes that are not committed"):
        main(out=tmp_path / "out", release=True)


def test_what_cannot_be_built_ends_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.building.__main__.ROOT", checkout_of_a_release(tmp_path / "root"))
    (tmp_path / "file").touch()
    for out, sentence in (("file", "file: File exists"), ("file/out", "file/out: Not a directory")):
        with pytest.raises(SystemExit, match=f"^scripts/build: .*{sentence}$"):
            main(out=tmp_path / out)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"^scripts/build: git: not found"):
        main(out=tmp_path / "out")


def test_the_bill_lists_every_package_of_the_lock_with_all_of_its_files() -> None:
    document = bill()
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert len(document["components"]) == LOCK_TEXT.count("==")
    [files] = zip(*[component["externalReferences"] for component in document["components"]], strict=True)
    assert sum(len(reference["hashes"]) for reference in files) == LOCK_TEXT.count("--hash=sha256:")
    boto3 = next(component for component in document["components"] if component["name"] == "boto3")
    assert boto3["purl"] == boto3["bom-ref"] == f"pkg:pypi/boto3@{boto3['version']}"
    assert boto3["licenses"] == [{"license": {"name": "Apache-2.0"}}]
    # backports.zstd is not installed beside a Python that has it.
    without = {component["name"] for component in document["components"] if "licenses" not in component}
    assert without <= {"backports-zstd"}


def test_the_bill_says_what_needs_what_and_is_whole() -> None:
    document = bill()
    needed = {edge["ref"].split("@")[0]: edge["dependsOn"] for edge in document["dependencies"]}
    named = {name: [url.split("@")[0] for url in urls] for name, urls in needed.items()}
    assert named["pkg:pypi/eventfabric-aws"] == ["pkg:pypi/boto3", "pkg:pypi/msgspec"]
    assert named["pkg:pypi/boto3"] == [f"pkg:pypi/{name}" for name in ("botocore", "jmespath", "s3transfer")]
    references = {component["bom-ref"] for component in document["components"]}
    assert {edge["ref"] for edge in document["dependencies"]} == {
        *references,
        "pkg:pypi/eventfabric-aws@1.2.3",
    }
    assert {url for urls in needed.values() for url in urls} <= references


def test_a_bill_has_a_number_that_follows_from_its_content() -> None:
    assert bill() == bill(pins=list(PINS))
    others = [bill(seconds=5), bill(pins=PINS[1:]), bill(direct=[])]
    assert len({document["serialNumber"] for document in [bill(), *others]}) == 4


def test_what_only_some_functions_need_is_optional() -> None:
    more = Pin("zipper", "1", ("a" * 64,))
    components = bill(optional=[*PINS, more])["components"]
    assert [own["name"] for own in components if own.get("scope") == "optional"] == ["zipper"]
    assert len(components) == len(PINS) + 1


def test_of_a_package_that_is_not_installed_here_only_the_lock_speaks() -> None:
    pins = [Pin("boto3", "0.0.1", ("a" * 64,)), Pin("no-such-package", "1", ("b" * 64,))]
    for component in bill(pins=pins)["components"]:
        assert "licenses" not in component


def test_a_lock_without_versions_or_hashes_is_refused() -> None:
    assert pins_in(f"# head\nA_b==1 \\\n    {HASH}\n") == [Pin("a-b", "1", ("a" * 64,))]
    for text in (f"boto3>=1 \\\n    {HASH}\n", "boto3==1\n", f"six==1 \\\n    {HASH}\nboto3==1\n"):
        with pytest.raises(LockError, match="name==version and its hashes"):
            pins_in(text)


def test_it_is_started_as_people_start_it() -> None:
    assert "scripts.building" in (ROOT / "scripts" / "build").read_text(encoding="utf-8")


def test_a_licence_is_read_by_whatever_reader_of_metadata_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict(Message):
        """Metadata as importlib-metadata reads them, which takes the place of Python's own where it is imported."""

        def __getitem__(self, name: str) -> Any:
            if name not in self:
                raise KeyError(name)
            return super().__getitem__(name)

    about = Strict()
    about["Version"] = "1.2"
    about["License"] = "MIT"
    monkeypatch.setattr("scripts.building.sbom.metadata", lambda name: about)
    pin = Pin("thing", "1.2", ("0" * 64,))
    (component,) = json.loads(bill_of_materials("1.0", [pin], ["thing"], seconds=0))["components"]
    assert component["licenses"] == [{"license": {"name": "MIT"}}]
