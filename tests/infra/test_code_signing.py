"""Code signing is for whoever asks for it: then Lambda takes no function's zip that is not signed."""

from pathlib import Path

import pytest

from eventfabric.cdk.checks import signing_configs
from eventfabric.definition.file import read_definition
from eventfabric.errors import DefinitionError
from infra.app import ROOT
from tests.infra.synthesis import Synthesised, synthesise

REGIONS = ("us-east-1", "eu-west-1")
CONFIGS = [
    f"arn:aws:lambda:{region}:123456789012:code-signing-config:csc-0123456789abcdef{number}"
    for number, region in enumerate(REGIONS)
]
DEFINITION = read_definition(ROOT / "infra" / "fabric.toml")
FUNCTION = "AWS::Lambda::Function"


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    folder = Path(tmp_path_factory.mktemp("signed"))
    return synthesise(DEFINITION, folder, code_signing_config=", ".join(CONFIGS))


def test_every_function_of_the_zip_has_the_config_of_its_region(signed: Synthesised) -> None:
    assert set(signed.topology.regions) == set(REGIONS)
    for region, config in zip(REGIONS, CONFIGS, strict=True):
        zipped = [
            properties
            for properties in signed.properties(FUNCTION, stack=signed.running(region))
            if "S3Key" in properties["Code"]
        ]
        assert len(zipped) == len(signed.topology.functions(region))
        assert {properties["CodeSigningConfigArn"] for properties in zipped} == {config}


@pytest.mark.parametrize(
    "given",
    [
        CONFIGS[0],
        [CONFIGS[0], CONFIGS[0]],
        [*CONFIGS, CONFIGS[0].replace("us-east-1", "us-west-2")],
        "csc-1",
        7,
    ],
)
def test_anything_but_one_config_for_each_region_is_refused(given: object) -> None:
    with pytest.raises(
        DefinitionError, match=r"code_signing_config: found .* allowed: one arn:.* us-east-1, eu-west-1"
    ):
        signing_configs(given, DEFINITION)


def test_configs_may_stand_in_a_list_or_in_one_text() -> None:
    assert signing_configs(CONFIGS, DEFINITION) == dict(zip(REGIONS, CONFIGS, strict=True))
    assert signing_configs(",".join(CONFIGS), DEFINITION) == signing_configs(CONFIGS, DEFINITION)
    assert signing_configs(None, DEFINITION) == {}


def test_a_function_whose_code_is_in_the_template_is_not_signed_since_lambda_refuses_that(
    signed: Synthesised,
) -> None:
    written = [property for property in signed.properties(FUNCTION) if "ZipFile" in property["Code"]]
    assert written
    assert not any("CodeSigningConfigArn" in properties for properties in written)


def test_without_it_no_function_has_one(shop: Synthesised) -> None:
    assert not any("CodeSigningConfigArn" in property for property in shop.properties(FUNCTION))
