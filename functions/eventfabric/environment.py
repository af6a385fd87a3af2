"""Names of the environment variables of functions, and what the deployment sets some of them to."""

from typing import Final

ENVIRONMENT_DEFINITION: Final = "EVENTFABRIC_DEFINITION"
"""Path of the definition: the TOML file, or in a function its resolved form in JSON, which ships with the code."""
ENVIRONMENT_SUBSCRIPTION: Final = "EVENTFABRIC_SUBSCRIPTION"
"""Set in a deliver function: the name of its subscription."""
ENVIRONMENT_REGION: Final = "AWS_REGION"
ENVIRONMENT_ENDPOINT: Final = "AWS_ENDPOINT_URL"
ENVIRONMENT_FUNCTION: Final = "AWS_LAMBDA_FUNCTION_NAME"
ENVIRONMENT_CODE_VERSION: Final = "AWS_LAMBDA_FUNCTION_VERSION"
ENVIRONMENT_CODE_FOLDER: Final = "LAMBDA_TASK_ROOT"
"""Folder into which Lambda has unpacked the zip."""

DEPLOYED_DEFINITION: Final = "definition.json"
"""Path of the resolved definition in the zip of the functions."""
LAMBDA_SETS: Final = frozenset({ENVIRONMENT_REGION})
"""Variables that Lambda sets itself, and lets nobody else set."""
