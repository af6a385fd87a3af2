"""Lambda counts the zip and the layers of a function together, unpacked. What is too much is refused, or warned of."""

from pathlib import Path

import pytest

from eventfabric import limits
from eventfabric.cdk import functions_zip as module
from eventfabric.cdk.functions_zip import FunctionsZip, functions_zip
from eventfabric.definition.file import parse_definition
from eventfabric.errors import SettingError

LAYERS = 'layers = ["arn:aws:lambda:us-east-1:111122223333:layer:metrics:7"]'
PARTS = ("unpacked_wheels", "compiler_for", "check_handlers", "check_twin")
"""Parts of a zip that are fetched, found or imported on this machine, and have nothing to do with its size."""


def zipped(folder: Path, settings: str, monkeypatch: pytest.MonkeyPatch) -> FunctionsZip:
    for part in PARTS:
        monkeypatch.setattr(module, part, lambda *_, **__: None)
    text = f"""
        [fabric]
        name = "shop"
        regions = ["us-east-1"]
        [streams.orders]
        [subscriptions.billing]
        stream = "orders"
        handler = "any.module:handle"
        [subscriptions.billing.function]
        {settings}
    """
    return functions_zip(
        parse_definition(text),
        functions=None,
        target=folder / "zip",
        cache=folder,
        platform="host",
        where="definition",
    )


def test_a_zip_has_at_most_what_lambda_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size_bytes = zipped(tmp_path, "", monkeypatch).size_bytes
    monkeypatch.setattr(limits, "ZIP_UNPACKED_BYTES_MAX", size_bytes)
    zipped(tmp_path, "", monkeypatch)
    monkeypatch.setattr(limits, "ZIP_UNPACKED_BYTES_MAX", size_bytes - 1)
    with pytest.raises(SettingError, match=f"{size_bytes:,} bytes.*allowed: at most .* layers included"):
        zipped(tmp_path, "", monkeypatch)


@pytest.mark.parametrize(
    ("settings", "more_bytes", "warned"), [(LAYERS, -1, True), (LAYERS, 0, False), ("", -1, False)]
)
def test_layers_beside_a_large_zip_are_warned_of(
    settings: str, more_bytes: int, warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size_bytes = zipped(tmp_path, settings, monkeypatch).size_bytes
    monkeypatch.setattr(limits, "ZIP_UNPACKED_BYTES_MAX", 2 * size_bytes + more_bytes)
    warning = zipped(tmp_path, settings, monkeypatch).warnings.get("layers", "")
    assert (f"leaves {size_bytes + more_bytes:,} for a function's layers" in warning) is warned
