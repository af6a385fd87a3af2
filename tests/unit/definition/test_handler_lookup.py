"""Handlers and exception types that a definition names are looked up in the source, and never run."""

from pathlib import Path

import pytest

from eventfabric.definition.file import handler_folders, read_definition
from eventfabric.errors import DefinitionError

FABRIC = """
[fabric]
name = "shop"
regions = ["us-east-1", "eu-west-1", "ap-south-1"]
"""
STREAM = "[streams.orders]\n"
SUBSCRIPTION = """
[subscriptions.billing]
stream = "orders"
handler = "subscribers.billing:charge"
"""
HANDLERS = """
import json
from decimal import Decimal as Money, InvalidOperation
raise RuntimeError("imported, and so user code ran")
if True:
    def conditional(event): ...
try:
    from fast import faster
except ImportError:
    faster = None
async def charge(event): ...
first, *others = [], []
class Refused(Exception): ...
"""


@pytest.mark.parametrize(
    ("handler", "permanent", "lack"),
    [
        ("shop.billing:charge", "shop.billing:Refused", None),
        ("shop.billing:conditional", "shop.billing:InvalidOperation", None),
        ("shop.billing:faster", "decimal:InvalidOperation", None),
        ("shop.billing:others", "builtins:ValueError", None),
        ("shop.stars:anything", "json:JSONDecodeError", None),
        ("shop.billing:refund", "builtins:ValueError", "no refund in module shop.billing"),
        ("shop.billing:Refused", "builtins:ValueError", "a class Refused in module shop.billing"),
        ("shop.billing:charge", "shop.billing:charge", "a function charge in module shop.billing"),
        ("shop.billing:charge", "builtins:ValueErr", "no ValueErr in module builtins"),
        ("shop.selling:charge", "builtins:ValueError", "no module shop.selling"),
        ("warehouse.billing:charge", "builtins:ValueError", "no module warehouse"),
        ("shop.billing.deep:charge", "builtins:ValueError", "no module shop.billing.deep"),
        ("shop.broken:charge", "builtins:ValueError", "a module shop.broken that does not compile"),
        ("shop:charge", "builtins:ValueError", "no charge in module shop"),
        ("calendar:charge", "builtins:ValueError", None),
        ("os:rename", "builtins:ValueError", "Python's own module os"),
        ("json.encoder:JSONEncoder", "builtins:ValueError", "Python's own module json.encoder"),
        ("builtins:print", "builtins:ValueError", "Python's own module builtins"),
    ],
)
def test_handlers_are_looked_up_without_running_them(
    tmp_path: Path, handler: str, permanent: str, lack: str | None
) -> None:
    package = tmp_path / "functions" / "shop"
    package.mkdir(parents=True)
    (package / "billing.py").write_text(HANDLERS, encoding="utf-8")
    (package / "stars.py").write_text("from shop.billing import *\n", encoding="utf-8")
    (package.parent / "calendar.py").write_text("def charge(event): ...\n", encoding="utf-8")
    (package / "broken.py").write_text("def charge(:\n", encoding="utf-8")
    file = tmp_path / "infra" / "fabric.toml"
    file.parent.mkdir()
    subscription = SUBSCRIPTION.replace("subscribers.billing:charge", handler)
    file.write_text(f'{FABRIC}{STREAM}{subscription}retry.permanent = ["{permanent}"]', encoding="utf-8")
    read_definition(file)
    if lack is None:
        read_definition(file, check_handlers=True)
        return
    with pytest.raises(DefinitionError) as caught:
        read_definition(file, check_handlers=True)
    (problem,) = caught.value.problems
    assert lack in problem.found


def test_a_search_path_replaces_the_default_one(tmp_path: Path) -> None:
    file = tmp_path / "fabric.toml"
    file.write_text(FABRIC + STREAM + SUBSCRIPTION.replace("subscribers", "elsewhere"), encoding="utf-8")
    code = tmp_path / "code" / "elsewhere"
    code.mkdir(parents=True)
    (code / "billing.py").write_text("def charge(event): ...\n", encoding="utf-8")
    read_definition(file, check_handlers=True, search_path=[tmp_path / "code"])
    with pytest.raises(DefinitionError, match="no module elsewhere"):
        read_definition(file, check_handlers=True, search_path=[tmp_path])


def test_a_definition_that_is_a_circle_of_links_is_no_file(tmp_path: Path) -> None:
    circle = tmp_path / "fabric.toml"
    circle.symlink_to(circle)
    assert handler_folders(circle)
    with pytest.raises(DefinitionError):
        read_definition(circle, check_handlers=True)
