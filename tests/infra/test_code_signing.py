"""Code signing is for whoever asks for it: then Lambda takes no function's zip that is not signed."""

from pathlib import Path

import pytest

from eventfabric.definition_file import read_definition
from infra.app import ROOT
from tests.infra.synthesis import Synthesised, synthesise

CONFIG = "arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-0123456789abcdef0"
FUNCTION = "AWS::Lambda::Function"


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    definition = read_definition(ROOT / "infra" / "fabric.toml")
    return synthesise(definition, Path(tmp_path_factory.mktemp("signed")), code_signing_config=CONFIG)


def test_every_function_of_the_zip_has_the_config_that_the_context_names(signed: Synthesised) -> None:
    zipped = [one for one in signed.properties(FUNCTION) if "S3Key" in one["Code"]]
    assert len(zipped) == sum(len(signed.topology.functions(region)) for region in signed.topology.regions)
    assert {one["CodeSigningConfigArn"] for one in zipped} == {CONFIG}


def test_a_function_whose_code_is_in_the_template_is_not_signed_since_lambda_refuses_that(
    signed: Synthesised,
) -> None:
    written = [one for one in signed.properties(FUNCTION) if "ZipFile" in one["Code"]]
    assert written
    assert not any("CodeSigningConfigArn" in one for one in written)


def test_without_it_no_function_has_one(shop: Synthesised) -> None:
    assert not any("CodeSigningConfigArn" in one for one in shop.properties(FUNCTION))
